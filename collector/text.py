"""Foreign text: made harmless for a terminal, and reduced to the part that explains a large body."""

from __future__ import annotations

import re


def printable(text: str, keep: str = "") -> str:
    """Return *text* with a blank for each character that is not printable, except those in *keep*.

    Not printable are control characters, DEL, overrides of the direction of text, surrogates, private use.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else " " for c in text)


def printable_json(document: str) -> str:
    r"""Return a JSON *document* with `\uXXXX` for each character that is not printable, but for line breaks."""
    if document.replace("\n", "").isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in document)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


EXCERPT_BYTES = 65_536
_MAX_META_BYTES = 262_144
_META = re.compile(rb'"meta"\s*:\s*(?=\{)')


def excerpt(content: bytes) -> bytes:
    """Return the first 64 KiB of a body, and behind a line break its `meta` if that lies further back."""
    head = content[:EXCERPT_BYTES]
    match = _META.search(content)
    if match is None:
        return head
    start, end = match.end(), match.end() + _object_length(content[match.end() : match.end() + _MAX_META_BYTES])
    return head if end <= len(head) else head + b'\n"meta": ' + content[start:end]


def _object_length(content: bytes) -> int:
    """Return the length of the JSON object that *content* begins with; all of it if the object does not end there."""
    import json  # imported here because `collector --help` imports this module

    text = content.decode("latin-1")  # a character a byte
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return len(content)
