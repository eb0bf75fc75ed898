"""The HTTP server: the APIs, the metrics, the reference and the page."""
