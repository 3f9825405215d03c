"""A copy of the project with a small synthetic study in it, driven by the real Snakemake."""

import atexit
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.synthetic import make_cohort

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "config", "envs")
JOB = re.compile(r"^(?:local)?rule (\w+):$", re.MULTILINE)
UNSTABLE = ("identities.json", "report.html", ".report.html.recipe.json")  # they tell of time
UNSTABLE += ("methods.tsv", ".methods.tsv.recipe.json")

SMALL = {
    "study": "small",
    "slides": "cohort/slides.tsv",
    "slides_per_shard": 4,
    "split_patients": {"folds": 2, "val_fraction": 0.34},
    "tile_slide": {"mpp": 1.0, "tile_px": 64, "stride_px": 64},
    "train_clusters": {"count": 3, "pca": 4, "restarts": 1},
    "train_classifier": {"epochs": 1, "patience": 1},
    "train_negev": {"epochs": 1, "foreground_pixels": 1, "background_pixels": 2},
    "evaluate_masks": {"bootstrap": 100},
    "evaluate_classifier": {"bootstrap": 100},
    "evaluate_clusters": {"bootstrap": 100},
    "draw_embeddings": {"max_tiles": 60, "queries": 2},
    "explain_tiles": {"most_certain": 1, "least_certain": 0, "occlusion_px": 32, "channels": 1},
}
# What differs where a network learns the clusters and everything that uses them is on.
LEARNT = {
    "slides_per_shard": 8,  # half of the jobs; studies of several shards are run elsewhere
    "cluster": {"method": "deepcluster", "fit_on": "train"},
    "train_deepcluster": {"count": 4, "pca": 4, "rounds": 2, "passes": 1, "batch_size": 8},
    "train_dcec": {"count": 3, "embedding": 4, "pretrain_epochs": 1, "epochs": 1},
    "probe_networks": {"random_starts": 1},
    "evaluate_probes": {"bootstrap": 100},
    "draw_networks": {"channels": 2, "tiles_per_channel": 2},
    "train_classifier": {
        "epochs": 1,
        "patience": 1,
        "checkpoint": "deepcluster",
        "balance": "clusters",
    },
    "pool_evidence": {"count": 5, "pca": 8, "locations_per_tile": 4},
    "make_cams": {"consistency": 0.5, "methods": ["cam", "layercam"]},
}


@functools.cache
def warm() -> subprocess.Popen:
    """Where dry runs are asked for; it ends with the tests."""
    command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def ask(*question: object) -> tuple[int, str]:
    """What warm.py answers: a dry run without the second that importing Snakemake takes."""
    process = warm()
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    status, said = json.loads(process.stdout.readline())
    return status, said


class Study:
    """A folder that a user would work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "study.yaml"
        self.results = folder / "results" / "small"
        self.sheet = folder / "cohort" / "slides.tsv"

    @classmethod
    def make(cls, folder: Path, *, slides: int = 8, **config: object) -> "Study":
        """A new study: the project as it is now, drawn slides, a config."""
        study = cls(folder)
        for part in PARTS:
            if (ROOT / part).is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, folder / part, ignore=skip)
            else:
                shutil.copy2(ROOT / part, folder / part)
        (folder / "profiles").symlink_to("workflow/profiles")
        make_cohort(folder / "cohort", slides=slides)
        study.config.write_text(yaml.safe_dump(SMALL | config))
        return study

    def copy(self, folder: Path) -> "Study":
        """The study with all its results, times of files included, to be edited."""
        shutil.copytree(self.folder, folder, symlinks=True, copy_function=shutil.copy2)
        return Study(folder)

    def beside(self, folder: Path) -> "Study":
        """The study beside the same results, to be edited and planned; a run would change them."""
        skip = shutil.ignore_patterns("results")
        shutil.copytree(self.folder, folder, symlinks=True, copy_function=shutil.copy2, ignore=skip)
        (folder / "results").symlink_to(self.folder / "results")
        return Study(folder)

    def edit_config(self, section: str | None, **values: object) -> None:
        config = yaml.safe_load(self.config.read_text())
        (config if section is None else config.setdefault(section, {})).update(values)
        self.config.write_text(yaml.safe_dump(config))

    def command(self, *arguments: str) -> list[str]:
        given = ["--cores", "2", "--configfile", "study.yaml", *arguments]
        return [sys.executable, "-m", "snakemake", *given]

    def environment(self) -> dict[str, str]:
        """As a user has it: nothing but the installed packages is on the path."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return kept | {"OMP_NUM_THREADS": "1"}

    def snakemake(self, *arguments: str, within: Sequence[str] = ()) -> subprocess.CompletedProcess:
        """Snakemake, started by the command `within` where one is given."""
        return subprocess.run(
            [*within, *self.command(*arguments)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: str, within: Sequence[str] = ()) -> str:
        """Run and expect success; what Snakemake said."""
        done = self.snakemake(*arguments, within=within)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        return said

    def would_run(self, *arguments: str) -> Counter:
        """How many jobs of each rule a dry run lists."""
        given = self.command("--dry-run", *arguments)[3:]
        status, said = ask(str(self.folder), self.environment(), given)
        assert status == 0, said[-6000:]
        jobs = Counter(JOB.findall(said))
        del jobs["all"]
        return jobs

    def tree(self) -> dict[str, str]:
        """Every result file and its hash, but for what tells of time."""
        return {
            str(file.relative_to(self.results)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(self.results.rglob("*"))
            if file.is_file() and file.name not in UNSTABLE
        }
