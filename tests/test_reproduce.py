"""reproduce: which runs there are, what they share, and the table beside what was published."""

import shutil
from pathlib import Path

import pytest
import yaml

from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.measures.published import PUBLISHED
from workflow.tools import reproduce

ROOT = Path(__file__).resolve().parents[1]
PLAN = {
    "configfile": "study.yaml",
    "slides": "draw-{seed}.tsv",
    "published": "published.tsv",
    "targets": [{"level": "pixel", "metric": "pxap"}],
    "differs": ["The optimiser is another."],
    "variants": {
        "resnet50": {"train_classifier": {"backbone": "resnet50"}},
        "vgg16": {"train_classifier": {"backbone": "vgg16"}},
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    shutil.copy2(ROOT / "config/config.yaml", "config/config.yaml")
    Path("study.yaml").write_text(yaml.safe_dump({"study": "mine"}))
    Path("plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    for seed in range(3):
        Path(f"draw-{seed}.tsv").touch()
    cells = ("NEGEV", "negev", "gap", "resnet50", "pixel", "pxap", "82.0", "6", "A paper")
    write_table(Path("published.tsv"), PUBLISHED, [dict(zip(PUBLISHED, cells, strict=True))])
    return tmp_path


class Snakemake:
    """Writes a PxAP of 70 and the seed for every run, and remembers the configs."""

    def __init__(self, fails=()):
        self.configs, self.fails = {}, fails

    def __call__(self, command):
        config = yaml.safe_load(Path(command[command.index("--configfile") + 1]).read_text())
        self.configs[config["study"]] = config
        if config["study"] in self.fails:
            return 1
        row = dict.fromkeys(METRICS, "0") | {
            "fold": "all", "split": "test", "level": "pixel", "method": "negev",
            "metric": "pxap", "value": 70.0 + config["seed"],
        }  # fmt: skip
        results = Path("results", config["study"])
        results.mkdir(parents=True, exist_ok=True)
        write_table(results / "metrics.tsv", METRICS, [row])
        return 0


def test_every_backbone_and_seed_is_run_with_the_sheet_of_its_seed(folder, capsys):
    snakemake = Snakemake()
    assert reproduce.main(["plan.yaml"], run=snakemake) == 0
    assert list(snakemake.configs) == [
        f"mine-{name}-seed{seed}" for seed in (0, 1, 2) for name in ("resnet50", "vgg16")
    ]
    about = {(c["seed"], c["slides"]) for c in snakemake.configs.values()}
    assert about == {(seed, f"draw-{seed}.tsv") for seed in (0, 1, 2)}
    said = capsys.readouterr().out
    assert "| negev (NEGEV) | resnet50 | 71.0 [68.5, 73.5] | 3 of 3 |" in said
    assert "| 82.0 | 6 | -11.0 |" in said and "* The optimiser is another." in said
    made = Path("results/mine-reproduction/plan")
    assert (made / "table.md").read_text() == said
    rows = read_table(made / "table.tsv")
    assert [(r["variant"], r["value"], r["published"]) for r in rows] == [
        ("resnet50", "71", "82"),
        ("vgg16", "71", ""),
    ]
    assert len(read_table(made / "runs.tsv")) == 8


def test_a_backbone_that_fails_stops_no_other(folder, capsys):
    snakemake = Snakemake(fails=["mine-resnet50-seed0"])
    assert reproduce.main(["plan.yaml", "--seeds", "0", "1"], run=snakemake) == 1
    assert len(snakemake.configs) == 4
    said = capsys.readouterr().out
    assert "resnet50, seed 0 did not finish" in said and "were not run" not in said
    assert (
        "| resnet50 | 71.0 | 1 of 2 |" in said and "| vgg16 | 70.5 [64.1, 76.9] | 2 of 2 |" in said
    )


def test_one_backbone_alone_and_a_sheet_of_ones_own(folder):
    Path("own.tsv").touch()
    snakemake = Snakemake()
    given = ["plan.yaml", "--seeds", "1", "--leave-out", "vgg16", "--config", "slides=own.tsv"]
    assert reproduce.main(given, run=snakemake) == 0
    assert [c["slides"] for c in snakemake.configs.values()] == ["own.tsv"]


@pytest.mark.parametrize(
    "change, arguments, said",
    [
        ({}, ("--seeds", "0", "7"), "there is no slide sheet draw-7.tsv; docs/studies.md says"),
        ({"published": "absent.tsv"}, (), "absent.tsv"),
        ({"published": "draw-0.tsv"}, (), None),
        ({"differs": "all"}, (), "plan.yaml: differs: write a list"),
        ({"variants": {"a": {"train_clasifier": {}}}}, (), "a: unknown key 'train_clasifier'"),
        ({}, ("--leave-out", "vgg"), "no variant is called vgg"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(folder, capsys, change, arguments, said):
    Path("plan.yaml").write_text(yaml.safe_dump(PLAN | change, sort_keys=False))
    snakemake = Snakemake()
    status = reproduce.main(["plan.yaml", *arguments], run=snakemake)
    if said is None:  # an empty table publishes nothing, and that is no fault
        assert status == 0 and snakemake.configs
    else:
        assert status == 1 and said in capsys.readouterr().err and not snakemake.configs
