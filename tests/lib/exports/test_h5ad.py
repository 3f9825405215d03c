"""AnnData files, read by anndata itself."""

import anndata
import numpy as np
import pytest

from workflow.lib.exports.h5ad import write_h5ad

X = np.arange(12, dtype=np.float32).reshape(4, 3)
NAMES = ["a/0", "a/1", "b/0", "b/1"]
OBS = {
    "slide": np.array(["a", "a", "b", "b"], object),
    "site": np.array([None, None, "ü", None], object),
    "nowhere": np.array([None] * 4, object),
    "x": np.array([1, 2, 3, 4]),
    "tissue": np.array([0.5, np.nan, 1, 0], np.float32),
    "bad": np.array([True, False, False, False]),
}
OBSM = {"spatial": np.arange(8.0).reshape(4, 2), "X_tsne": np.full((4, 2), np.nan, np.float32)}
UNS = {
    "spatial": {"a": {"scalefactors": {"spot_diameter_fullres": 10.0}, "images": {}}},
    "features": {"encoder": "uni", "tile_px": 224},
}


def write(path, x=X, names=NAMES, obs=OBS, step=3, **others):
    blocks = (x[start : start + step] for start in range(0, len(x), step))
    given = {"names": names, "obs": obs, "obsm": OBSM, "uns": UNS} | others
    write_h5ad(path, blocks, (len(names), X.shape[1]), **given)
    return path


def test_anndata_reads_everything(tmp_path):
    read = anndata.read_h5ad(write(tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(read.X, X)
    assert read.X.dtype == np.float32
    assert list(read.obs_names) == NAMES
    assert list(read.var_names) == ["feature_0", "feature_1", "feature_2"]
    assert list(read.obs.columns) == list(OBS)
    assert read.obs["slide"].dtype == "category"
    assert read.obs["slide"].astype(str).tolist() == ["a", "a", "b", "b"]
    assert read.obs["site"].isna().tolist() == [True, True, False, True]
    assert list(read.obs["site"].cat.categories) == ["ü"]
    assert read.obs["nowhere"].isna().all()
    assert read.obs["x"].tolist() == [1, 2, 3, 4]
    assert read.obs["bad"].dtype == bool
    np.testing.assert_array_equal(read.obs["tissue"], OBS["tissue"])
    np.testing.assert_array_equal(read.obsm["spatial"], OBSM["spatial"])
    assert read.uns["features"] == UNS["features"]
    assert read.uns["spatial"]["a"]["scalefactors"]["spot_diameter_fullres"] == 10


def test_parts_are_read_without_the_rest(tmp_path):
    read = anndata.read_h5ad(write(tmp_path / "a.h5ad"), backed="r")
    np.testing.assert_array_equal(read[[1, 3]].to_memory().X, X[[1, 3]])
    assert read[read.obs["slide"] == "b"].shape == (2, 3)
    read.file.close()


def test_no_tile_at_all(tmp_path):
    none = {name: values[:0] for name, values in OBS.items()}
    obsm = {name: values[:0] for name, values in OBSM.items()}
    read = anndata.read_h5ad(write(tmp_path / "a.h5ad", X[:0], [], none, obsm=obsm))
    assert (read.shape, list(read.obs.columns)) == ((0, 3), list(OBS))


def test_many_categories(tmp_path):
    names = [f"s/{i}" for i in range(300)]
    obs = {"slide": np.array([f"slide-{i:03d}" for i in range(300)], object)}
    made = write(tmp_path / "a.h5ad", np.zeros((300, 3), np.float32), names, obs, obsm={}, uns={})
    assert anndata.read_h5ad(made).obs["slide"].tolist() == obs["slide"].tolist()


def test_the_same_cohort_gives_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.h5ad"), write(tmp_path / "b.h5ad", step=1)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"x": X[:3]}, "3 rows of features for 4 tiles"),
        ({"x": np.zeros((5, 3), np.float32)}, "more rows of features than the 4"),
        ({"names": ["a", "a", "b", "c"]}, "3 different names for 4 rows"),
        ({"obs": {"x": np.arange(3)}}, "3 different x for 4 rows"),
    ],
)
def test_what_is_not_one_per_row(tmp_path, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        write(tmp_path / "a.h5ad", **given)
