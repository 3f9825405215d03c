"""What a soak looks at: processes while they work, and what must not be left when all is done."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GROWTH, MORE_MB = 1.5, 100  # of memory, over what a process of the same kind had elsewhere
MORE_FILES = 16  # open at a time
LASTING = ("controller", "run")  # jobs are new every time, and of killed ones only a part is seen
EMPTY = re.compile(r"tmp/snakemake\w+")  # an empty folder of a killed controller
ANYWHERE = ("__pycache__", ".snakemake/log/", "taking_up")  # of Python; named by the time; a lock


@dataclass
class Seen:
    """What the processes of a study held at most in each of its runs, and how these ended.

    rss_mb, files    kind -> MB, open files; a pair of these for each run
    """

    runs: list[tuple[Counter, Counter]] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)

    def look(self, run: psutil.Process) -> None:
        """Look at the processes of the last run as they are now."""
        rss_mb, files = self.runs[-1]
        for process in [run, *run.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                kind = kind_of(process)
                rss_mb[kind] = max(rss_mb[kind], round(process.memory_info().rss / 2**20))
                files[kind] = max(files[kind], process.num_fds())

    def most(self) -> tuple[Counter, Counter]:
        """The most of all runs."""
        rss_mb, files = Counter(), Counter()
        for run in self.runs:
            rss_mb |= run[0]
            files |= run[1]
        return rss_mb, files


def kind_of(process: psutil.Process) -> str:
    """The name of a stage, "controller" or "run"."""
    for part in process.cmdline():
        if ".snakemake/scripts/" in part:
            return Path(part).name.split(".")[-2]
        if part in ("snakemake", "workflow.tools.run"):
            return {"snakemake": "controller"}.get(part, "run")
    return "other"


def at_work(run: psutil.Process) -> dict[str, psutil.Process]:
    """One process of each kind that a run has at work."""
    family = {}
    for process in run.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ends meanwhile
            family[kind_of(process)] = process
    return family


def excess(few: Seen, many: Seen, kinds: tuple[str, ...] | None = None) -> Iterator[str]:
    """A sentence for each kind of process that held more than elsewhere."""
    (mb, files), (mb_now, files_now) = few.most(), many.most()
    for kind in sorted(set(mb) & set(kinds or mb)):
        if mb_now[kind] > GROWTH * mb[kind] + MORE_MB:
            yield f"{kind} took {mb_now[kind]} MB instead of {mb[kind]}"
        if files_now[kind] > files[kind] + MORE_FILES:
            yield f"{kind} had {files_now[kind]} files open instead of {files[kind]}"


def growth(seen: Seen) -> Iterator[str]:
    """A sentence for what held more in the last third of the runs than in the first."""
    third = len(seen.runs) // 3
    if third:
        first, last = Seen(seen.runs[:third]), Seen(seen.runs[-third:])
        yield from (f"{said} in the first runs" for said in excess(first, last, LASTING))


def leftovers(calm: Path, soaked: Path) -> Iterator[str]:
    """A sentence for every file or folder that only the disturbed study has, and every draft."""
    allowed = things(calm)
    for name in sorted(things(soaked)):
        new = name not in allowed and not EMPTY.fullmatch(name)
        if new or name.endswith(".draft"):
            yield f"{name} was left"


def things(folder: Path) -> set[str]:
    """The names of everything in a study: results, logs, temporary files, Snakemake's own."""
    found = (str(thing.relative_to(folder)) for thing in folder.rglob("*"))
    return {name for name in found if not any(part in name for part in ANYWHERE)}
