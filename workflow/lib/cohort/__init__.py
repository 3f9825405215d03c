"""Who is in a study: the sheet, the folds, and the audit that nothing crosses them."""
