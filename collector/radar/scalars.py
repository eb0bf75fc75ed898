"""Small parts of an answer as far as they can be read: text, numbers, words without their spelling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_KEYS = 1_000


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


def member(content: Mapping[str, Any], *names: str) -> Any:
    """Return what stands below the first of *names* that is there, whatever its case and punctuation; None if none is.

    The exact spelling counts more than another one. Of several that differ in spelling alone none counts, nor does any
    other spelling in an object of very many keys, because each of them would be compared.
    """
    for name in names:
        if name in content:
            return content[name]
        if len(content) > _MOST_KEYS:
            continue
        found = [inner for key, inner in content.items() if folded(key) == folded(name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def sole(content: Any) -> Any:
    """Return what a list holds if that is one and the same content once or several times; else *content* itself."""
    if isinstance(content, list) and content and all(one == content[0] for one in content):
        return content[0]
    return content


def unwrapped(content: Any) -> Any:
    """Return the only one of a list, or `value` of an object; else *content* itself."""
    if isinstance(content, list) and len(content) == 1:
        return content[0]
    return content["value"] if isinstance(content, dict) and "value" in content else content
