"""Decisions without I/O: which window, which size of request, which batches, which share of the work."""
