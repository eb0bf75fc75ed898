"""The server side of Radar's API, for the simulator and the local API: parse requests, write answers and errors."""
