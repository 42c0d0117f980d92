"""Fixtures that every level of tests may use."""
