"""Run the workflow with a bar and a sentence a step: `python -m workflow.tools.run [arguments]`.

The arguments are Snakemake's own. Its full output goes to .snakemake/log as always; here only the
stages' sentences, the bar, and whatever goes wrong are shown.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
STEPS = re.compile(r"^(\d+) of (\d+) steps")
TROUBLE = re.compile(r"Error|Exception|error:|Nothing to be done|cannot be used|LockException")


def main(arguments: list[str]) -> int:
    """Run Snakemake; the exit status is its own."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with subprocess.Popen(  # noqa: S603 - the arguments are the user's own
        command, stderr=subprocess.PIPE, stdout=None, text=True, bufsize=1, errors="replace"
    ) as snakemake:
        signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake gets it too and stops its jobs
        show(snakemake.stderr)
        return snakemake.wait()


def show(lines: Iterable[str]) -> None:
    """Turn Snakemake's output into a bar, sentences and, from the first trouble on, all lines."""
    rules = tuple(f"{script.stem} " for script in SCRIPTS.glob("*.py"))
    bar = tqdm(total=0, unit="step", bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} steps {elapsed}")
    trouble = False
    with bar:
        for line in lines:
            trouble = trouble or bool(TROUBLE.search(line))
            if steps := STEPS.match(line):
                bar.total = int(steps[2])
                bar.n = int(steps[1])
                bar.refresh()
            elif (line.startswith(rules) and ": " in line) or (trouble and line.strip()):
                bar.write(line.rstrip(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
