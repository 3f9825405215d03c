"""What several tests of the library need."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Sums in one order, whatever machine the tests run on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
