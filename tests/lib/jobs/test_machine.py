"""Checks of a machine: what they say where all is well, and the remedy where it is not."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from workflow.lib.jobs import machine

PIXELS = np.full((2, 2, 3), 9, np.uint8)


def test_this_environment_is_the_pinned_one():
    found = [machine.check_python(), machine.check_libraries(), *machine.check_codecs()]
    assert [finding.remedy for finding in found] == [None] * 6
    assert [finding.name for finding in found[2:]] == [
        *("JPEG", "JPEG 2000", "JPEG stores", "openslide"),
    ]


def test_an_older_python_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10))
    monkeypatch.setattr(sys, "version", "3.10.2 (main)")
    finding = machine.check_python()
    assert finding.said == "3.10.2, >=3.11 is asked" and "make env" in finding.remedy


def test_libraries_that_differ_or_are_absent_are_named(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text("-c lock.txt\n# numpy\nnumpy==0.1\nno-such-library==2.0\n")
    finding = machine.check_libraries(pins)
    assert finding.said.startswith(f"numpy is {np.__version__}, not 0.1; no-such-library is absent")
    assert finding.remedy == machine.INSTALL


@pytest.mark.parametrize(
    ("codec", "said", "well"),
    [
        (lambda: PIXELS + 2, "works", True),
        (lambda: PIXELS + 3, "does not give pixels back", False),
        (lambda: PIXELS[:0], "does not give pixels back", False),
        (lambda: 1 / 0, "does not work (division by zero)", False),
    ],
)
def test_a_codec_has_to_give_back_what_it_got(codec, said, well):
    finding = machine.check_codec("x", codec, PIXELS)
    assert finding.said == said and (finding.remedy is None) == well


def test_room_is_looked_for_where_the_results_will_be(tmp_path, monkeypatch):
    disk = {"f_frsize": 1000, "f_files": 10**6, "f_favail": 1000}
    seen = []

    def statvfs(path):
        seen.append(path)
        return SimpleNamespace(**disk)

    monkeypatch.setattr(os, "statvfs", statvfs)
    for blocks, files, well in (
        (machine.SPARE_BYTES // 1000 + 2, 500, (True, True)),
        (machine.SPARE_BYTES // 1000, 499, (False, False)),
    ):
        disk |= {"f_bavail": blocks, "f_favail": files}
        found = list(machine.check_room(tmp_path / "results" / "new", [1000]))
        assert tuple(finding.remedy is None for finding in found) == well
    assert set(seen) == {tmp_path}
    disk |= {"f_files": 0, "f_favail": 0}
    *_, inodes = machine.check_room(tmp_path, [1000])
    assert inodes.remedy is None and "no limit" in inodes.said


def test_a_device_that_is_not_there_is_said(monkeypatch):
    torch = SimpleNamespace(
        __version__="2", cuda=SimpleNamespace(device_count=lambda: 1, get_device_name=lambda n: "H")
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert machine.check_devices("cuda").said.startswith("2, H, ")
    known = {device: machine.check_devices(device).remedy for device in ("auto", "cpu", "cuda:0")}
    assert set(known.values()) == {None}
    assert machine.check_devices("cuda:1").remedy == "set compute.device to auto"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "does not load" in machine.check_devices("auto").said
