"""Where there can be no Slurm, the reason is said, and nothing is fetched."""

import os
import shutil

import pytest

from tests.slurm.cluster import Absent, unpack


def test_without_root_there_is_no_cluster(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Absent, match="only root"):
        unpack(tmp_path)


def test_tools_that_lack_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "ip" else name)
    with pytest.raises(Absent, match="there is no ip here"):
        unpack(tmp_path)
    assert not list(tmp_path.iterdir())
