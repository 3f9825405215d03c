"""Evidence of a slide, block by block, against the whole of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.evidence.evidence_tallies import EvidenceTally


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 6), min_size=1, max_size=5))
@settings(max_examples=30)
def test_blocks_add_up_to_the_slide(seed, sizes):
    rng, count = np.random.default_rng(seed), sum(sizes)
    evidence = rng.random((count, 3, 2), np.float32)
    inside, clusters = rng.random((count, 3, 2)) < 0.5, rng.integers(0, 3, count)
    shares = rng.dirichlet([1, 1], (count, 3, 2)).transpose(0, 3, 1, 2)
    tally, start = EvidenceTally(), 0
    for size in sizes:
        rows = slice(start, start + size)
        tally.add_shares(shares[rows])
        tally.add_evidence(evidence[rows], inside[rows], clusters[rows], threshold=0.6)
        start += size
    marked = evidence >= 0.6
    assert tally.cells.tolist() == [
        [(marked & inside).sum(), (marked & ~inside).sum()],
        [inside.sum(), (~inside).sum()],
    ]
    assert tally.spread() == pytest.approx(evidence.std(dtype=np.float64), rel=1e-9)
    assert tally.shares() == pytest.approx(shares.mean(axis=(0, 2, 3)))
    means, kept = tally.by_tile()
    assert means == pytest.approx(evidence.mean(axis=(1, 2))) and kept.tolist() == clusters.tolist()


def test_a_small_spread_far_from_zero_does_not_cancel():
    tally, step = EvidenceTally(), 1e-8
    for value in (1 - step, 1.0, 1 - step, 1.0):
        block = np.full((1, 2, 2), value)
        tally.add_evidence(block, np.ones((1, 2, 2), bool), np.zeros(1, int), threshold=0.6)
    assert tally.spread() == pytest.approx(step / 2, rel=1e-6)
