"""Every fault in tests/cases ends in the verdict that is written beside it."""

import faulthandler
import os
import re
import resource
import signal
from pathlib import Path

import pytest
import tifffile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.mutators import STEPS, good
from workflow.lib.jobs.verdicts import OK, REMEDIES
from workflow.lib.slides.probe import judge, probe

SETTINGS = {
    "mpp": None,
    "sha256": None,
    "max_side_px0": 500_000,
    "mpp_min": 0.05,
    "mpp_max": 20.0,
    "max_bad_tiles": 0.001,
    "allow_fluorescence": False,
}
LIMITS = {"timeout_s": 60.0, "memory_mb": 4096}
SEEDS = int(os.environ.get("MICROTOME_SEEDS", "200"))  # of random damage; `make test-nightly`
CASES = [
    pytest.param(case, id=f"{file.stem}-{case['row']}-{case['fault'].replace(' ', '_')}")
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())
]


@pytest.mark.parametrize("case", CASES)
def test_every_fault_gets_its_verdict(case: dict, tmp_path: Path) -> None:
    if case.get("needs") == "no root" and os.geteuid() == 0:
        pytest.skip("the administrator may read every file")
    slide = good(tmp_path / "slide.tif")
    for step in case["make"]:
        (name, arguments), *_ = step.items()
        slide = STEPS[name](slide, **arguments)
    settings = SETTINGS | case.get("settings", {})
    if "process" in case:
        found = probe(slide, **settings | LIMITS | case["process"])
    else:
        found = judge(slide, **settings)

    assert found["verdict"] == case["code"], found
    if case["code"] == OK:
        said = " ".join(found["facts"]["warnings"])
        assert re.search(case["sentence"], said) if case["sentence"] else said == ""
    else:
        assert case["code"] in REMEDIES
        assert re.search(case["sentence"], found["sentence"])
        assert slide.name in found["sentence"]  # says which file
        assert str(slide.parent) not in found["sentence"]  # and not where it lies
    assert "canary" not in repr(found)


def test_every_row_of_the_list_of_faults_has_a_case() -> None:
    rows = {row for case in CASES for row in [case.values[0]["row"]]}
    # docs/faults.md says where these two are looked at.
    assert rows >= set(range(1, 27)) - {8, 25}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good(tmp_path_factory.mktemp("whole") / "slide.tif")


def places(slide: Path) -> st.SearchStrategy[int]:
    """Bytes of a slide; as often as not those of its header and directories."""
    with tifffile.TiffFile(slide) as tiff:
        spans = [(0, 16)] + [(page.offset, 12 * len(page.tags) + 6) for page in tiff.pages]
    small = [place for start, length in spans for place in range(start, start + length)]
    return st.sampled_from(small) | st.integers(0, slide.stat().st_size - 1)


def gets_a_verdict(slide: Path) -> bool:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    signal.alarm(60)
    found = judge(slide, **SETTINGS)
    said = found["sentence"] or ""
    told = found["verdict"] in REMEDIES and slide.name in said and str(slide.parent) not in said
    return told or found["verdict"] == OK


@settings(max_examples=max(1, 3 * SEEDS // 10))
@given(data=st.data())
def test_any_bytes_of_a_slide_may_be_others(
    whole: Path, data: st.DataObject, tmp_path_factory
) -> None:
    others = st.tuples(places(whole), st.binary(min_size=1, max_size=8))
    content = bytearray(whole.read_bytes())
    for start, new in data.draw(st.lists(others, min_size=1, max_size=4)):
        content[start : start + len(new)] = new
    slide = tmp_path_factory.mktemp("damaged") / "slide.tif"
    slide.write_bytes(content)

    if not (reader := os.fork()):  # as the pipeline does, in a process that may die of it
        faulthandler.disable()  # that it dies of it is no news
        try:
            os._exit(0 if gets_a_verdict(slide) else 1)
        finally:
            os._exit(2)
    status = os.waitpid(reader, 0)[1]
    assert status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGALRM)


@pytest.mark.slow
def test_random_damage_to_the_directories_never_goes_beyond_a_verdict(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        slide = STEPS["shake"](good(tmp_path / "slide.tif"), seed=seed)
        found = probe(slide, **SETTINGS | LIMITS)
        assert found["verdict"] == OK or found["verdict"] in REMEDIES, f"seed {seed}: {found}"
