"""SHOWS: HTTP, metrics, exports."""
