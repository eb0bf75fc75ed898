"""Saves answers: each is compared with the stored rows, and only differences are written."""
