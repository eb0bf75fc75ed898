"""Who issues, logs and names: the values of every filter with their shares of all certificates."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.profile import FILTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

SCALE_BITS = 24
SCALE = 1 << SCALE_BITS
"""A dimension's values lie side by side on the line from 0 to SCALE; each certificate has its place on it."""

_OWNERS = (
    ("Internet Security Research Group", 520),
    ("Google Trust Services LLC", 210),
    ("Sectigo Limited", 80),
    ("DigiCert, Inc.", 55),
    ("Amazon Trust Services", 45),
    ("GoDaddy.com, LLC", 30),
    ("Microsoft Corporation", 22),
    ("SSL Corporation", 14),
    ("IdenTrust Services, LLC", 9),
    ("GlobalSign nv-sa", 8),
    ("Asseco Data Systems S.A.", 4),
    ("SwissSign AG", 3),
)
_CAS = (
    ("R12", 140),
    ("R13", 135),
    ("E7", 125),
    ("E8", 120),
    ("WE1", 130),
    ("WR1", 80),
    ("Sectigo Public Server Authentication CA DV R36", 80),
    ("DigiCert Global G2 TLS RSA SHA256 2020 CA1", 55),
    ("Amazon RSA 2048 M02", 45),
    ("Go Daddy Secure Certificate Authority - G2", 30),
    ("Microsoft Azure RSA TLS Issuing CA 03", 22),
    ("SSL.com TLS Transit ECC CA R2", 14),
    ("Other, Unlisted Authorities", 24),
)
_LOGS = (
    ("Google Argon2026h1", 210),
    ("Google Xenon2026h1", 190),
    ("Cloudflare Nimbus2026", 180),
    ("DigiCert Wyvern2026h1", 120),
    ("DigiCert Sphinx2026h1", 110),
    ("Let's Encrypt Oak2026h1", 70),
    ("Sectigo Mammoth2026h1", 60),
    ("Let's Encrypt Sycamore2026h1", 35),
    ("Geomys Tuscolo2026h1", 25),
)
_OPERATORS = (
    ("Google", 400),
    ("DigiCert", 230),
    ("Cloudflare", 180),
    ("Let's Encrypt", 105),
    ("Sectigo", 60),
    ("Geomys", 25),
)
_TLDS = (
    ("com", 440),
    ("net", 70),
    ("org", 60),
    ("de", 55),
    ("xyz", 40),
    ("uk", 40),
    ("io", 35),
    ("ru", 30),
    ("nl", 28),
    ("fr", 27),
    ("br", 26),
    ("dev", 25),
    ("app", 24),
    ("shop", 22),
    ("top", 20),
    ("pt", 8),
    ("xn--p1ai", 5),
    ("info", 45),
)
_WEIGHTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "duration": (1, 30, 4, 20, 920, 5, 20),
        "entryType": (560, 440),
        "expirationStatus": (380, 620),
        "hasIps": (4, 996),
        "hasWildcards": (310, 690),
        "logApi": (870, 130),
        "publicKeyAlgorithm": (1, 560, 439),
        "signatureAlgorithm": (1, 1, 1, 300, 240, 2, 1, 1, 1, 1, 1, 3, 430, 12, 5),
        "validationLevel": (930, 60, 10),
    }
)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A filter's values and where each lies; *edges* has one more entry than *values*, the first 0, the last SCALE."""

    name: str
    values: Mapping[str, int]
    edges: tuple[int, ...]

    @classmethod
    def of(cls, name: str, weighted: tuple[tuple[str, int], ...]) -> Dimension:
        """Lay the values side by side by their weights."""
        total = sum(weight for _, weight in weighted)
        sums = itertools.accumulate((weight for _, weight in weighted), initial=0)
        values = {value: position for position, (value, _) in enumerate(weighted)}
        return cls(name, MappingProxyType(values), tuple(done * SCALE // total for done in sums))

    def spread(self, edge: int) -> int:
        """How far the edge may wander with time and still never meet its neighbours."""
        if edge in (0, len(self.edges) - 1):
            return 0
        return min(self.edges[edge] - self.edges[edge - 1], self.edges[edge + 1] - self.edges[edge]) // 6


def _weighted(name: str) -> tuple[tuple[str, int], ...]:
    free = {"ca": _CAS, "caOwner": _OWNERS, "log": _LOGS, "logOperator": _OPERATORS, "tld": _TLDS}
    if name in free:
        return free[name]
    return tuple(zip(FILTERS[name].values, _WEIGHTS[name], strict=True))


UNIQUE_ENTRIES = "uniqueEntries"
UNIQUE_SHARE = SCALE * 54 // 100
"""`uniqueEntries=true` leaves out what was logged twice; `false` filters nothing, so the two are no partition."""

DIMENSIONS: Mapping[str, Dimension] = MappingProxyType(
    {name: Dimension.of(name, _weighted(name)) for name in FILTERS if name != UNIQUE_ENTRIES}
)
"""Every filter that partitions, by the API's name."""

CATALOGUED = frozenset({"ca", "caOwner", "log", "logOperator", "tld"})
"""The filters whose values are names and not an enumeration."""


@lru_cache(maxsize=4096)
def unlisted(name: str, value: str) -> tuple[int, int]:
    """Where a name lies that is not in the catalogue: up to a fiftieth of the line, so that any name can be tried."""
    digest = hashlib.blake2b(f"{name}={value}".encode(), digest_size=8).digest()
    width = SCALE // 2000 + int.from_bytes(digest[:4], "big") % (SCALE // 50)
    start = int.from_bytes(digest[4:], "big") % (SCALE - width)
    return start, start + width
