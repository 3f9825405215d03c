"""Which slides a fold looks at."""

from workflow.lib.cohort.folds import SPLITS, in_fold

ROWS = [
    {"fold": fold, "slide": slide, "split": split}
    for fold, sides in (("0", "train val test"), ("1", "test train val"), ("10", "val test train"))
    for slide, split in zip("abc", sides.split(), strict=True)
]


def test_a_row_per_slide_of_the_sides_asked_for():
    assert in_fold(ROWS, 0, "train", "val") == {"a": ROWS[0], "b": ROWS[1]}
    assert list(in_fold(ROWS, 1, "test")) == ["a"]
    assert list(in_fold(ROWS, 10)) == list(in_fold(ROWS, 10, *SPLITS)) == ["a", "b", "c"]
    assert in_fold(ROWS, 2) == {} and in_fold([], 0) == {}
