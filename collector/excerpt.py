"""The part of a large body that explains it."""

from __future__ import annotations

import json
import re

EXCERPT_BYTES = 65_536
_MOST_META_BYTES = 262_144
_META = re.compile(rb'"meta"\s*:\s*(?=\{)')


def excerpt(content: bytes) -> bytes:
    """Return the first 64 KiB of a body, and behind a line break its `meta` if that lies further back."""
    head = content[:EXCERPT_BYTES]
    found = _META.search(content)
    if found is None:
        return head
    start, end = found.end(), found.end() + _object_length(content[found.end() : found.end() + _MOST_META_BYTES])
    return head if end <= len(head) else head + b'\n"meta": ' + content[start:end]


def _object_length(content: bytes) -> int:
    """Return the length of the JSON object that *content* begins with; all of it if the object does not end there."""
    text = content.decode("latin-1")  # a character a byte
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return len(content)
