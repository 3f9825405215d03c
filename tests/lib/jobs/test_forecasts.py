"""What a run would cost, computed by hand."""

import pytest

from workflow.lib.jobs.forecast_tables import table
from workflow.lib.jobs.forecasts import (
    Job,
    Kept,
    Rate,
    Taken,
    amount,
    count_tiles,
    differing,
    foresee,
    learn,
    tight,
)

MEGAPIXELS = {"a": 10.0, "b": 30.0}
BOTH = ["a", "b"]


def taken(slides=BOTH, seconds=20.0, cpu=25.0, units=20.0, **others):
    given = {"threads": 1, "max_rss_mb": 900, "device": "cpu"} | others
    return Taken(slides, seconds, cpu, units=units, **given)


def test_tiles_that_are_not_counted_come_from_the_bytes_of_those_that_are():
    """100 tiles in 50 bytes: two a byte."""
    tiles, guessed = count_tiles({"a": 100, "gone": 9}, {"a": 50, "b": 10}, 128.0)
    assert tiles == {"a": 100, "b": 20} and guessed == 1


def test_tiles_of_a_first_run_come_from_the_documented_density():
    """8 MB hold 0.25 mm2 each: 2 mm2 of tiles of 0.01 mm2."""
    tiles, guessed = count_tiles({}, {"a": 8_000_000}, 100.0)
    assert tiles["a"] == pytest.approx(200) and guessed == 1


def test_slides_of_no_tile_keep_the_others_from_any():
    assert count_tiles({"a": 0}, {"a": 50, "b": 10}, 128.0) == ({"a": 0, "b": 0}, 1)


@pytest.mark.parametrize(
    ("rule", "wanted"), [("tile_slide", 40.0), ("check_slide", 2), ("train_clusters", 1)]
)
def test_a_stage_grows_with_pixels_slides_or_neither(rule, wanted):
    assert amount(rule, BOTH, MEGAPIXELS) == wanted


def test_what_is_paid_once_a_job_does_not_grow():
    """25 CPU s, 20 of them for the slides: 5 to start, 20 for 40 Mpx."""
    kept = [Kept(BOTH, True, 8000, 7)]
    rate = learn("make_cams", [taken()], kept, MEGAPIXELS, "demo")
    assert rate == Rate(5, 0.5, None, 200, 3.5, 900, "demo", guessed=False)


def test_threads_that_compute_are_not_taken_for_a_start():
    """10 s of 4 threads may be 40 CPU s."""
    rate = learn("train_negev", [taken(cpu=36, units=10, threads=4)], [], MEGAPIXELS, "demo")
    assert rate.start_s == 0 and rate.cpu_s == pytest.approx(0.9)


def test_jobs_that_found_results_made_say_nothing():
    """Twice 20 s of results in 1 s: an earlier run made them. None timed: it found all made."""
    found_made = [taken(seconds=1, cpu=3, units=20), taken(seconds=1, cpu=3, units=0)]
    assert learn("make_cams", found_made[:1], [], MEGAPIXELS, "demo") is None
    alone = learn("make_cams", [taken()], [], MEGAPIXELS, "demo")
    assert learn("make_cams", [*found_made, taken()], [], MEGAPIXELS, "demo") == alone


def test_a_stage_that_times_no_slide_grows_as_a_whole():
    rate = learn("evaluate_masks", [taken(cpu=3, units=0)], [], MEGAPIXELS, "demo")
    assert (rate.start_s, rate.cpu_s) == (0, 1.5)


def test_only_jobs_on_a_gpu_count_as_hours_of_one():
    """20 s on a GPU and 20 s without, 80 Mpx together."""
    jobs = [taken(), taken(device="cuda:1")]
    assert learn("make_cams", jobs, [], MEGAPIXELS, "demo").gpu_s == 0.25


def test_the_size_of_a_model_does_not_grow_with_the_study():
    kept = [Kept(BOTH, False, 5000, 3), Kept(BOTH, False, 7000, 3)]
    rate = learn("train_negev", [taken()], kept, MEGAPIXELS, "demo")
    assert (rate.bytes, rate.files) == (6000, 3)
    large = {"a": 1e6, "b": 1e6}
    jobs = [Job("train_negev", "", BOTH, shard=False)] * 3
    [row] = foresee(jobs, {("train_negev", ""): rate}, large, {})
    assert (row.bytes, row.files) == (18000, 9)


def test_a_forecast_adds_up_jobs_by_rule_and_method():
    """Two jobs of 40 and 10 Mpx: 2 x 36 s to start, 50 x 72 s; 50 x 100 bytes, 3 slides x 2."""
    rate = Rate(36, 72, 36, 100, 2, 900, "demo", guessed=False)
    jobs = [Job("make_cams", "cam", slides, True, 1000) for slides in (BOTH, ["a"])]
    other = Job("make_cams", "layercam", ["a"], True)
    rates = {("make_cams", "cam"): rate, ("make_cams", "layercam"): rate._replace(gpu_s=None)}
    first, second = foresee([*jobs, other], rates, MEGAPIXELS, {"a": 4, "b": 12})
    assert first[:4] == ("make_cams cam", 2, 2, 20)
    assert first.cpu_hours == pytest.approx(1.02) and first.gpu_hours == pytest.approx(0.5)
    assert (first.bytes, first.files, first.asked_mb) == (5000, 6, 1000)
    assert (second.stage, second.gpu_hours) == ("make_cams layercam", 0)
    assert tight([first, second]) == [first]  # 900 and 300 of Snakemake are more than 1,000


def test_gpu_hours_that_were_never_measured_are_not_called_none():
    rate = Rate(0, 1, None, 0, 0, 900, "demo", guessed=False)
    job = Job("make_cams", "cam", ["a"], True, gpu=True)
    [row] = foresee([job], {("make_cams", "cam"): rate}, MEGAPIXELS, {})
    assert row.gpu_hours is None and "  ?  " in table([row], guessed=0)[1]


def test_settings_that_bear_on_costs_and_differ_are_named():
    now = {"backbone": "resnet50", "epochs": 8, "patience": 3}
    assert differing(now, {"backbone": "vgg16", "epochs": 8, "patience": 9}) == ["backbone vgg16"]
    assert differing(now, {}) == []


def test_the_table_marks_guesses_and_says_what_would_run_out():
    measured = Rate(0, 3600, None, 1e6, 2, 1900, "demo", guessed=False)
    rates = {("tile_slide", ""): measured, ("check_slide", ""): measured._replace(guessed=True)}
    jobs = [Job("tile_slide", "", BOTH, True, 2000), Job("check_slide", "", BOTH, True)]
    rows = foresee(jobs, rates, MEGAPIXELS, {"a": 1000, "b": 500})
    lines = table(rows, guessed=0)
    titles = "stage jobs slides tiles CPU h GPU h size files MB asked MB seen learnt from"
    assert " ".join(lines[0].split()) == titles
    assert " ".join(lines[1].split()) == "tile_slide 1 2 1,500 40 0 40 MB 4 2,000 1,900 demo"
    assert " ".join(lines[2].split()) == "check_slide 1 2 ~2.00 0 ~2.0 MB ~4 1,900 demo"
    assert " ".join(lines[3].split()) == "all 2 ~42 0 ~42 MB ~8"
    assert lines[4].startswith("tile_slide asks for 2,000 MB and took 1,900, beside 300")
    unsure = table(rows[:1], guessed=7)
    assert unsure[1].split()[3:5] == ["~1,500", "~40"] and unsure[3].startswith("~ 7 slides")


@pytest.mark.parametrize(
    ("hours", "size", "wanted"),
    [
        (0.004, 900, ["<0.01", "0.9 kB"]),
        (1.234, 12_345_678, ["1.23", "12 MB"]),
        (1234.5, 2.5e12, ["1,234", "2.5 TB"]),
    ],
)
def test_numbers_are_short(hours, size, wanted):
    rate = Rate(hours * 3600, 0, None, size, 0, None, "demo", guessed=False)
    [row] = foresee([Job("train_negev", "", ["a"], False)], {("train_negev", ""): rate}, {}, {})
    line = table([row], guessed=0)[1]
    assert all(f" {text} " in line for text in wanted)
