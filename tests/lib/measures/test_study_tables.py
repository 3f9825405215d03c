"""Methods over several seeds: means with Student's interval; one study keeps its own."""

import pytest

from tests.lib.compared import compare, pixels
from workflow.lib.measures.study_tables import average, markdown_table
from workflow.lib.measures.timings import Cost


def seeds(*pxaps, seconds=(None, None, None)):
    return [
        compare(pixels("none", pxap), costs={"none": Cost(seconds=took, devices=("cpu",))})
        for pxap, took in zip(pxaps, seconds, strict=False)
    ]


def test_three_seeds_have_a_mean_with_students_interval():
    """t(0.975, 2) = 4.30265, the standard deviation of 70, 72, 74 is 2, so 72 ± 4.968."""
    (found,) = average(seeds(70.0, 72.0, 74.0, seconds=(1.0, 1.0, 1.0)))
    assert found["pxap"] == 72.0 and found["studies"] == 3
    assert found["pxap_low"] == pytest.approx(72 - 4.30265 * 2 / 3**0.5, abs=1e-4)
    assert found["pxap_high"] == pytest.approx(72 + 4.30265 * 2 / 3**0.5, abs=1e-4)
    table = markdown_table([found], studies=3)
    cells = "CAM, unrefined | labels | 72.0 [67.0, 77.0] | 0.500 [0.500, 0.500]"
    assert (
        f"| {cells} | 0.250 [0.250, 0.250] | 0.500 [0.500, 0.500] | 0 | 1.0 [1.0, 1.0] |" in table
    )
    assert "Means over 3 studies with the 95% interval of Student's t" in table
    assert (
        "the share of foreground: 40.0." in table and "without the start of jobs, on cpu" in table
    )


def test_an_interval_ends_where_its_quantity_does():
    """t(0.975, 1) = 12.7: far seeds would reach beyond all that is possible."""
    (found,) = average(seeds(60.0, 99.0, seconds=(1.0, 9.0)))
    assert (found["pxap_low"], found["pxap_high"]) == (0.0, 100.0)
    assert found["seconds_per_image_low"] == 0.0 and found["seconds_per_image_high"] > 50


def test_one_study_keeps_its_interval_over_patients():
    (found,) = average(seeds(70.0, seconds=(0.25,)))
    assert (found["pxap_low"], found["pxap_high"]) == (69.0, 71.0)
    table = markdown_table([found], studies=1)
    assert "| 70.0 [69.0, 71.0] | 0.500 [-0.500, 1.500] |" in table
    assert "| 0 | 0.25 | 1 of 1 | 10 |" in table
    assert "from resampling patients" in table and "Student" not in table


def test_a_method_or_a_time_that_some_seeds_lack():
    first, second = seeds(70.0, 72.0, seconds=(1.0, None))
    (none, unet) = average([first, second + compare(pixels("unet", 90.0, masks=9))])
    assert (none["studies"], unet["studies"]) == (2, 1)
    assert none["seconds_per_image"] == 1.0
    table = markdown_table([none, unet], studies=2)
    assert (
        "| U-Net | pixel masks | 90.0 | 0.500 | 0.250 | 0.500 | 9 | not measured | 1 of 2" in table
    )
    assert "| 0 | 1.0 | 2 of 2 |" in table  # one time has no interval
