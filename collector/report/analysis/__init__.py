"""Answers about series over time, for the command line, `/api/v1` and Python: points, stats, top, citations."""
