"""Heatmaps of whole slides: stitched, stored as pyramids, drawn and outlined."""
