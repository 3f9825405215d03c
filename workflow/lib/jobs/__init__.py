"""How a job runs: its settings, its recipe, its units on disk, and the tables it writes."""
