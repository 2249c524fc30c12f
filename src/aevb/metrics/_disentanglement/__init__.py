"""Scores of a representation against known factors of variation."""
