"""Text from elsewhere, made harmless for a terminal: it may hold escape sequences or reverse the direction of text."""

from __future__ import annotations


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
