"""Check one section of one source against its schema, and the rules that span several keys.

A rule over several keys says nothing if one of its keys is already in the report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from collector.errors import did_you_mean
from collector.interval import AggInterval
from collector.settings.parsers import format_duration
from collector.settings.problems import quote
from collector.settings.schema import CONFIDENTIAL, allowed, points_key, toml_keys
from collector.settings.secret import Credentials, is_loopback

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
    location: Callable[[KeyPath], SourceLocation],
    report: ProblemReport,
) -> dict[str, Any]:
    """Return the unchanged *values* that *model* accepts, and report the others."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return dict(values)
    wrong = {str(detail["loc"][0]): detail for detail in details}
    for key, detail in wrong.items():
        path = (*base, key)
        report.add(path, location(path), _text(model, path, detail))
    return {key: value for key, value in values.items() if key not in wrong}


def unknown_key(key: str, words: Iterable[str]) -> str:
    """Return the problem of a key that does not exist."""
    words = tuple(words)
    return f"unknown key{did_you_mean(key, words)}; allowed: {', '.join(words)}"


def _text(model: type[Section], path: KeyPath, detail: Mapping[str, Any]) -> str:
    key = str(path[-1])
    if detail["type"] == "extra_forbidden":
        return unknown_key(key, toml_keys(model))
    # pydantic's own text is not used, because it quotes the value, which may be a secret
    reason = str(detail.get("ctx", {}).get("error", ""))
    if path in CONFIDENTIAL:
        return f"{reason}; allowed: {allowed(model, key)}"
    joint = "" if not reason else " " if reason.startswith("(") else ": "
    return f"found {quote(detail['input'])}{joint}{reason}; allowed: {allowed(model, key)}"


_TOKEN: KeyPath = ("radar", "api_token")
_EMAIL: KeyPath = ("radar", "email")
_KEY: KeyPath = ("radar", "api_key")


def choose_credentials(
    radar: RadarSection, locations: Mapping[KeyPath, SourceLocation], report: ProblemReport
) -> Credentials | None:
    """Return the token, or e-mail address and key, or None if neither is set; report both together or half of one."""
    if not report.is_valid(_TOKEN, _EMAIL, _KEY):
        return None
    if radar.api_token and radar.api_key:
        text = (
            f"two kinds of credentials; the other is at {locations[_KEY].origin}; allowed: a token, or e-mail and key"
        )
        report.add(_TOKEN, locations[_TOKEN], text)
    if radar.api_token:
        return Credentials(token=radar.api_token)
    if radar.email and radar.api_key:
        return Credentials(email=radar.email, api_key=radar.api_key)
    if radar.email:
        text = "an e-mail address without a key; set CLOUDFLARE_API_KEY or radar.api_key_file too"
        report.add(_EMAIL, locations[_EMAIL], text)
    if radar.api_key:
        text = "a key without an e-mail address; set CLOUDFLARE_EMAIL or radar.email too"
        report.add(_KEY, locations[_KEY], text)
    return None


def check_proxy(radar: RadarSection, locations: Mapping[KeyPath, SourceLocation], report: ProblemReport) -> None:
    """Report a proxy with an http *base_url*, because the proxy could read the token."""
    path: KeyPath = ("radar", "proxy")
    if radar.proxy and radar.base_url.startswith("http://") and report.is_valid(path, ("radar", "base_url")):
        text = f'found a proxy with base_url "{radar.base_url}"; allowed: only with https://…, so that TLS'
        report.add(path, locations[path], f"{text} protects the token; http to this machine needs no proxy")


def check_exposure(server: ServerSection, locations: Mapping[KeyPath, SourceLocation], report: ProblemReport) -> None:
    """Report a server that other machines reach without a token, unless *anonymous_read* allows it."""
    keys: list[KeyPath] = [("server", key) for key in ("enabled", "host", "token", "anonymous_read")]
    protected = server.token is not None or server.anonymous_read or is_loopback(server.host)
    if server.enabled and not protected and report.is_valid(*keys):
        text = (
            f'found "{server.host}", which other machines reach; allowed: with token_file (or COLLECTOR_SERVER__TOKEN)'
        )
        report.add(keys[1], locations[keys[1]], f"{text} or anonymous_read = true; without: 127.0.0.1, ::1, localhost")


def check_timescale(
    database: DatabaseSection, locations: Mapping[KeyPath, SourceLocation], report: ProblemReport
) -> None:
    """Report *timescale* with a SQLite store."""
    path: KeyPath = ("database", "timescale")
    if database.timescale and database.url.reveal().startswith("sqlite") and report.is_valid(path, ("database", "url")):
        report.add(
            path, locations[path], "found true with a SQLite url; allowed: true with postgresql://USER@HOST/NAME"
        )


def check_settle(
    settle: timedelta, lookback: timedelta, base: KeyPath, location: SourceLocation, report: ProblemReport
) -> None:
    """Report a *settle* shorter than *lookback*, because values that every fire re-reads are not final."""
    keys = [(*table, key) for table in (base, ("collection",)) for key in ("settle", "lookback")]
    if settle < lookback and report.is_valid(*keys):
        found = f'found settle "{format_duration(settle)}" with lookback "{format_duration(lookback)}"'
        report.add(keys[0], location, f"{found}; allowed: settle is at least lookback")


def check_retention(
    retention: RetentionSettings,
    profiles: Sequence[Profile],
    locations: Mapping[KeyPath, SourceLocation],
    report: ProblemReport,
) -> None:
    """Report a retention shorter than what profiles re-read, because the next fire would restore the points."""
    for agg_interval in AggInterval:
        kept, path = retention.points.get(agg_interval), ("retention", points_key(agg_interval))
        same = [profile for profile in profiles if profile.agg_interval == agg_interval]
        longest = max(same, key=lambda profile: max(profile.settle, profile.lookback), default=None)
        needed = max(longest.settle, longest.lookback) if longest else timedelta(0)
        if longest and kept is not None and kept < needed and report.is_valid(path):
            text = f'found "{format_duration(kept)}", but the profile "{longest.name}" reads the last'
            text += (
                f' "{format_duration(needed)}" again (settle, lookback); allowed: at least "{format_duration(needed)}"'
            )
            report.add(path, locations[path], text)
