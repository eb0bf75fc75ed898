"""The document of `collector report`: the state of program, settings and store, without secrets."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.report.status import status_document
from collector.settings.loading import effective
from collector.store import StoreCorrupt
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.settings.loading import LoadedSettings
    from collector.store import KeptBody, Reader

NOTE = (
    "Names of profiles and series, their filters, addresses of the configuration and texts that Radar sent are in this"
    " report. Passwords, tokens, keys and e-mail addresses are shown as ***. Read it before you attach it to an issue."
)
_PACKAGES = ("aiohttp", "apscheduler", "psycopg", "pydantic", "sqlalchemy")
_MAX_FAILURES = 50
_FETCHES_READ = 1_000
_MAX_BODY_BYTES = 65_536
_MAX_BODIES_BYTES = 2_097_152
_MAX_SLICES = 100
_LONG_SECRET = 8
_MAX_VALUE_CHARACTERS = 8_192
_PERSONAL = ("credentials:", "service", "written")
"""Prefixes of keys of the state that are left out: they concern credentials or this host, or have no use."""
_HOMES = re.compile(r"(?:/home|/Users)/[^/\s\"']+")


def about_program() -> dict[str, Any]:
    """Return the versions of program, Python, platform and packages."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "note": NOTE,
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
    }


def settings_rows(loaded: LoadedSettings) -> list[dict[str, Any]]:
    """Return every effective setting with its source; secrets are masked."""
    return [{"key": setting.key, "value": setting.value, "from": setting.origin} for setting in effective(loaded)]


async def about_store(store: Reader, loaded: LoadedSettings, now: datetime) -> dict[str, Any]:
    """Return status, learned values, refusals, failed fetches and backfills, and kept bodies as examples."""
    settings = loaded.settings
    document = await status_document(store, settings.profiles, settings.radar.requests_per_5min, now)
    for process in (document["service"] or {}, *document["replicas"]):
        process.pop("name", None)
    failed = [row for row in await store.list_fetches(limit=_FETCHES_READ) if row.outcome not in ("ok", "started")]
    jobs = await store.list_backfills(10)
    return {
        "status": document,
        "learned": {
            key: _read_value(value)
            for key, value in (await store.list_state()).items()
            if not key.startswith(_PERSONAL)
        },
        "refusals": [asdict(refusal) for refusal in await store.refusals()],
        "failures": [asdict(row) for row in failed[:_MAX_FAILURES]],
        "backfills": [asdict(job) for job in jobs],
        "bodies": await _bodies(store),
    }


def _read_value(text: str) -> Any:
    """Return a value of the state, parsed if it is JSON."""
    try:
        return json.loads(text[:_MAX_VALUE_CHARACTERS])
    except ValueError:
        return text[:_MAX_VALUE_CHARACTERS]


async def _bodies(store: Reader) -> list[dict[str, Any]]:
    """List the kept bodies, the newest first; the newest of each kind has its content, up to a total size."""
    rows, kinds, bytes_left = [], set[str](), _MAX_BODIES_BYTES
    for body in reversed(await store.bodies()):
        row = asdict(body)
        if body.kind not in kinds and bytes_left > 0:
            kinds.add(body.kind)
            row |= await _example(store, body, min(_MAX_BODY_BYTES, bytes_left))
            bytes_left -= len(row["content"])
        rows.append(row)
    return rows


async def _example(store: Reader, body: KeptBody, max_bytes: int) -> dict[str, Any]:
    """Return the first *max_bytes* of a kept body, and the first slices of its batch; or why they cannot be read."""
    try:
        content, batch = await store.body(body.fetch_id) or b"", await store.question(body.fetch_id)
    except StoreCorrupt as error:
        return {"content": str(error), "content_is_whole": False, "question": []}
    slices = batch.slices[:_MAX_SLICES] if batch else ()
    return {
        "content": content[:max_bytes].decode("utf-8", "backslashreplace"),
        "content_is_whole": body.whole and len(content) <= max_bytes,
        "question": [
            {"filters": dict(slice_.series.filters), "start": slice_.window.start, "end": slice_.window.end}
            for slice_ in slices
        ],
    }


def without_secrets(value: Any, secrets: Sequence[str]) -> Any:
    """Return *value* as plain values; in each text *secrets* and the names of home folders are masked."""
    match value:
        case str():
            return _masked(value, secrets)
        case dict():
            # because a short secret can be a part of our own words
            long = [secret for secret in secrets if len(secret) >= _LONG_SECRET]
            return {_masked(str(key), long): without_secrets(item, secrets) for key, item in value.items()}
        case list() | tuple():
            return [without_secrets(item, secrets) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            return _masked(rfc3339(value) if hasattr(value, "tzinfo") else str(value), secrets)


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises an error for a user without one
    text = text.replace(home, "~") if len(home) > 1 else text
    return _HOMES.sub("~", text)


def secrets_of(loaded: LoadedSettings) -> list[str]:
    """Return every text that must not be in a report, the longest first."""
    credentials = loaded.settings.radar.credentials
    personal = [credentials.email] if credentials and credentials.email else []
    return sorted((text for text in (*loaded.settings.secrets, *personal) if text), key=len, reverse=True)


def write(document: Mapping[str, Any]) -> str:
    """Return a document of plain values as indented JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
