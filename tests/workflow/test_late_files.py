"""A network disk on which a file appears some time after the job that wrote it has ended."""

import yaml

from tests.workflow.edits import edit
from tests.workflow.study import ROOT, Study
from tests.workflow.test_repair import UNLABELLED

AT_ONCE = "    os.replace(draft, file)\n"
LATER = """    import subprocess
    if file.parent.name == "checks":
        subprocess.Popen(["sh", "-c", 'sleep 4; mv "$0" "$1"', draft, file])
    else:
        os.replace(draft, file)
"""


def test_an_index_that_appears_late_is_waited_for_on_a_cluster(tmp_path):
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    study = Study.make(tmp_path, slides=2, **UNLABELLED)
    edit(study, "workflow/lib/jobs/units.py", AT_ONCE, LATER)
    study.run("--until", "check_slide", "--latency-wait", str(profile["latency-wait"]))
    assert len(list((study.results / "checks").glob("*.json"))) == 1
