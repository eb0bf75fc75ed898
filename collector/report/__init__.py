"""Documents that the HTTP server and the command line share: status, gaps, readiness, exports, charts."""
