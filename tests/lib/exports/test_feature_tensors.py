"""Features as CLAM loads them."""

import numpy as np
import pytest
import torch

from workflow.lib.exports.feature_tensors import write_tensor


@pytest.mark.parametrize("count", [0, 3])
def test_a_tensor_loads_without_unpickling_code(tmp_path, count):
    features = np.random.default_rng(0).standard_normal((count, 4))
    write_tensor(tmp_path / "clam.pt", features)
    loaded = torch.load(tmp_path / "clam.pt", weights_only=True)
    assert (loaded.dtype, loaded.shape) == (torch.float32, (count, 4))
    np.testing.assert_array_equal(loaded.numpy(), features.astype(np.float32))


def test_the_same_features_give_the_same_bytes(tmp_path):
    files = [tmp_path / folder / "clam.pt" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        write_tensor(file, np.ones((5, 4)))
    assert files[0].read_bytes() == files[1].read_bytes()
