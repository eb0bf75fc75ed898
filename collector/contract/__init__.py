"""The server side of Radar's API, for the simulator and the local API: read requests, write answers and errors."""
