"""Microtome as a module of another workflow, as the workflow catalog and `snakedeploy` use it."""

import subprocess
import sys

import yaml

from tests.synthetic import make_cohort
from tests.workflow.study import JOB, ROOT, SMALL

OUTER = f"""
configfile: "study.yaml"

module microtome:
    snakefile: "{ROOT / "workflow/Snakefile"}"
    config: config

use rule * from microtome
"""


def test_another_workflow_can_use_its_rules(tmp_path):
    make_cohort(tmp_path / "cohort", slides=4)
    (tmp_path / "Snakefile").write_text(OUTER)
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    parts = {k: v | SMALL.get(k, {}) for k, v in defaults.items() if isinstance(v, dict)}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(defaults | SMALL | parts))

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "write_report" in JOB.findall(snakemake("all", "--dry-run"))
    snakemake("all", "--until", "check_slide")
    assert (tmp_path / "results/small/checks/s01/manifest.json").is_file()
    assert not JOB.findall(snakemake("all", "--until", "check_slide", "--dry-run"))
