"""The embedded cohort: drawn slides that look like the job, for trying the pipeline out."""
