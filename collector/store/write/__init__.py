"""Saves answers: what they say is compared with what is stored, and only what differs is written."""
