"""Are the rules right? Pure functions only."""
