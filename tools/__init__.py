"""Programs for those who work on Stampbook."""
