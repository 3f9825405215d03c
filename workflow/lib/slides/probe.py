"""Look at a slide in a process of its own, which may crash, hang or run out of memory.

    python -m workflow.lib.slides.probe < request.json

Damaged files can end the process that reads them (a tile of 65520 x 65520 px aborts inside a C
library), so the pipeline asks this module and gets a verdict in every case.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from workflow.lib.jobs.verdicts import OK, Quarantine
from workflow.lib.slides.inspection import inspect_slide

ROOT = Path(__file__).resolve().parents[3]


def probe(
    path: Path,
    *,
    mpp: float | None,
    sha256: str | None,
    timeout_s: float,
    memory_mb: int,
    max_side_px0: int,
    mpp_min: float,
    mpp_max: float,
    max_bad_tiles: float,
    allow_fluorescence: bool,
) -> dict:
    """The verdict on one slide: {"verdict": "ok" or a code, "sentence", "facts"}.

    `mpp` and `sha256` are what the sheet says. Opens the slide, reads a tile of every level, a
    sample of level 0 and a thumbnail within `timeout_s` seconds and `memory_mb` MB. Storage that
    fails is asked once more, and a slide that needs more memory gets twice as much once. Facts
    hold sizes, mpp, levels, vendor and warnings; no other metadata leaves the slide.

    Raises RuntimeError only when the reader itself cannot start.
    """
    request = {
        "path": str(path.absolute()),
        "mpp": mpp,
        "sha256": sha256,
        "timeout_s": timeout_s,
        "memory_mb": memory_mb,
        "max_side_px0": max_side_px0,
        "mpp_min": mpp_min,
        "mpp_max": mpp_max,
        "max_bad_tiles": max_bad_tiles,
        "allow_fluorescence": allow_fluorescence,
    }
    found = _ask(path.name, request)
    if found["verdict"] == "E_IO":
        found = _ask(path.name, request)
    elif found["verdict"] == "E_OOM":
        found = _ask(path.name, request | {"memory_mb": 2 * memory_mb})
    return found


def _ask(name: str, request: dict) -> dict:
    single = {f"{pool}_NUM_THREADS": "1" for pool in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-m", "workflow.lib.slides.probe"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command, the request goes by stdin
            command,
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=request["timeout_s"],
            cwd=ROOT,
            env=os.environ | single,
        )
    except subprocess.TimeoutExpired:
        return _verdict("E_TIMEOUT", f"{name}: not read within {request['timeout_s']:g} s.")
    if answer.returncode == 0:
        return json.loads(answer.stdout)
    if answer.returncode > 0:
        last = (answer.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"The slide reader does not start ({last}); repair the environment")
    reason = signal.Signals(-answer.returncode).name
    if reason == "SIGKILL":
        return _verdict("E_OOM", f"{name}: the system stopped the reader, short of memory.")
    return _verdict("E_CRASH", f"{name}: the reader was stopped by {reason}.")


def _verdict(code: str, sentence: str | None = None, facts: dict | None = None) -> dict:
    return {"verdict": code, "sentence": sentence, "facts": facts or {}}


def main() -> None:
    """Answer one request from stdin on stdout, whatever libraries print there."""
    # A file name may hold bytes that are no text; the verdict that names it must.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    _confine(request.pop("timeout_s"), request.pop("memory_mb"))
    found = judge(Path(request.pop("path")), **request)
    with answer:
        json.dump(found, answer, ensure_ascii=False)


def judge(path: Path, **request: object) -> dict:
    """The verdict of `inspect_slide`, whatever it raises. Runs in this process."""
    try:
        return _verdict(OK, facts=inspect_slide(path, **request))
    except Quarantine as verdict:
        return _verdict(verdict.code, verdict.sentence)
    except MemoryError:
        return _verdict("E_OOM", f"{path.name}: reading needs more memory than allowed.")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no reason given"
        return _verdict("E_IO", f"{path.name}: reading failed ({reason}).")
    except Exception as error:  # whatever the damage does, the study goes on
        return _verdict("E_CRASH", f"{path.name}: the reader failed ({type(error).__name__}).")


def _confine(timeout_s: float, memory_mb: int) -> None:
    """Limit this process, also when its parent is killed and nobody watches any more.

    The memory comes on top of what the loaded libraries hold, which differs between machines.
    """
    held_pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = held_pages * resource.getpagesize() + (memory_mb << 20)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, timeout_s + 5)


if __name__ == "__main__":
    main()
