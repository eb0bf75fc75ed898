"""`/api/v1`: what is stored and how things stand, as JSON in pages."""

from collector.serve.api.routes import add_routes

__all__ = ["add_routes"]
