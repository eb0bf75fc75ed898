"""Remove our own credentials from what a server sends back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MASK = b"***"
_LEAST_LENGTH = 8
"""A shorter text may stand in an answer by chance, and no real credential is that short."""


def spellings(headers: Iterable[str]) -> Sequence[bytes]:
    """Return the forms in which the credentials of request *headers* may occur in a body, the longest first."""
    secrets = [value.removeprefix("Bearer ") for value in headers]
    found = set[str]()
    for secret in (secret for secret in secrets if len(secret) >= _LEAST_LENGTH):
        escaped = json.dumps(secret)[1:-1]
        found |= {secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe="")}
    return sorted((text.encode() for text in found), key=len, reverse=True)


def redact(content: bytes, secrets: Sequence[bytes], *, whole: bool = True) -> bytes:
    """Replace *secrets* in *content* by `***`; if *content* is not *whole*, also a partial secret at its end."""
    for secret in secrets:
        content = content.replace(secret, _MASK)
    if not whole:
        for secret in secrets:
            length = next((n for n in range(len(secret) - 1, 0, -1) if content.endswith(secret[:n])), 0)
            content = content[: len(content) - length]
    return content
