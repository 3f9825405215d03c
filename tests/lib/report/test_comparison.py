"""The text of a comparison: what is shortened, and what is said where there is nothing."""

import math

from workflow.lib.report.comparison import COLUMNS, comparison_text


def text(*rows):
    return comparison_text([dict.fromkeys(COLUMNS) | row for row in rows], names=("x", "y"))


def test_where_nothing_is_shared_or_differs_it_is_said():
    said = text()
    assert said.startswith("A = x\nB = y\n")
    assert said.count("  nothing that both measured\n") == 2
    assert said.count("  none\n") == 2 and said.endswith("  none that both have\n")


def test_numbers_have_their_intervals_where_these_are_defined():
    nan = {f"{n}_{end}": math.nan for n in ("a", "b", "difference") for end in ("low", "high")}
    row = {"part": "paired", "method": "m", "slides": 2, "patients": 1} | nan
    said = text(
        row | {"quantity": "auroc", "a": 0.5, "b": math.nan, "difference": math.nan},
        row | {"quantity": "pxap", "a": 50.0, "b": 49.0, "difference": -1.0}
        | {"difference_low": -2.0, "difference_high": 0.5},
    )  # fmt: skip
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "m auroc 0.500 not defined not defined 2 1" in lines
    assert "m pxap 50.0 49.0 -1.0 [-2.0, +0.5] 2 1" in lines


def test_of_what_a_study_says_only_known_numbers_are_shown():
    row = {"part": "study", "method": "m", "a": 1.0, "b": 1.0, "difference": 0.0}
    said = text(row | {"quantity": "miou@otsu_val"}, row | {"quantity": "threshold@best_val"})
    assert "miou@otsu_val" in said and "threshold" not in said


def test_long_values_and_long_lists_are_cut():
    rows = [{"part": "slide", "slide": f"s{n}", "quantity": "fold"} for n in range(7)]
    setting = {"part": "setting", "quantity": "methods", "a": "x" * 61, "b": "y" * 60, "note": "r"}
    said = text(*rows, setting)
    assert "  another fold: 7 (s0, s1, s2, s3, s4 and 2 more)\n" in said
    assert "x" * 57 + "...  " in said and "y" * 60 + "  r" in said


def test_the_slides_furthest_apart_come_first():
    row = {"part": "heatmap", "method": "none"}
    rows = [row | {"slide": f"s{n}", "difference": n / 10} for n in range(7)]
    rows.append(row | {"slide": "s9", "difference": math.nan, "note": "nowhere both"})
    said = text(*rows)
    assert "none: 7 slides, median 0.300; most: s6 0.600, s5 0.500, s4 0.400, s3" in said
    assert "none: 1 slides not compared; s9: nowhere both" in said
