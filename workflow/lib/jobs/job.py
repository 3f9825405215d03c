"""Run one stage: from Snakemake, or alone from the command line with the same names.

    python -m workflow.scripts.tile_slide --configfile config/config.yaml \
        --sheet config/slides.tsv --checks results/demo/checks/all.json ... --tile-px 224

A stage is a function. Its Path parameters are the rule's inputs and outputs, its keyword-only
parameters are the keys of the config section with the rule's name.
"""

import json
import logging
import re
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workflow.lib.jobs.arguments import from_command_line, from_snakemake
from workflow.lib.jobs.drafts import FULL
from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.units import checksum, write_json

log = logging.getLogger("workflow")

CODE = re.compile(r"E_[A-Z_]+: ")


def run(stage: Callable[..., None], snakemake: object | None = None) -> None:
    """Call `stage` with what Snakemake or the command line gives, and log to both."""
    if snakemake is None:
        _call(stage, from_command_line(stage), None)
    else:
        _call(stage, from_snakemake(stage, snakemake), snakemake)


class _Sentences(logging.Formatter):
    """One sentence a line for people; tracebacks go to the log file only."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self.job = job

    def format(self, record: logging.LogRecord) -> str:
        return f"{self.job}: {record.getMessage()}"


def _call(stage: Callable[..., None], arguments: dict, snakemake: object | None) -> None:
    started, name = time.monotonic(), stage.__name__
    log_file = Path(snakemake.log[0]) if snakemake else None
    key = log_file.with_suffix("").name if log_file else ""
    handler = logging.StreamHandler()
    handler.setFormatter(_Sentences(f"{name} {key}".strip()))
    handler.addFilter(_of_a_stage)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    try:
        if log_file:
            _log_to(log_file)
        stage(**arguments)
        if snakemake:
            _sign(snakemake)
    except Exception as error:
        log.exception("Stopped: %s", with_code(error))
        if log_file:
            log.error("The whole story is in %s", log_file)
        sys.exit(1)
    finally:
        if log_file:
            try:
                _write_usage(log_file, name, key, time.monotonic() - started, arguments)
            except OSError as error:  # what was made is made
                log.warning("What this job cost is not written down: %s", error)


def _log_to(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log_file, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_of_a_stage)
    logging.getLogger().addHandler(handler)


def _of_a_stage(record: logging.LogRecord) -> bool:
    return record.name.startswith(("workflow", "__main__"))


def with_code(error: BaseException) -> str:
    """The sentence of an error with its code in front (docs/errors.md): E_JOB unless it has one."""
    text = str(error) or type(error).__name__
    causes = [error]
    while cause := causes[-1].__cause__:
        causes.append(cause)
    if any(isinstance(one, OSError) and one.errno in FULL for one in causes):
        return f"E_DISK: {text}"
    if any(isinstance(one, MemoryError) or _of_a_gpu(one) for one in causes):
        return f"E_MEMORY: {text}"
    code = next((found[0] for one in causes if (found := CODE.match(str(one)))), "E_JOB: ")
    return text if text.startswith(code) else f"{code}{text}"


def _of_a_gpu(error: BaseException | None) -> bool:
    """Whether torch found no memory on a GPU; torch is imported by few jobs, and not for this."""
    return type(error).__name__ == "OutOfMemoryError"


def _write_usage(log_file: Path, rule: str, key: str, seconds: float, arguments: dict) -> None:
    """What the job cost and where, for the report; of units that it found made, what they cost."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    device = arguments.get("device")
    if device:
        from workflow.lib.jobs.devices import choose  # imports torch, which such a job has anyway

        device = choose(device)
    made = arguments["shard"].seconds if "shard" in arguments else {}
    file = log_file.with_suffix(".run.json")
    known, made_on = _known(file)
    if known and not made:
        device = made_on  # the times are of that one
    elif made_on != device:
        known = {}  # times of two devices are not one cost
    record = {
        "rule": rule,
        "key": key,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(sum(used.ru_utime + used.ru_stime for used in usage), 2),
        "max_rss_mb": round(max(_peak_kb(), usage[1].ru_maxrss) / 1024),
        "threads": arguments.get("threads", 1),
        "host": socket.gethostname(),
        "device": device,
        "unit_seconds": known | {unit: round(took, 4) for unit, took in made.items()},
    }
    file.write_text(json.dumps(record) + "\n")


def _known(file: Path) -> tuple[dict[str, float], str | None]:
    """What units took when earlier runs of a job made them, and on which device."""
    try:
        record = json.loads(file.read_text())
        return record.get("unit_seconds", {}), record.get("device")
    except (OSError, ValueError, AttributeError):  # the first run, or a killed one left it torn
        return {}, None


def _peak_kb() -> int:
    """Peak memory of this process; ru_maxrss would begin with that of its parent, Snakemake."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _sign(snakemake: object) -> None:
    """Write the recipe and checksum of plain outputs (tables, the page) into their sidecars."""
    for output in (Path(file) for file in snakemake.output):
        if output.suffix != ".json":
            record = {
                "recipe": json.loads(snakemake.params.recipe),
                "files": {output.name: checksum(output)},
            }
            write_json(sidecar(output), record)
