import numpy as np
import pytest

from workflow.lib.tiles.rows import Rows, check_finite, gather

A = np.arange(10, dtype=np.float64).reshape(5, 2)
B = A[:3] + 100


def test_kept_rows_come_in_order_and_again_and_again():
    rows = Rows({"a": A, "b": B}, {"a": np.array([1, 0, 0, 1, 1], bool), "b": np.ones(3, bool)})
    assert len(rows) == 6 and rows.dimension == 2
    for _ in range(2):
        blocks = list(rows)
        assert [block.dtype for block in blocks] == [np.float32] * 2
        assert np.array_equal(np.concatenate(blocks), np.concatenate([A[[0, 3, 4]], B]))


def test_blocks_are_small_and_never_empty(monkeypatch):
    monkeypatch.setattr("workflow.lib.tiles.rows.CELLS", 4)
    rows = Rows({"a": A, "b": B}, {"a": np.array([0, 0, 1, 0, 1], bool), "b": np.zeros(3, bool)})
    assert [block.tolist() for block in rows] == [[[4, 5]], [[8, 9]]]


def test_nothing_is_read_before_it_is_iterated():
    class Closed:
        shape = (4, 2)

    assert len(Rows({"a": Closed()})) == 4
    with pytest.raises(TypeError):
        list(Rows({"a": Closed()}))


def test_a_feature_that_is_nan_names_slide_and_tile(monkeypatch):
    monkeypatch.setattr("workflow.lib.tiles.rows.CELLS", 4)
    broken = B.copy()
    broken[2, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"^E_NUMBER: b: the features of tile 2 are not finite, as of 1 of 1"
    ):
        list(Rows({"a": A, "b": broken}))
    # also where the tile is not drawn
    with pytest.raises(ValueError, match=r"^E_NUMBER: b: .*tile 2 "):
        list(Rows({"b": broken}, {"b": np.array([True, False, False])}))


def test_arrays_of_different_widths_are_refused_and_named():
    with pytest.raises(ValueError, match="a has 2, c has 3: extract them again with one encoder"):
        Rows({"a": A, "c": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="none at all"):
        Rows({})


def test_the_tile_is_named_also_when_features_come_in_blocks():
    features = np.zeros((5, 2), np.float32)
    features[3] = np.nan
    with pytest.raises(ValueError, match="tile 103 "):
        check_finite(features, first=100)


def test_gathered_rows_are_the_kept_ones_and_read_no_array_again(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(7, 3)), "b": rng.normal(size=(4, 3))}
    kept = {name: rng.random(len(array)) < 0.5 for name, array in arrays.items()}
    rows = Rows(arrays, kept)
    expected = np.concatenate(list(rows))
    found = gather(rows, tmp_path / "rows")
    arrays["a"][:] = arrays["b"][:] = np.nan
    assert len(found) == len(expected) and found.dimension == 3
    np.testing.assert_array_equal(np.concatenate(list(found)), expected)
