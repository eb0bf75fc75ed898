"""The commands. Each module holds one command, or several of one topic."""
