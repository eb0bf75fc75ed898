"""The work: which windows to request, when, and what follows from an outcome."""
