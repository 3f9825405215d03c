"""Bags of made-up features: in the slides of a finding, some tiles are of another kind."""

import numpy as np

from workflow.lib.networks.feature_bags import FeatureBags

DIM = 16
SHARE = 5  # one tile in five of a finding is planted


def features(label, count, seed):
    """Features (count, DIM) float32, and which of them are planted (count,) bool."""
    rng = np.random.default_rng([seed, label])
    found = rng.normal(0, 1, (count, DIM))
    planted = (rng.permutation(count) % SHARE == 0) & bool(label)
    found[planted, :4] += 2.5 * (1 + np.arange(4) % 2)
    return (7 + 3 * found).astype(np.float32), planted


def bags(labels, *, count=40, seed=0, prefix="s"):
    """A bag per label, and which of their tiles are planted."""
    made = [features(label, count, seed * 100 + number) for number, label in enumerate(labels)]
    arrays, planted = zip(*made, strict=True)
    names = [f"{prefix}{number}" for number in range(len(labels))]
    good = [np.ones(count, bool) for _ in labels]
    return FeatureBags(names, arrays, good, list(labels)), planted
