"""Run the workflow with a bar and a sentence a step: `python -m workflow.tools.run [arguments]`.

The arguments are Snakemake's own. Its full output goes to .snakemake/log as always; here only the
stages' sentences, the bar, and whatever goes wrong are shown. The last lines say what failed, what
stands and what to type next. Jobs of an earlier run that was killed are waited for first, here and
on a cluster, and its lock is taken away. Exits with 0 when all is made, 1 when jobs failed, 2 when
nothing was run because something that was given cannot be used or an earlier run may be at work
(docs/errors.md).
"""

import argparse
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from workflow.lib.jobs.aftermath import read_failure, tell_failures, tell_remedies, tell_slides
from workflow.lib.jobs.drafts import is_full
from workflow.lib.jobs.slurm import check_slurm
from workflow.tools.resume import LOOKS, end_note, noting, others_at_work, take_up

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
STEPS = re.compile(r"^(?:(\d+) of |total +)(\d+)(?: steps|$)")  # done; planned
TROUBLE = re.compile(r"Error|Exception|error:|Nothing to be done|cannot be used|LockException")
FAILED = re.compile(r"^Error in rule (\w+):")
FIELD = re.compile(r"^    (jobid|log): (\S+)")
LOGFILE = re.compile(r"^Logfile .*:$")
FINISHED = re.compile(r"^Finished jobid: (\d+) ")
BEGUN = re.compile(r'^ *File ".*", line \d+, in <module>$')  # where a rule file read the config
REFUSED = re.compile(r"\b(E_CONFIG|E_SHEET|E_WEIGHTS|E_OBJECT|E_ACCESS|E_ENDPOINT|LockException)\b")
ABSENT = re.compile(r"^FileNotFoundError: .*No such file or directory: '([^'/.]+)'$")
SECRET = re.compile(r"(\w*(?:token|secret|password)\w*=).+", re.IGNORECASE | re.DOTALL)


@dataclass
class Seen:
    """What the output of a run told.

    logs    of the jobs that began; failed: job id -> rule and log of those that never succeeded
    codes   of what kept the run from beginning
    absent  a word that was taken for a file of the config, and is none
    """

    logs: set[str] = field(default_factory=set)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    absent: str | None = None

    def studies(self) -> list[Path]:
        """The results folders of the studies whose jobs began."""
        parts = (Path(log).parts for log in self.logs)
        return sorted({Path("results", p[1]) for p in parts if len(p) > 2 and p[0] == "logs"})


def main(arguments: list[str]) -> int:
    """Run Snakemake and say how it ended; the exit status is 0, 1 or 2 as above."""
    if refusal := refused_by_slurm(arguments):
        sys.stderr.write(f"E_SLURM: Nothing was run. {refusal}\n")
        return 2
    if reason := take_up(arguments):
        sys.stderr.write(f"E_LOCKED: Nothing was run. {reason}\n")
        return 2
    seen, status = watch(arguments)
    again = typed(["python", "-m", "workflow.tools.run", *arguments])
    others = others_at_work() if "LockException" in seen.codes else []
    sys.stderr.writelines(f"{line}\n" for line in [*others, *farewell(seen, status, again)])
    return (1 if seen.logs else 2) if status else 0


def refused_by_slurm(arguments: list[str]) -> str | None:
    """A sentence where no job of the profile can be handed in, whatever is to be made."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--profile", type=Path)
    options.add_argument("--executor", "-e")
    options.add_argument("--default-resources", "--default-res", nargs="*")
    given, others = options.parse_known_args(arguments)
    if not given.profile or given.executor or given.default_resources or LOOKS & set(others):
        return None  # nothing goes to Slurm, or not as the profile says
    file = given.profile / "config.yaml"
    if not file.is_file() or not re.search(r"^executor: *slurm\b", file.read_text(), re.MULTILINE):
        return None
    finding = check_slurm(given.profile, sure=True)
    return finding.remedy and f"{finding.said}: {finding.remedy}."


def typed(command: Iterable[str]) -> str:
    """A command to type again, without the values of secrets, which the config has no place for."""
    return shlex.join(SECRET.sub(r"\1...", word) for word in command)


def watch(arguments: list[str]) -> tuple[Seen, int]:
    """Run Snakemake and show what matters; what its output told, and its exit status."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with subprocess.Popen(  # noqa: S603 - the arguments are the user's own
        command, stderr=subprocess.PIPE, stdout=None, text=True, bufsize=1, errors="replace"
    ) as snakemake:
        signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake gets it too and stops its jobs
        seen = show(noting(snakemake.stderr, snakemake.pid))
        status = snakemake.wait()
        end_note(snakemake.pid, status)
        return seen, status


def show(lines: Iterable[str]) -> Seen:
    """Turn Snakemake's output into a bar, sentences and, from the first trouble on, all lines.

    In a file, which has no place for a bar, a line says how far it is.
    """
    rules = tuple(f"{script.stem} " for script in SCRIPTS.glob("*.py"))
    form, begun = "{l_bar}{bar}| {n_fmt}/{total_fmt} steps {elapsed}", time.monotonic()
    bar = tqdm(total=0, unit="step", bar_format=form, disable=None)
    trouble, seen, failing, borders = False, Seen(), {}, 0
    with bar:
        for line in lines:
            if LOGFILE.match(line):
                borders = 2
            if borders:  # a whole log, which the last words name and tell the cause of
                borders -= line.startswith("====")
                continue
            said = line.startswith(rules) and ": " in line  # by a stage, which may name an error
            trouble = trouble or bool(not said and TROUBLE.search(line))
            if failed := FAILED.match(line):
                failing = {"rule": failed[1]}
            elif found := FIELD.match(line):
                failing[found[1]] = found[2]
                if found[1] == "log":
                    seen.logs.add(found[2])
                    if "rule" in failing:
                        seen.failed[failing.get("jobid", "")] = (failing["rule"], found[2])
                        failing = {}
            elif finished := FINISHED.match(line):
                seen.failed.pop(finished[1], None)  # a retry that went well
            seen.codes |= set(REFUSED.findall(line))
            if absent := ABSENT.match(line):
                seen.absent = absent[1]
            if steps := STEPS.match(line):
                bar.total = int(steps[2])
                bar.n = int(steps[1] or 0)
                bar.refresh()
                if bar.disable:
                    taken = tqdm.format_interval(time.monotonic() - begun)
                    sys.stderr.write(f"{steps[1] or 0}/{steps[2]} steps {taken}\n")
            elif said or (trouble and line.strip() and not (seen.codes and BEGUN.match(line))):
                bar.write(line.rstrip(), file=sys.stderr)
    return seen


def farewell(seen: Seen, status: int, again: str) -> list[str]:
    """The last lines: what failed, which slides were put aside, what stands, what to type next."""
    if status and not seen.logs:
        codes = {"E_LOCKED" if code == "LockException" else code for code in seen.codes}
        codes = codes or ({"E_DISK"} if is_full(Path.cwd()) else set())
        killed = ["  Snakemake was killed before a job began."] * (status < 0)
        if seen.absent:
            killed = [f"  If {seen.absent} is to be made: name it before the options, or after --."]
        reason = tell_remedies(codes) or killed or ["  The lines above say why."]
        return ["Nothing was run.", *reason, f"Then: {again}"]
    lines = []
    if status and not seen.failed:
        lines.append("The run was stopped before all was made; no job failed of itself.")
    if seen.failed:
        failures = (read_failure(rule, Path(log)) for rule, log in seen.failed.values())
        lines += tell_failures(failures)
    for results in seen.studies():
        lines += tell_slides(results, standing=bool(status))
    if status:
        lines += ["What was finished is kept. Then the same command goes on from there:"]
        lines.append(f"  {again}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
