"""Small parts of an answer as far as they can be read: text, numbers, words without their spelling."""

from __future__ import annotations

import json
from typing import Any


def text_of(content: Any) -> str:
    """Give a text that every database keeps: null is empty, an object is its JSON, NUL and halves of pairs replaced."""
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, sort_keys=True)
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def read_number(content: Any) -> float | None:
    """Read a number or the text of one; None for anything else."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return None
    try:
        return float(content)
    except (ValueError, OverflowError):
        return None


def folded(word: str) -> str:
    """Return the letters and digits of *word* without case, to compare what differs in spelling alone."""
    return "".join(character for character in word.casefold() if character.isalnum())
