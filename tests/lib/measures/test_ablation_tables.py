"""What people see of an ablation: a table, a figure, and what they do not hide."""

from tests.lib.ablated import NAMES, compared, row, runs
from workflow.lib.measures.ablation import Target
from workflow.lib.measures.ablation_tables import comparison_table, draw_differences


def test_methods_that_are_compared_are_all_named():
    named = {("base", 0): [row(0.3, "deepcluster", "nmi")], ("other", 0): [row(0.4, "dcec", "nmi")]}
    rows = compared(named, Target("tile", "nmi"), seeds=[0])
    assert "| tile nmi, deepcluster or dcec | other |" in comparison_table(rows, baseline="base")


def test_the_table_says_what_is_told_apart_and_what_is_missing():
    rows = compared(
        runs(base=[0.2, 0.5, 0.8], other=[0.3, 0.61, 0.89], lost=[None] * 3),
        variants=[*NAMES, "lost"],
    )
    lines = comparison_table(rows, baseline="base").splitlines()
    assert "difference to base" in lines[0]
    assert (
        lines[2]
        == "| tile auroc, classifier | base | 0.500 [-0.245, 1.245] |  | 3 of 3 |  | 9 | 0 |"
    )
    assert "| **+0.100 [+0.075, +0.125]** | 3 of 3 | 3 of 3 |" in lines[3]
    assert lines[4] == (
        "| tile auroc, classifier | lost | not measured | not measured | 0 of 3 | 0 of 3 |  |  |"
    )
    assert "paired by seed" in lines[-1] and "unless the sheet fixes them" in lines[-1]


def test_seeds_are_behind_the_mean_and_pairs_behind_the_difference():
    rows = compared(runs(base=[0.2, None, 0.4], other=[0.3, 0.6, 0.5]))
    lines = comparison_table(rows, baseline="base").splitlines()
    heads, base, other = (
        [cell.strip() for cell in lines[place].strip("|").split("|")] for place in (0, 2, 3)
    )
    shown = [dict(zip(heads, cells, strict=True)) for cells in (base, other)]
    assert [(row["seeds"], row["pairs"]) for row in shown] == [("2 of 3", ""), ("3 of 3", "2 of 3")]
    assert shown[1]["mean over seeds"].startswith("0.467")
    assert shown[1]["difference to base"].startswith("**+0.100")


def test_one_seed_has_no_interval_and_the_table_says_so():
    table = comparison_table(compared(runs(base=[60.0], other=[61.24]), seeds=[0]), baseline="base")
    assert "| 61.2 | +1.2 | 1 of 1 | 1 of 1 |" in table and "One seed" in table and "[" not in table


def test_the_figure_has_a_dot_per_difference_and_is_the_same_every_time():
    rows = compared(runs(base=[0.2, 0.5, 0.8], other=[0.3, 0.61, 0.89]))
    drawn = draw_differences(rows, baseline="base")
    assert drawn == draw_differences(rows, baseline="base")
    assert drawn.count("<use") > draw_differences(
        compared(runs(base=[0.2, 0.5, 0.8], other=[0.3, None, None])), baseline="base"
    ).count("<use")
    assert "tile auroc, classifier" in drawn and "difference to base" in drawn
    assert "other" in draw_differences(compared(runs(base=[0.1] * 3)), baseline="base")
