"""The files that other programs open: what each of them expects, and nothing of how it is made."""
