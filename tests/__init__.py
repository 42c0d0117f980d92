"""Tests at five levels, and what they share."""
