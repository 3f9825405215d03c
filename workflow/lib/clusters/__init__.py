"""Clusters: found in features or learnt with a network, and what they are worth."""
