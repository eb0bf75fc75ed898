"""Cloudflare Radar's certificate-transparency time series, kept as history."""

__version__ = "0.1.0"
