"""Who may ask this server."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings import Secret

_BEARER = "bearer "


def admits(headers: Mapping[str, str], token: Secret) -> bool:
    """Tell whether `Authorization: Bearer …` or `X-Auth-Key` shows *token*, in the same time whatever is shown."""
    authorization = headers.get("Authorization", "")
    bearer = authorization[len(_BEARER) :] if authorization[: len(_BEARER)].lower() == _BEARER else ""
    shown = [bearer.strip(), headers.get("X-Auth-Key", "")]
    expected = token.reveal().encode()
    matches = [hmac.compare_digest(each.encode("utf-8", "surrogateescape"), expected) for each in shown]
    return any(matches)
