"""How good it is, out of fold and with intervals: labels, pixels, probes, ablations."""
