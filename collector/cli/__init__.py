"""COMMANDS: each is parse, call, print."""
