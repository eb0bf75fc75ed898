"""ASKS: one request to Radar and its answer, checked."""
