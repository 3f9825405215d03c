"""Slides as files: opened by any library, looked at, and what is marked on them."""
