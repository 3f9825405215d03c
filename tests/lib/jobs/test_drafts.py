"""Whose a draft is, where several machines and containers share a disk."""

import re
import subprocess
import sys

import pytest

from workflow.lib.jobs.drafts import draft_of, is_elsewhere, place, sweep

CONTAINER = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
SWEEPING = """
import sys
from pathlib import Path
from workflow.lib.jobs.drafts import draft_of, place, sweep
sweep(Path(sys.argv[1]))
draft_of(Path(sys.argv[1], "theirs")).mkdir()
print(place())
"""


def test_a_container_of_the_same_host_name_leaves_the_drafts_of_others(tmp_path):
    mine = draft_of(tmp_path / "mine")
    mine.mkdir()
    command = [*CONTAINER, sys.executable, "-c", SWEEPING, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if re.match("unshare: .*not permitted", done.stderr):
        pytest.skip(f"no container can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    theirs = done.stdout.strip()
    host, mark = place().rsplit("-", 1)
    assert theirs.startswith(f"{host}-") and not theirs.endswith(mark)
    sweep(tmp_path)
    left = {draft.name.split(".")[1]: is_elsewhere(draft) for draft in tmp_path.iterdir()}
    assert left == {"mine": False, "theirs": True}
