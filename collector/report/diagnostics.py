"""One document that tells a maintainer what Radar does and what the collector made of it, without secrets."""

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
_FAILURES = 50
_LOOKED_AT = 1_000
_BODY_BYTES = 65_536
_ALL_BODIES_BYTES = 2_097_152
_SLICES = 100
_LONG = 8
_VALUE_CHARACTERS = 8_192
_PERSONAL = ("credentials:", "service", "written")
"""State that tells of this host or of credentials, or of nothing at all."""
_HOMES = re.compile(r"(?:/home|/Users)/[^/\s\"']+")


def about_program() -> dict[str, Any]:
    """What runs here."""
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
    """Every effective setting, with secrets masked, and where it came from."""
    return [{"key": one.key, "value": one.value, "from": one.origin} for one in effective(loaded)]


async def about_store(store: Reader, loaded: LoadedSettings, now: datetime) -> dict[str, Any]:
    """What the store knows: how things stand, what was learned, what failed, and bodies as examples."""
    settings = loaded.settings
    document = await status_document(store, settings.profiles, settings.radar.requests_per_5min, now)
    for one in (document["service"] or {}, *document["replicas"]):
        one.pop("name", None)
    failed = [row for row in await store.list_fetches(limit=_LOOKED_AT) if row.outcome not in ("ok", "started")]
    jobs = await store.list_backfills(10)
    return {
        "status": document,
        "learned": {
            key: _read_value(value)
            for key, value in (await store.list_state()).items()
            if not key.startswith(_PERSONAL)
        },
        "refusals": [asdict(one) for one in await store.refusals()],
        "failures": [asdict(row) for row in failed[:_FAILURES]],
        "backfills": [asdict(job) for job in jobs],
        "bodies": await _bodies(store),
    }


def _read_value(text: str) -> Any:
    """Read a value of the state as JSON where it is some."""
    try:
        return json.loads(text[:_VALUE_CHARACTERS])
    except ValueError:
        return text[:_VALUE_CHARACTERS]


async def _bodies(store: Reader) -> list[dict[str, Any]]:
    """List what is kept, the newest first; the newest of each kind with its content, as far as there is room."""
    found, seen, room = [], set[str](), _ALL_BODIES_BYTES
    for kept in reversed(await store.bodies()):
        row = asdict(kept)
        if kept.kind not in seen and room > 0:
            seen.add(kept.kind)
            row |= await _example(store, kept, min(_BODY_BYTES, room))
            room -= len(row["content"])
        found.append(row)
    return found


async def _example(store: Reader, kept: KeptBody, most: int) -> dict[str, Any]:
    """Return the first *most* bytes of a kept body, and the first slices of its question; or why there are none."""
    try:
        content, question = await store.body(kept.fetch_id) or b"", await store.question(kept.fetch_id)
    except StoreCorrupt as error:
        return {"content": str(error), "content_is_whole": False, "question": []}
    slices = question.slices[:_SLICES] if question else ()
    return {
        "content": content[:most].decode("utf-8", "backslashreplace"),
        "content_is_whole": kept.whole and len(content) <= most,
        "question": [
            {"filters": dict(one.series.filters), "start": one.window.start, "end": one.window.end} for one in slices
        ],
    }


def without_secrets(value: Any, secrets: Sequence[str]) -> Any:
    """Return a document of plain values in which no text holds one of *secrets*, or a folder that names a user."""
    match value:
        case str():
            return _masked(value, secrets)
        case dict():
            long = [secret for secret in secrets if len(secret) >= _LONG]  # a short one is a part of our own words
            return {_masked(str(key), long): without_secrets(one, secrets) for key, one in value.items()}
        case list() | tuple():
            return [without_secrets(one, secrets) for one in value]
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
    """Return every text that a report must not hold, the longest first."""
    credentials = loaded.settings.radar.credentials
    personal = [credentials.email] if credentials and credentials.email else []
    return sorted((text for text in (*loaded.settings.secrets, *personal) if text), key=len, reverse=True)


def write(document: Mapping[str, Any]) -> str:
    """Write a document of plain values as JSON that a person can read."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
