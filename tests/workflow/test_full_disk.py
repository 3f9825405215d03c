"""A disk that is full, and stays full, under a run: its last words say so, and what to do."""

from tests.disks import fill, small_disk
from tests.workflow.study import Study
from tests.workflow.test_takeover import UNLABELLED, begin, said_by, start

REMEDY = "  What to do, E_DISK: Make room, then run again: what was finished is kept."


def test_a_run_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk", 12) as disk:
        study = Study.make(disk, slides=2, slides_per_shard=1, **UNLABELLED)
        run, _, job = begin(study)
        job.suspend()
        ballast = fill(disk)
        job.resume()
        assert run.wait() == 1
        last = said_by(study).read_text().partition("What failed:")[2]
        assert "  check_slide: E_DISK: The disk is full" in last and REMEDY in last
        assert "E_KILLED" not in last

        ballast.unlink()
        assert start(study).wait() == 0, said_by(study).read_text()
        assert len(list((study.results / "checks").glob("*.json"))) == 2
