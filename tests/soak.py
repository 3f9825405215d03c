"""Disturb a study until it is done, and compare it with one left in peace: `make soak`.

    python -m tests.soak --slides 200 --kills 20 --seed 0

Both studies have the same small labelled slides, 3 % of them damaged, and all stages of the default
study. One is run once. Of the other, jobs and controller are killed at random with SIGKILL and
SIGTERM and its disk (a small tmpfs, which only the administrator can mount) is filled; the same
command goes on until it says that all is made. Prints what was done and every difference; exits
with 1 where there is any. On two quiet cores 200 slides and 20 kills take half an hour.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from tests import disks
from tests.lib.mutators import STEPS
from tests.soak_seen import Seen, at_work, excess, growth, leftovers
from tests.synthetic import make_cohort
from tests.workflow.study import ROOT, Study
from workflow.lib.jobs.damage import find_damage
from workflow.lib.jobs.tables import read_table
from workflow.tools.resume import jobs_at_work

# Every stage of the default study, once; a job starts for 4 s, whatever it has to do.
SETTINGS = {
    "slides_per_shard": 25,
    "refine_masks": {"methods": ["negev"]},
    "compute": {"scratch": "scratch"},  # on the disk that is filled, as TMPDIR is
}
DAMAGED = 0.03
DAMAGES = [  # step of tests/lib/mutators.py, its arguments, the verdict
    ("empty", {}, "E_EMPTY"),
    ("cut", {"share": 0.4}, "E_FORMAT"),
    ("damage_tiles", {}, "E_TILE"),
    ("set_tags", {"tags": {"ImageWidth": 0, "ImageLength": 0}}, "E_DIM"),
]
SPARE_MB, MB_PER_SLIDE = 640, 2  # of the small disk; a training keeps 180 MB to go on from
DAY_S = 86400


def make_study(folder: Path, slides: int, seed: int) -> tuple[Study, dict[str, str]]:
    """A study before its first run, and the verdicts of its damaged slides."""
    study = Study.make(folder, slides=1, **SETTINGS)
    make_cohort(folder / "cohort", slides=slides, side_px=384, seed=seed)
    files = sorted((folder / "cohort/slides").iterdir())
    verdicts = {}
    chosen = np.random.default_rng(seed).permutation(slides)[: max(1, round(DAMAGED * slides))]
    for number, slide in enumerate(files[which] for which in chosen):
        step, arguments, verdict = DAMAGES[number % len(DAMAGES)]
        STEPS[step](slide, **arguments)
        verdicts[slide.stem] = verdict
    return study, verdicts


def said_by(study: Study) -> Path:
    """What its runs say; not on its own disk, which is filled."""
    return study.folder.with_suffix(".txt")


def start(study: Study, seen: Seen) -> subprocess.Popen:
    command = [sys.executable, "-m", "workflow.tools.run", "--cores", "2"]
    temporary = study.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    seen.runs.append((Counter(), Counter()))
    with said_by(study).open("a") as said:
        return subprocess.Popen(
            [*command, "--configfile", "study.yaml"],
            cwd=study.folder,
            env=study.environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
            stdout=said,
            stderr=said,
        )


def watch(run: subprocess.Popen, seen: Seen, seconds: float) -> int | None:
    """Look at a run for a while; its exit status if it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.poll() is None:
        with contextlib.suppress(psutil.Error):
            seen.look(psutil.Process(run.pid))
        time.sleep(0.25)
    return run.poll()


def disturb(
    study: Study, run: subprocess.Popen, seen: Seen, done: Counter, chance: np.random.Generator
) -> str:
    """Do one harm, and say which; of jobs to that at work whose stage had the fewest so far."""
    family = {}
    with contextlib.suppress(psutil.Error):
        family = at_work(psutil.Process(run.pid))
    jobs = sorted(set(family) - {"controller", "run", "other"})
    harms = ["SIGTERM of run"]
    harms += ["SIGKILL of controller", "SIGKILL of run and controller"] * ("controller" in family)
    if jobs:
        least = min(jobs, key=lambda job: done[f"SIGKILL of {job}"] + done[f"SIGTERM of {job}"])
        harms += [f"SIGKILL of {least}", f"SIGTERM of {least}"]
    harms += ["disk full"] * os.path.ismount(study.folder)
    harm = harms[chance.integers(len(harms))]
    if harm == "disk full":
        fill(study, run, seen, chance.uniform(5, 20))
    elif harm == "SIGTERM of run":
        run.terminate()
    else:
        name, _, whom = harm.partition(" of ")
        with contextlib.suppress(psutil.NoSuchProcess):
            family[whom.removeprefix("run and ")].send_signal(signal.Signals[name])
        if whom.startswith("run and"):
            run.kill()
    return harm


def fill(study: Study, run: subprocess.Popen, seen: Seen, seconds: float) -> None:
    """Leave no room on the disk for a while."""
    ballast = disks.fill(study.folder)
    watch(run, seen, seconds)
    ballast.unlink()


def soak(
    study: Study, kills: int, pause_s: float, chance: np.random.Generator
) -> tuple[Seen, Counter]:
    """Run the study again and again, and harm it, `kills` times at most, until all is made."""
    seen, harms = Seen(), Counter()
    while (not seen.exits or seen.exits[-1] != 0) and len(seen.exits) < 3 * kills + 10:
        run = start(study, seen)
        while run.poll() is None:
            more = sum(harms.values()) < kills
            if watch(run, seen, chance.uniform(0.2, 1.8) * pause_s if more else DAY_S) is None:
                harms[disturb(study, run, seen, harms, chance)] += 1
        seen.exits.append(run.returncode)
    return seen, harms


def faults(calm: Study, soaked: Study, seen: tuple[Seen, Seen], verdicts: dict) -> Iterator[str]:
    """A sentence for everything that the disturbed study has and the other has not."""
    first, second = calm.tree(), soaked.tree()
    for name in sorted(set(first) | set(second)):
        if first.get(name) != second.get(name):
            yield f"{name} differs, or is in one only"
    for study in (calm, soaked):
        rows = read_table(study.results / "verdicts.tsv")
        found = {row["slide"]: row["verdict"] for row in rows}
        bad = {slide: verdict for slide, verdict in found.items() if not verdict.startswith("ok")}
        if bad != verdicts:
            yield f"{study.folder.name}: verdicts {bad} instead of {verdicts}"
    for damage in find_damage(soaked.results)[1]:
        yield damage.sentence
    yield from leftovers(calm.folder, soaked.folder)
    for number in jobs_at_work(soaked.folder):
        yield f"process {number} is still at work"
    yield from excess(*seen)
    yield from growth(seen[1])


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("soak", description=__doc__)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    megabytes = SPARE_MB + MB_PER_SLIDE * given.slides
    with (
        tempfile.TemporaryDirectory() as place,
        disks.mounted(Path(place, "soaked"), megabytes) as refused,
    ):
        if refused:
            say(f"No disk is filled, because none can be mounted: {refused}")
        folder = Path(place)
        (folder / "calm").mkdir()
        calm, verdicts = make_study(folder / "calm", given.slides, given.seed)
        shutil.copytree(folder / "calm", folder / "soaked", symlinks=True, dirs_exist_ok=True)
        soaked, peace, began = Study(folder / "soaked"), Seen(), time.monotonic()
        if watch(start(calm, peace), peace, DAY_S) != 0:
            sys.exit(said_by(calm).read_text()[-3000:])
        peace_s = time.monotonic() - began
        say(f"{given.slides} slides, {len(verdicts)} damaged; in peace: {peace_s:.0f} s.")
        pause_s, chance = peace_s / (given.kills + 1), np.random.default_rng(given.seed)
        seen, harms = soak(soaked, given.kills, pause_s, chance)
        took_s = time.monotonic() - began - peace_s
        say(f"Disturbed: {took_s:.0f} s, exits {seen.exits}, harms {dict(harms)}.")
        for who, held in (("in peace", peace), ("disturbed", seen)):
            rss_mb, files = map(dict, held.most())
            say(f"At most, {who}: MB {rss_mb}; open files {files}.")
        if seen.exits[-1] != 0:
            sys.exit(said_by(soaked).read_text()[-3000:])
        found = list(faults(calm, soaked, (peace, seen), verdicts))
    say("\n".join([*found, f"{len(found)} differences."]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
