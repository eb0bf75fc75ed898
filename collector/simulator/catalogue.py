"""The simulated lists of authorities and logs, and the details of their entries.

They begin with the names that the synthetic data knows, and go on with made-up ones up to the numbers in the options.
With *every*, the lists change at each end of that time after *since*: a log shard appears, another log is retired, and
an authority appears.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from collector.contract.catalogue import NOT_FOUND, entry_reply, list_reply, parse_format, parse_page
from collector.contract.response import HttpReply, bad_request
from collector.datasets.catalogue import AUTHORITIES, LISTS, LOGS
from collector.simulator.values import dimension_of
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.datasets import Dataset
    from collector.datasets.catalogue import CatalogueList


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """From the moment *at* on, the entry *slug* of a list has other *values*; None: it is gone.

    An unknown slug is a new entry.
    """

    list_name: str
    slug: str
    at: datetime
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """The switches of the lists: the numbers of *owners* and *logs* (0: those of the data), and how long a page may be.

    A longer page than *page_limit* is cut, or rejected if *over_limit* says so. *extra* are keys that the contract does
    not have. *hidden* are slugs whose details are not known.
    """

    owners: int = 0
    logs: int = 0
    page_limit: int | None = None
    over_limit: Literal["cut", "reject"] = "cut"
    since: datetime | None = None
    every: timedelta | None = None
    changes: tuple[CatalogueChange, ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()
    hidden: tuple[str, ...] = ()


def catalogue_place(path: str) -> tuple[CatalogueList, str] | None:
    """Return the list and the slug (empty for the list itself) of a path; None for another path."""
    for known in LISTS.values():
        if path == known.url_path:
            return known, ""
        slug = path.removeprefix(f"{known.url_path}/")
        if slug and slug != path and "/" not in slug:
            return known, unquote(slug)
    return None


def catalogue_reply(
    place: tuple[CatalogueList, str],
    dataset: Dataset,
    pairs: Sequence[tuple[str, str]],
    options: CatalogueOptions,
    now: float,
) -> HttpReply:
    """Return the answer to a request for a list or for an entry; raises ApiError for what the API rejects."""
    known, slug = place
    entries = _entries(known, dataset, options, now)
    if slug:
        item = None if slug in options.hidden else entries.get(slug)
        return (
            NOT_FOUND if item is None else entry_reply(known, _details(known, item, entries, now), parse_format(pairs))
        )
    page = parse_page(pairs)
    most = options.page_limit
    if most is not None and page.limit > most:
        if options.over_limit == "reject":
            raise bad_request(f"limit: must be at most {most}")
        page = replace(page, limit=most)
    return list_reply(known, [*entries.values()], page)


def _entries(
    known: CatalogueList, dataset: Dataset, options: CatalogueOptions, now: float
) -> dict[str, Mapping[str, Any]]:
    items = _authorities(dataset, options, now) if known is AUTHORITIES else _logs(dataset, options, now)
    entries: dict[str, Mapping[str, Any]] = {item[known.slug_key]: {**item, **dict(options.extra)} for item in items}
    for change in sorted(options.changes, key=lambda change: change.at):
        if change.list_name == known.name and change.at.timestamp() <= now:
            if change.values is None:
                entries.pop(change.slug, None)
            else:
                entries[change.slug] = {**entries.get(change.slug, {known.slug_key: change.slug}), **change.values}
    return entries


def _rounds(options: CatalogueOptions, now: float) -> int:
    """Return how often the lists have changed by *now*."""
    if options.every is None or options.since is None:
        return 0
    return max(0, int((now - options.since.timestamp()) // options.every.total_seconds()))


def fingerprint(name: str) -> str:
    """Return the made-up fingerprint of an authority."""
    return hashlib.sha256(name.encode()).hexdigest().upper()


def _authorities(dataset: Dataset, options: CatalogueOptions, now: float) -> list[dict[str, Any]]:
    of_owners, of_names = (dataset.filters[name] for name in AUTHORITIES.filters)
    owners = [*dimension_of(of_owners).values]
    owners = owners[: options.owners or None]
    owners += [f"Example Trust {number:03} Ltd" for number in range(len(owners) + 1, options.owners + 1)]
    owners += [f"New Example Trust {number:03} Ltd" for number in range(1, _rounds(options, now) + 1)]
    items = [_root(owner) for owner in owners]
    return items + [_intermediate(name, owners[0]) for name in dimension_of(of_names).values]


def _root(owner: str) -> dict[str, Any]:
    return {
        "certificateRecordType": "ROOT_CERTIFICATE",
        "country": "US",
        "countryName": "United States",
        "name": f"{owner} Root",
        "owner": owner,
        "parentName": "",
        "parentSha256Fingerprint": "",
        "revocationStatus": "NOT_REVOKED",
        "sha256Fingerprint": fingerprint(owner),
    }


def _intermediate(name: str, owner: str) -> dict[str, Any]:
    changed = {"certificateRecordType": "INTERMEDIATE_CERTIFICATE", "name": name, "parentName": f"{owner} Root"}
    return (
        _root(owner) | changed | {"parentSha256Fingerprint": fingerprint(owner), "sha256Fingerprint": fingerprint(name)}
    )


def _logs(dataset: Dataset, options: CatalogueOptions, now: float) -> list[dict[str, Any]]:
    names = [*dimension_of(dataset.filters[next(iter(LOGS.filters))]).values]
    names = names[: options.logs or None]
    names += [f"Example Shard{number:03}" for number in range(len(names) + 1, options.logs + 1)]
    rounds = _rounds(options, now)
    items = [_log(name) for name in names]
    for number, item in enumerate(items[::-1][:rounds]):
        assert options.since, "there are no rounds without it"
        assert options.every, "there are no rounds without it"
        items[len(items) - 1 - number] = _with_state(item, "RETIRED", options.since + (number + 1) * options.every)
    return items + [_log(f"New Example Shard{number:03}") for number in range(1, rounds + 1)]


def _log(name: str) -> dict[str, Any]:
    slug = "".join(character if character.isalnum() else "-" for character in name.lower())
    return {
        "api": "STATIC" if "Tuscolo" in name or "Sycamore" in name else "RFC6962",
        "description": name,
        "endExclusive": "2027-01-01T00:00:00Z",
        "operator": name.rpartition(" ")[0],
        "slug": slug,
        "startInclusive": "2026-01-01T00:00:00Z",
        "state": "USABLE",
        "stateTimestamp": "2025-06-01T00:00:00Z",
        "url": f"https://ct.example.com/{slug}/",
    }


def _with_state(item: dict[str, Any], state: str, moment: datetime) -> dict[str, Any]:
    return item | {"state": state, "stateTimestamp": rfc3339(moment)}


_STORES = ("chromeStatus", "appleStatus", "microsoftStatus", "mozillaStatus")
_STATES = ("INCLUDED", "INCLUDED", "INCLUDED", "NOT_INCLUDED", "NOT_YET_INCLUDED", "REMOVED")
_ENDPOINTS = (
    "add-chain (new)",
    "add-chain (old)",
    "add-pre-chain (new)",
    "add-pre-chain (old)",
    "get-entries",
    "get-roots",
    "get-sth",
)


def _details(
    known: CatalogueList, item: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]], now: float
) -> Mapping[str, Any]:
    """Return an entry with its details; values of an entry that a change has set stay."""
    if known is LOGS:
        return _log_details(item, entries, now)
    number = int(item[known.slug_key][:8], 16) if _is_hexadecimal(item[known.slug_key][:8]) else 0
    related_keys = ("certificateRecordType", "name", "revocationStatus", "sha256Fingerprint")
    return {
        **{store: _STATES[(number >> 4 * place) % len(_STATES)] for place, store in enumerate(_STORES)},
        "authorityKeyIdentifier": "1TkcnFtvBKqilUzvIN0pdKTFRXE",
        "subjectKeyIdentifier": "VbqXmCURhMmiMtD7nFY6iCr4z",
        "validFrom": "2019-12-09",
        "validTo": "2032-06-08",
        "related": _related(item, entries, "owner", related_keys, known.slug_key),
        **item,
    }


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and all(character in "0123456789ABCDEF" for character in text)


def _log_details(item: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]], now: float) -> Mapping[str, Any]:
    hours = int(now // 3600)
    uptime = 0.99 + (hours % 7) / 1000
    endpoints = [
        {"endpoint": name, "responseTime": 100 + place, "uptime": uptime} for place, name in enumerate(_ENDPOINTS)
    ]
    related_keys = ("slug", "description", "state", "startInclusive", "endExclusive")
    return {
        "avgThroughput": 100_000 + hours % 100,
        "lastUpdate": rfc3339(from_epoch(hours * 3600)),
        "performance": {"uptime": uptime, "responseTime": 101.5, "endpoints": endpoints},
        "submittedCertCount": str(1_000_000 + hours),
        "submittableCertCount": str(2_000_000 - hours % 1000),
        "related": _related(item, entries, "operator", related_keys, "slug"),
        **item,
    }


def _related(
    item: Mapping[str, Any],
    entries: Mapping[str, Mapping[str, Any]],
    key: str,
    kept: Sequence[str],
    slug_key: str,
) -> list[dict[str, Any]]:
    others = (other for slug, other in entries.items() if slug != item[slug_key] and other.get(key) == item.get(key))
    return [{name: other.get(name) for name in kept} for other in others]
