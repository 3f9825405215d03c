"""Tiles and the stores that hold them, and what is computed of them row by row."""
