"""Where a classifier sees a class: class activation maps and pseudo-masks."""
