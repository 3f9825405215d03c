import json

import numpy as np
import pytest

from workflow.lib.networks.feature_bags import FeatureBags, open_feature_bags
from workflow.lib.tiles.stores import create_group, write_rows


def write_unit(root, name, rows, bad, *, verdict="ok", encoder="resnet18"):
    (root / name).mkdir(parents=True)
    (root / name / "manifest.json").write_text(json.dumps({"verdict": verdict}))
    group = create_group(root / name / "features.zarr", {"encoder": encoder})
    write_rows(group, "features", np.asarray(rows, np.float32).reshape(-1, 2))
    write_rows(group, "bad", np.asarray(bad, bool))


def test_bags_are_the_readable_tiles_of_slides_that_are_there(tmp_path):
    write_unit(tmp_path, "b", [[1, 2], [3, 4], [5, 6]], [0, 1, 0])
    write_unit(tmp_path, "a", [[7, 8]], [0])
    write_unit(tmp_path, "empty", [], [], verdict="ok_empty")
    write_unit(tmp_path, "blind", [[0, 0]], [1])
    write_unit(tmp_path, "lost", [[0, 0]], [0], verdict="E_MPP")
    labels = {"b": 1, "a": 0, "empty": 0, "blind": 0, "lost": 1, "never_made": 1}
    made = open_feature_bags(tmp_path, labels)
    assert made.slides == ["a", "b"] and made.label.tolist() == [0, 1]
    assert made.made_by == {"encoder": "resnet18"} and made.everything().dimension == 2
    assert np.concatenate(list(made.rows(1))).tolist() == [[1, 2], [5, 6]]
    assert np.concatenate(list(made.everything())).tolist() == [[7, 8], [1, 2], [5, 6]]
    assert made.sample(1, 9, seed=0).tolist() == [[1, 2], [5, 6]]
    assert {tuple(made.sample(1, 1, seed=seed)[0]) for seed in range(20)} == {(1, 2), (5, 6)}
    assert len(open_feature_bags(tmp_path, {})) == 0


def test_features_of_two_encoders_are_refused(tmp_path):
    write_unit(tmp_path, "a", [[1, 2]], [0])
    write_unit(tmp_path, "b", [[1, 2]], [0], encoder="vgg16")
    with pytest.raises(ValueError, match=r"a has those of .*resnet18.*b has those of .*vgg16"):
        open_feature_bags(tmp_path, {"a": 0, "b": 1})


def test_features_that_are_no_number_are_named():
    rows = np.array([[0, 1], [np.inf, 0]], np.float32)
    with pytest.raises(ValueError, match="s: .*tile 1"):
        FeatureBags(["s"], [rows], [np.ones(2, bool)], [0]).sample(0, 5, seed=0)
