"""Certificates in the logs of certificate transparency: `GET /radar/ct/timeseries`.

Source of the filters: Cloudflare's OpenAPI description of this path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from collector.datasets.dataset import Dataset, FilterParameter, Sibling, Sums
from collector.model import DATASET

if TYPE_CHECKING:
    from collections.abc import Mapping

_TLD = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])")

_OWNERS = {
    "Internet Security Research Group": 520,
    "Google Trust Services LLC": 210,
    "Sectigo Limited": 80,
    "DigiCert, Inc.": 55,
    "Amazon Trust Services": 45,
    "GoDaddy.com, LLC": 30,
    "Microsoft Corporation": 22,
    "SSL Corporation": 14,
    "IdenTrust Services, LLC": 9,
    "GlobalSign nv-sa": 8,
    "Asseco Data Systems S.A.": 4,
    "SwissSign AG": 3,
}
_CAS = {
    "R12": 140,
    "R13": 135,
    "E7": 125,
    "E8": 120,
    "WE1": 130,
    "WR1": 80,
    "Sectigo Public Server Authentication CA DV R36": 80,
    "DigiCert Global G2 TLS RSA SHA256 2020 CA1": 55,
    "Amazon RSA 2048 M02": 45,
    "Go Daddy Secure Certificate Authority - G2": 30,
    "Microsoft Azure RSA TLS Issuing CA 03": 22,
    "SSL.com TLS Transit ECC CA R2": 14,
    "Other, Unlisted Authorities": 24,
}
_LOGS = {
    "Google Argon2026h1": 210,
    "Google Xenon2026h1": 190,
    "Cloudflare Nimbus2026": 180,
    "DigiCert Wyvern2026h1": 120,
    "DigiCert Sphinx2026h1": 110,
    "Let's Encrypt Oak2026h1": 70,
    "Sectigo Mammoth2026h1": 60,
    "Let's Encrypt Sycamore2026h1": 35,
    "Geomys Tuscolo2026h1": 25,
}
_OPERATORS = {"Google": 400, "DigiCert": 230, "Cloudflare": 180, "Let's Encrypt": 105, "Sectigo": 60, "Geomys": 25}
_TLDS = {
    "com": 440,
    "net": 70,
    "org": 60,
    "de": 55,
    "xyz": 40,
    "uk": 40,
    "io": 35,
    "ru": 30,
    "nl": 28,
    "fr": 27,
    "br": 26,
    "dev": 25,
    "app": 24,
    "shop": 22,
    "top": 20,
    "pt": 8,
    "xn--p1ai": 5,
    "info": 45,
}
_DURATIONS = {
    "LTE_3D": 1,
    "GT_3D_LTE_7D": 30,
    "GT_7D_LTE_10D": 4,
    "GT_10D_LTE_47D": 20,
    "GT_47D_LTE_100D": 920,
    "GT_100D_LTE_200D": 5,
    "GT_200D": 20,
}
_SIGNATURES = {
    "DSA_SHA_1": 1,
    "DSA_SHA_256": 1,
    "ECDSA_SHA_1": 1,
    "ECDSA_SHA_256": 300,
    "ECDSA_SHA_384": 240,
    "ECDSA_SHA_512": 2,
    "PSS_SHA_256": 1,
    "PSS_SHA_384": 1,
    "PSS_SHA_512": 1,
    "RSA_MD2": 1,
    "RSA_MD5": 1,
    "RSA_SHA_1": 3,
    "RSA_SHA_256": 430,
    "RSA_SHA_384": 12,
    "RSA_SHA_512": 5,
}


def _of_certificates(name: str, shares: Mapping[str, int], *, is_text: bool = False) -> FilterParameter:
    """Return a filter by a property that a certificate has for ever; *is_text*: it accepts other values, too."""
    return FilterParameter(
        name,
        () if is_text else tuple(shares),
        over_values=Sums.ALWAYS,
        over_time=Sums.ALWAYS,
        reason="a certificate has exactly one of its values, for ever",
        shares=tuple(shares.items()),
    )


def _of_entries(
    name: str,
    shares: Mapping[str, int],
    reason: str = "an entry lies in one log of one operator and one API, but a certificate is entered in several logs",
    *,
    is_text: bool = False,
    repeats: str = "",
) -> FilterParameter:
    """Return a filter by a property of an entry, of which a certificate has several."""
    return FilterParameter(
        name,
        () if is_text else tuple(shares),
        max_length=100 if is_text else 1000,
        over_values=Sums.UNLESS_DISTINCT,
        over_time=Sums.ALWAYS,
        reason=reason,
        repeats=repeats,
        shares=tuple(shares.items()),
    )


CT_TIMESERIES = Dataset(
    name=DATASET,
    path="ct/timeseries",
    unit="certificates",
    parameters=(
        _of_certificates("ca", _CAS, is_text=True),
        _of_certificates("caOwner", _OWNERS, is_text=True),
        _of_certificates("duration", _DURATIONS),
        _of_entries(
            "entryType",
            {"PRECERTIFICATE": 560, "CERTIFICATE": 440},
            "an entry has one type, but a certificate is entered as a precertificate and as itself",
            repeats="as a precertificate and as itself",
        ),
        FilterParameter(
            "expirationStatus",
            ("EXPIRED", "VALID"),
            is_snapshot=True,
            reason="it is judged at the moment of the request",
        ),
        _of_certificates("hasIps", {"true": 4, "false": 996}),
        _of_certificates("hasWildcards", {"true": 310, "false": 690}),
        _of_entries("log", _LOGS, is_text=True, repeats="in each of its logs"),
        _of_entries("logApi", {"RFC6962": 870, "STATIC": 130}),
        _of_entries("logOperator", _OPERATORS, is_text=True),
        _of_certificates("publicKeyAlgorithm", {"DSA": 1, "ECDSA": 560, "RSA": 439}),
        _of_certificates("signatureAlgorithm", _SIGNATURES),
        FilterParameter(
            "tld",
            max_length=63,
            pattern=_TLD,
            min_length=2,
            over_time=Sums.ALWAYS,
            reason="a certificate may name several top-level domains",
            shares=tuple(_TLDS.items()),
        ),
        FilterParameter(
            "uniqueEntries",
            ("true", "false"),
            is_distinct=True,
            over_time=Sums.UNLESS_DISTINCT,
            reason="a certificate that is entered again later counts in both buckets, but once in a bucket that holds "
            "both; true counts a part of what false counts",
        ),
        _of_certificates("validationLevel", {"DOMAIN": 930, "ORGANIZATION": 60, "EXTENDED": 10}),
    ),
    conflicts={"tld": frozenset({"log", "logApi", "logOperator", "entryType"})},
    groups_path="ct/timeseries_groups",
    summary_path="ct/summary",
    siblings=(
        Sibling("summary", "ct/summary/CA_OWNER"),
        Sibling("timeseries groups", "ct/timeseries_groups/CA_OWNER", "aggInterval=1d"),
        Sibling("authorities", "ct/authorities", "limit=5", has_dates=False),
        Sibling("logs", "ct/logs", "limit=5", has_dates=False),
    ),
)
