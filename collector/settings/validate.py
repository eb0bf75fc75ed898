"""Check one section of one source against its schema, and the rules that span several keys.

A rule over several keys says nothing if one of its keys is already in the report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from collector.model import AggInterval
from collector.profile import nearest
from collector.settings.parsers import format_duration
from collector.settings.problems import quote
from collector.settings.schema import CONFIDENTIAL, allowed, points_key, toml_keys
from collector.settings.secret import Credentials
from collector.settings.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.profile import Profile
    from collector.settings.problems import KeyPath, ProblemReport, SourceLocation
    from collector.settings.schema import DatabaseSection, RadarSection, Section, ServerSection
    from collector.settings.settings import RetentionSettings


def check_section(
    model: type[Section],
    values: Mapping[str, Any],
    base: KeyPath,
    place: Callable[[KeyPath], SourceLocation],
    report: ProblemReport,
) -> dict[str, Any]:
    """Return those of *values* that *model* accepts, each as it was found, and report the others."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return dict(values)
    wrong = {str(detail["loc"][0]): detail for detail in details}
    for key, detail in wrong.items():
        path = (*base, key)
        report.add(path, place(path), _text(model, path, detail))
    return {key: value for key, value in values.items() if key not in wrong}


def unknown(key: str, words: Iterable[str]) -> str:
    """Refuse a key that does not exist."""
    words = tuple(words)
    return f"unknown key{nearest(key, words)}; allowed: {', '.join(words)}"


def _text(model: type[Section], path: KeyPath, detail: Mapping[str, Any]) -> str:
    key = str(path[-1])
    if detail["type"] == "extra_forbidden":
        return unknown(key, toml_keys(model))
    # pydantic's own words are not used: they quote what was found, secrets included
    reason = str(detail.get("ctx", {}).get("error", ""))
    if path in CONFIDENTIAL:
        return f"{reason}; allowed: {allowed(model, key)}"
    joint = "" if not reason else " " if reason.startswith("(") else ": "
    return f"found {quote(detail['input'])}{joint}{reason}; allowed: {allowed(model, key)}"


_TOKEN: KeyPath = ("radar", "api_token")
_EMAIL: KeyPath = ("radar", "email")
_KEY: KeyPath = ("radar", "api_key")


def choose_credentials(
    radar: RadarSection, places: Mapping[KeyPath, SourceLocation], report: ProblemReport
) -> Credentials | None:
    """Take the token, or e-mail address and key; None where neither is given. Both at once, or half of one: refused."""
    if not report.is_valid(_TOKEN, _EMAIL, _KEY):
        return None
    if radar.api_token and radar.api_key:
        text = f"two kinds of credentials, the other at {places[_KEY].origin}; allowed: a token, or e-mail and key"
        report.add(_TOKEN, places[_TOKEN], text)
    if radar.api_token:
        return Credentials(token=radar.api_token)
    if radar.email and radar.api_key:
        return Credentials(email=radar.email, api_key=radar.api_key)
    if radar.email:
        text = "an e-mail address without its key; give CLOUDFLARE_API_KEY or radar.api_key_file too"
        report.add(_EMAIL, places[_EMAIL], text)
    if radar.api_key:
        text = "a key without its e-mail address; give CLOUDFLARE_EMAIL or radar.email too"
        report.add(_KEY, places[_KEY], text)
    return None


def check_proxy(radar: RadarSection, places: Mapping[KeyPath, SourceLocation], report: ProblemReport) -> None:
    """Refuse a proxy where Radar is reached without TLS: the proxy would read the token."""
    path: KeyPath = ("radar", "proxy")
    if radar.proxy and radar.base_url.startswith("http://") and report.is_valid(path, ("radar", "base_url")):
        text = f'found a proxy with base_url "{radar.base_url}"; allowed: with https://…, so that the token travels'
        report.add(path, places[path], f"{text} inside TLS only; http to this machine needs no proxy")


def check_exposure(server: ServerSection, places: Mapping[KeyPath, SourceLocation], report: ProblemReport) -> None:
    """Refuse to serve other machines without a token, unless that is what the operator says."""
    keys: list[KeyPath] = [("server", key) for key in ("enabled", "host", "token", "anonymous_read")]
    protected = server.token is not None or server.anonymous_read or is_loopback(server.host)
    if server.enabled and not protected and report.is_valid(*keys):
        text = (
            f'found "{server.host}", which other machines reach; allowed: with token_file (or COLLECTOR_SERVER__TOKEN)'
        )
        report.add(keys[1], places[keys[1]], f"{text} or anonymous_read = true, else 127.0.0.1, ::1, localhost")


def check_timescale(database: DatabaseSection, places: Mapping[KeyPath, SourceLocation], report: ProblemReport) -> None:
    """Refuse a hypertable where the store is a file."""
    path: KeyPath = ("database", "timescale")
    if database.timescale and database.url.reveal().startswith("sqlite") and report.is_valid(path, ("database", "url")):
        report.add(path, places[path], "found true with a url of SQLite; allowed: with postgresql://USER@HOST/NAME")


def check_settle(
    settle: timedelta, lookback: timedelta, base: KeyPath, place: SourceLocation, report: ProblemReport
) -> None:
    """Hold settle to at least lookback: what every fire re-reads cannot be final."""
    keys = [(*table, key) for table in (base, ("collection",)) for key in ("settle", "lookback")]
    if settle < lookback and report.is_valid(*keys):
        found = f'found settle "{format_duration(settle)}" with lookback "{format_duration(lookback)}"'
        report.add(keys[0], place, f"{found}; allowed: settle of at least lookback")


def check_retention(
    retention: RetentionSettings,
    profiles: Sequence[Profile],
    places: Mapping[KeyPath, SourceLocation],
    report: ProblemReport,
) -> None:
    """Hold retention to what profiles read again: a value that was deleted would come back with the next fire."""
    for agg_interval in AggInterval:
        kept, path = retention.points.get(agg_interval), ("retention", points_key(agg_interval))
        same = [profile for profile in profiles if profile.agg_interval == agg_interval]
        longest = max(same, key=lambda profile: max(profile.settle, profile.lookback), default=None)
        needed = max(longest.settle, longest.lookback) if longest else timedelta(0)
        if longest and kept is not None and kept < needed and report.is_valid(path):
            text = f'found "{format_duration(kept)}", while the profile "{longest.name}" still reads'
            text += f' "{format_duration(needed)}" again (settle, lookback); allowed: at least that'
            report.add(path, places[path], text)
