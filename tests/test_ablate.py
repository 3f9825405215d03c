"""ablate: what is run with which config, what runs share, how it continues, what it says."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.lib.ablated import RECIPE, unit
from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.measures.ablation import COLUMNS
from workflow.tools import ablate

ROOT = Path(__file__).resolve().parents[1]
PLAN = {
    "targets": [{"level": "tile", "metric": "auroc", "method": "classifier"}],
    "common": {"refine_masks": {"methods": ["none"]}},
    "variants": {"baseline": {}, "consistency": {"make_cams": {"consistency": 0.5}}},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with the defaults, a study and a file of variants."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    shutil.copy2(ROOT / "config/config.yaml", "config/config.yaml")
    Path("study.yaml").write_text(
        yaml.safe_dump({"study": "mine", "train_classifier": {"epochs": 2}})
    )
    Path("plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    return tmp_path


class Snakemake:
    """Writes what a run of the workflow would, and remembers how it was called."""

    def __init__(self, fails=(), stops=None):
        self.calls, self.fails, self.stops = [], set(fails), stops
        self.made = []

    def __call__(self, command):
        self.calls.append(command)
        config = yaml.safe_load(Path(command[command.index("--configfile") + 1]).read_text())
        results, study = Path("results", config["study"]), config["study"]
        if study == self.stops:
            raise KeyboardInterrupt
        unit(results / "tiles" / "s1.json", RECIPE, "tiles")
        if study in self.fails:
            return 1
        if not (results / "metrics.tsv").exists():
            self.made.append(study)
            gain = config["make_cams"]["consistency"] * (1 + config["seed"])
            row = dict.fromkeys(METRICS, "0") | {
                "fold": "all", "split": "test", "level": "tile", "method": "classifier",
                "metric": "auroc", "value": 0.5 + 0.1 * config["seed"] + 0.1 * gain,
            }  # fmt: skip
            write_table(results / "metrics.tsv", METRICS, [row])
        return 0


def run(snakemake, *arguments):
    given = ["plan.yaml", "--configfile", "study.yaml", "--seeds", "0", "1", *arguments]
    return ablate.main(given, run=snakemake)


def test_every_variant_and_seed_is_run_as_far_as_its_metrics(folder):
    snakemake = Snakemake()
    assert run(snakemake, "--cores", "3", "--", "--quiet", "rules") == 0
    studies = [f"mine-{v}-seed{s}" for s in (0, 1) for v in ("baseline", "consistency")]
    assert snakemake.calls == [
        [
            *(sys.executable, "-m", "workflow.tools.run", f"results/{study}/metrics.tsv"),
            *("--cores", "3", "--configfile", f"results/mine-ablation/plan/{study[5:]}.yaml"),
            *("--quiet", "rules"),
        ]
        for study in studies
    ]


def test_the_config_of_a_run_is_whole_and_checked_in_beside_the_table(folder):
    Path("sheet with = sign.tsv").touch()
    run(Snakemake(), "--config", "slides=sheet with = sign.tsv", "weights=w", "slides_per_shard=3")
    config = yaml.safe_load(Path("results/mine-ablation/plan/consistency-seed1.yaml").read_text())
    expected = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    expected |= {"study": "mine-consistency-seed1", "seed": 1, "slides_per_shard": 3}
    expected |= {"slides": "sheet with = sign.tsv", "weights": "w"}
    expected["train_classifier"]["epochs"] = 2
    expected["refine_masks"]["methods"] = ["none"]
    expected["make_cams"]["consistency"] = 0.5
    assert config == expected


def test_the_table_holds_paired_differences(folder, capsys):
    assert run(Snakemake()) == 0
    rows = read_table(Path("results/mine-ablation/plan/table.tsv"))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["variant"], row["seed"], row["value"], row["difference"]) for row in rows] == [
        ("baseline", "0", "0.5", ""),
        ("baseline", "1", "0.6", ""),
        ("baseline", "all", "0.55", ""),
        ("consistency", "0", "0.55", "0.05"),
        ("consistency", "1", "0.7", "0.1"),
        ("consistency", "all", "0.625", "0.075"),
    ]
    said = capsys.readouterr().out
    assert "| tile auroc, classifier | consistency |" in said
    assert "| +0.075 [-0.243, +0.393] | 2 of 2 | 2 of 2 |" in said  # 12.706 * 0.025 either way
    assert Path("results/mine-ablation/plan/differences.svg").read_text().startswith("<?xml")


def test_a_stopped_ablation_continues_and_makes_nothing_twice(folder, capsys):
    first = Snakemake(stops="mine-baseline-seed1")
    assert run(first) == ablate.INTERRUPTED
    assert first.made == ["mine-baseline-seed0", "mine-consistency-seed0"]
    said = capsys.readouterr().out
    assert "1 of 2" in said and "Stopped at baseline, seed 1" in said
    second = Snakemake()
    assert run(second) == 0
    assert second.made == ["mine-baseline-seed1", "mine-consistency-seed1"]
    assert len(second.calls) == 4  # Snakemake itself says that there is nothing to do


def test_a_failing_variant_stops_no_other_and_the_table_says_so(folder, capsys):
    snakemake = Snakemake(fails=["mine-consistency-seed0"])
    assert run(snakemake) == 1
    assert len(snakemake.calls) == 4
    said = capsys.readouterr().out
    assert "consistency, seed 0 did not finish" in said and "logs/mine-consistency-seed0" in said
    assert "| +0.100 | 1 of 2 | 1 of 2 |" in said
    rows = read_table(Path("results/mine-ablation/plan/table.tsv"))
    assert [row["value"] for row in rows if row["variant"] == "consistency"] == ["", "0.7", "0.7"]


def test_the_variants_of_a_baseline_that_fails_are_not_run(folder, capsys):
    snakemake = Snakemake(fails=["mine-baseline-seed0"])
    assert run(snakemake) == 1
    assert snakemake.made == ["mine-baseline-seed1", "mine-consistency-seed1"]
    assert len(snakemake.calls) == 3 and not Path("results/mine-consistency-seed0").exists()
    said = capsys.readouterr().out
    assert said.count("did not finish") == 1
    assert "logs/mine-baseline-seed0. The variants of this seed were not run." in said
    assert "| +0.100 | 1 of 2 | 1 of 2 |" in said
    again = Snakemake()
    assert run(again) == 0
    assert again.made == ["mine-baseline-seed0", "mine-consistency-seed0"]


def test_what_a_dry_run_leaves_is_no_beginning(folder):
    unit(Path("results/mine/tiles/s1.json"), RECIPE, "tiles")
    for study in ("mine-baseline-seed0", "mine-consistency-seed0", "mine-baseline-seed1"):
        Path("results", study).mkdir()
        Path("results", study, "identities.json").write_text("{}")
    run(Snakemake())
    made = Path("results/mine/tiles/s1/x.zarr/c0").stat()
    assert made.st_nlink == 5


def test_old_numbers_of_a_run_that_fails_do_not_count(folder, capsys):
    run(Snakemake())
    assert run(Snakemake(fails=["mine-baseline-seed0"])) == 1
    rows = read_table(Path("results/mine-ablation/plan/table.tsv"))
    values = [(row["variant"], row["seed"], row["value"]) for row in rows]
    assert values[:2] == [("baseline", "0", ""), ("baseline", "1", "0.6")]
    assert values[3:5] == [("consistency", "0", ""), ("consistency", "1", "0.7")]


def test_nothing_to_compare_is_said_too(folder, capsys):
    plan = PLAN | {"targets": [{"level": "pixel", "metric": "pxap"}]}
    Path("plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    assert run(Snakemake()) == 0
    assert "No run has pixel pxap" in capsys.readouterr().out
    names = [f"mine-{v}-seed{s}" for s in (0, 1) for v in ("baseline", "consistency")]
    assert run(Snakemake(fails=names)) == 1
    assert capsys.readouterr().out.count("did not finish") == 2


@pytest.mark.parametrize(
    "plan, arguments, said",
    [
        (PLAN | {"variants": {"a": {}, "b": {"make_cam": {}}}}, (), "b: unknown key 'make_cam'"),
        (
            PLAN | {"variants": {"a": {}, "b c": {"make_cams": {"consistency": 1}}}},
            (),
            "b c: study",
        ),
        (PLAN | {"target": []}, (), "plan.yaml: unknown key 'target'"),
        (PLAN, ("--config", "slide=x"), "unknown key 'slide'"),
        (PLAN, ("--configfile", "absent.yaml"), "absent.yaml"),
        (PLAN | {"common": {"seed": 1}}, (), "common.seed: every run gets its own"),
        (PLAN, ("--leave-out", "x"), "no variant is called x; baseline, consistency are"),
        (PLAN, ("--leave-out", "consistency"), "name a baseline and at least one"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(folder, capsys, plan, arguments, said):
    Path("plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    snakemake = Snakemake()
    assert run(snakemake, *arguments) == 1
    assert said in capsys.readouterr().err
    assert not snakemake.calls and not Path("results").exists()


def test_a_variant_can_be_left_out(folder):
    plan = PLAN | {"variants": PLAN["variants"] | {"3": {"make_cams": {"consistency": 0.3}}}}
    Path("plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    snakemake = Snakemake()
    assert run(snakemake, "--leave-out", "consistency") == 0
    assert snakemake.made == [f"mine-{v}-seed{s}" for s in (0, 1) for v in ("baseline", "3")]


def test_variants_share_with_their_baseline_and_seeds_with_the_seed_before(folder):
    unit(Path("results/mine/tiles/s1.json"), RECIPE, "tiles")
    run(Snakemake())
    tiles = [
        p / "tiles/s1/x.zarr/c0" for p in Path("results").glob("mine*") if p.name[5:] != "ablation"
    ]
    assert len(tiles) == 5 and len({file.stat().st_ino for file in tiles}) == 1


def test_the_exit_status_and_a_stop_come_through(monkeypatch):
    assert ablate.snakemake([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    told = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        ablate.snakemake([sys.executable, "-c", told])
