"""Secrets that are printed as `***`, and the credentials for Radar."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

MASK = "***"


class Secret:
    """A text that only `reveal` returns; `str`, `repr` and formatting return `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Call it only to send or compare the text."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Credentials for Radar: an API token, or an e-mail address with its global API key."""

    token: Secret | None = None
    email: str = ""
    api_key: Secret | None = None

    def headers(self) -> dict[str, str]:
        """Return the request headers. Call it for each request, and do not store the result."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.reveal()}"}
        assert self.api_key is not None, "credentials are a token or an e-mail address with a key"
        return {"X-Auth-Email": self.email, "X-Auth-Key": self.api_key.reveal()}

    def fingerprint(self, address: str) -> str:
        """Return a short hash that identifies these credentials for *address*; it is too short to recover a secret."""
        text = "\n".join([address, *self.headers().values()])
        return hashlib.blake2b(text.encode(), digest_size=8, person=b"collector").hexdigest()

    def __repr__(self) -> str:
        return f"Credentials({MASK})"
