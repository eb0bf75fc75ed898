"""Deletes what is older than the operator wants to keep, and what no profile wants any more."""
