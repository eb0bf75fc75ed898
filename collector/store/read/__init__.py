"""Answers questions: points as they are or were known, gaps, coverage, lists and the status."""
