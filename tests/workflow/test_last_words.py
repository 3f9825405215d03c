"""A run that goes partly wrong ends with what failed, what stands and what to type next."""

import os
import subprocess
import sys

from tests.workflow import canaries
from tests.workflow.study import Study
from tests.workflow.test_repair import UNLABELLED, largest


def run(study, *arguments):
    given = ["--cores", "2", "--configfile", "study.yaml", *arguments]
    command = [sys.executable, "-m", "workflow.tools.run", *given]
    done = subprocess.run(
        command, cwd=study.folder, env=study.environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_partly_failed_run_says_what_to_do_and_does_it(tmp_path):
    """One slide is empty, the tiles of another were cut short behind the back of the workflow."""
    study = Study.make(tmp_path, slides=4, slides_per_shard=1, **UNLABELLED)
    (study.folder / "cohort/slides/s01.tif").write_bytes(b"")
    status, said = run(study, "--until", "tile_slide")
    assert status == 0 and "What failed" not in said and "What stands" not in said
    assert "Slides put aside, 1 of 4:\n  s01: E_EMPTY: " in said

    os.truncate(largest(study.results / "tiles/s03"), 100)
    status, said = run(study, "--until", "extract_features")
    assert status == 1 and "Traceback" not in said
    last = said[said.index("What failed:") :]
    assert "  extract_features: E_JOB: 1 of 1 slides failed" in last
    assert "(logs/small/extract_features/s03.log)" in last and "--repair" in last
    assert "  s01: E_EMPTY: s01.tif: the file is empty" in last
    assert "of 4 slides:\n  checks: 3\n  tissue: 3\n  tiles: 3\n  features: 2\n" in last
    assert last.endswith("--configfile study.yaml --until extract_features\n")

    verify = [sys.executable, "-m", "workflow.tools.verify", "results/small", "--repair"]
    given = ["--cores", "2", "--configfile", "study.yaml"]
    subprocess.run([*verify, *given], cwd=study.folder, env=study.environment(), check=True)
    status, said = run(study, "--until", "extract_features")
    assert status == 0 and (study.results / "features/s03/manifest.json").is_file()


def test_a_run_that_cannot_begin_exits_with_2(tmp_path):
    study = Study.make(tmp_path, slides=2, **UNLABELLED)
    study.edit_config("tile_slide", tyle_px=64)
    status, said = run(study)
    assert status == 2 and "E_CONFIG: The config cannot be used" in said
    assert "Nothing was run.\n  What to do, E_CONFIG: " in said
    explain = [sys.executable, "-m", "workflow.tools.explain", "--configfile", "study.yaml"]
    done = subprocess.run(
        explain, cwd=study.folder, env=study.environment(), capture_output=True, check=False
    )
    assert done.returncode == 2


def test_a_secret_among_the_settings_is_refused_and_written_nowhere(tmp_path):
    """Not on the terminal, not in the command to type next, not in a log of Snakemake's own."""
    study = Study.make(tmp_path, slides=2, **UNLABELLED)
    status, said = run(study, "--config", f"hf_token={canaries.SECRETS['HF_TOKEN']}")
    assert status == 2 and "E_CONFIG" in said and "hf_token" in said
    assert canaries.MARK not in said and said.endswith("--config hf_token=...\n")
    assert list((study.folder / ".snakemake/log").iterdir())
    assert canaries.find(study.folder) == []
