"""The rules of the configuration: one section against its schema, several keys together, the profiles with filters.

A rule over several keys reports nothing if one of its keys is already in the report. Keys that a profile leaves out
come from `[collection]`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from collector.datasets import DEFAULT
from collector.errors import did_you_mean
from collector.interval import AggInterval
from collector.model import Normalization
from collector.profile import STAR, Profile
from collector.settings.dimensions import dimension_problems
from collector.settings.problems import key_text, quote
from collector.settings.schema import CONFIDENTIAL, ProfileSection, allowed, points_key, toml_keys
from collector.settings.settings import Credentials
from collector.settings.values import format_duration, is_loopback
from collector.timestamps import check_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.datasets import Dataset, FilterParameter
    from collector.model import Question
    from collector.settings.document import Document
    from collector.settings.problems import KeyPath, ProblemReport, SourceLocation
    from collector.settings.schema import CollectionSection, DatabaseSection, RadarSection, Section, ServerSection
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
        text = f'found settle "{format_duration(settle)}" with lookback "{format_duration(lookback)}"'
        report.add(keys[0], location, f"{text}; allowed: settle is at least lookback")


def check_retention(
    retention: RetentionSettings,
    profiles: Sequence[Profile],
    locations: Mapping[KeyPath, SourceLocation],
    report: ProblemReport,
) -> None:
    """Report a retention shorter than what profiles re-read, because the next fire would restore the points."""
    for agg_interval in AggInterval:
        age, path = retention.points.get(agg_interval), ("retention", points_key(agg_interval))
        same = [profile for profile in profiles if profile.agg_interval == agg_interval]
        longest = max(same, key=lambda profile: max(profile.settle, profile.lookback), default=None)
        needed = max(longest.settle, longest.lookback) if longest else timedelta(0)
        if longest and age is not None and age < needed and report.is_valid(path):
            text = f'found "{format_duration(age)}", but the profile "{longest.name}" reads the last'
            text += (
                f' "{format_duration(needed)}" again (settle, lookback); allowed: at least "{format_duration(needed)}"'
            )
            report.add(path, locations[path], text)


_REQUIRED = ("name", "agg_interval")


class ProfileReader(NamedTuple):
    """Reads the profiles of one document; keys that a profile leaves out come from *collection*."""

    document: Document
    collection: CollectionSection
    now: datetime
    report: ProblemReport

    def read(self) -> tuple[Profile, ...]:
        """Return every valid profile; the problems of the others are in the report."""
        tables = self.document.values.get("profiles", [])
        if not isinstance(tables, list):
            self._reject(("profiles",), f"found {quote(tables)}; allowed: a table for each, [[profiles]]")
            return ()
        profiles = [self._profile(index, table) for index, table in enumerate(tables)]
        self._check_names(tables)
        self._check_groups(profiles)
        return tuple(profile for profile in profiles if profile is not None)

    def _reject(self, path: KeyPath, text: str) -> None:
        self.report.add(path, self.document.location(path), text)

    def _check_names(self, tables: list[object]) -> None:
        first: dict[str, str] = {}
        for index, table in enumerate(tables):
            name = table.get("name") if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            path = ("profiles", index, "name")
            if name in first:
                self._reject(
                    path, f"found {quote(name)}, which is already used at {first[name]}; allowed: another name"
                )
            first.setdefault(name, self.document.location(path).origin)

    def _check_groups(self, profiles: list[Profile | None]) -> None:
        """Report a question that two profiles ask for with different numbers of groups: it is asked for once."""
        first: dict[Question, Profile] = {}
        for index, profile in enumerate(profiles):
            if profile is None or not profile.dimension:
                continue
            for labelled in profile.series:
                other = first.setdefault(labelled.query, profile)
                if other.most_groups != profile.most_groups:
                    text = (
                        f'found {profile.most_groups or "none"}, but the profile "{other.name}" has the same question'
                    )
                    text += f" with {other.most_groups or 'none'}; allowed: the same number of groups for both"
                    self._reject(("profiles", index, "groups"), text)
                    break

    def _profile(self, index: int, content: object) -> Profile | None:
        base: KeyPath = ("profiles", index)
        if not isinstance(content, dict):
            self._reject(base, f"found {quote(content)}; allowed: a table")
            return None
        values = check_section(ProfileSection, content, base, self.document.location, self.report)
        for key in _REQUIRED:
            if key not in content:
                self._reject((*base, key), f"missing; allowed: {allowed(ProfileSection, key)}")
        table = ProfileSection.model_validate(values)
        if table.since is not None:
            try:
                check_date(table.since, self.now)
            except ValueError as error:
                self._reject((*base, "since"), str(error))
        return self._resolved(table, base)

    def _resolved(self, table: ProfileSection, base: KeyPath) -> Profile | None:
        """Add the keys that the profile leaves out, and check the rules over several keys."""
        resolved = resolve_filters(table.filters or {}, table.each or {})
        for path, text in (*resolved.problems, *dimension_problems(table, resolved)):
            self._reject((*base, *path), text)
        collection = self.collection.model_dump()
        collection |= {key: value for key in collection if (value := getattr(table, key)) is not None}
        is_fixed = table.publication_delay is not None or "publication_delay" in self.collection.model_fields_set
        own = next((key for key in ("settle", "lookback") if getattr(table, key) is not None), None)
        if own:
            location = self.document.location((*base, own))
            check_settle(collection["settle"], collection["lookback"], base, location, self.report)
        if table.name is None or table.agg_interval is None:
            return None
        own_values = (table.name, table.agg_interval, resolved.filters, resolved.each, table.since)
        asked = "" if table.normalization in (None, Normalization.RAW_VALUES) else str(table.normalization)
        return Profile(
            *own_values,
            **collection,
            enabled=table.enabled is not False,
            dimension=table.dimension or "",
            most_groups=table.groups or 0,
            normalization=asked,
            waits=not is_fixed,
        )


MAX_SERIES = 10_000
"""Maximum of series of one profile. More is a mistake that would use the request budget for weeks."""

_BOOLEAN = {"true", "false"}


@dataclass
class ResolvedFilters:
    """Filters and varied filters by the API's names; *problems* are pairs (key path in the profile, text)."""

    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    each: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)


def resolve_filters(filters: Mapping[str, Any], each: Mapping[str, Any], dataset: Dataset = DEFAULT) -> ResolvedFilters:
    """Check both tables of filters of *dataset*. The result is complete only if it has no problems."""
    resolved = ResolvedFilters()
    locations_by_name: dict[str, KeyPath] = {}
    for table, values, into in (("filters", filters, resolved.filters), ("each", each, resolved.each)):
        for key, value in values.items():
            parameter = dataset.filter_named(key)
            if parameter is None:
                resolved.problems.append(((table, key), _unknown(key, dataset)))
                continue
            if parameter.name in locations_by_name:
                resolved.problems.append(((table, key), _repeated(locations_by_name[parameter.name], table)))
            locations_by_name.setdefault(parameter.name, (table, key))
            into[parameter.name] = _values(parameter, (table, key), value, resolved)
    _check_combinations(locations_by_name, resolved, dataset)
    if not resolved.problems:
        _check_labels(resolved)
    return resolved


def _unknown(key: str, dataset: Dataset) -> str:
    names = [parameter.option for parameter in dataset.parameters]
    return f"unknown key{did_you_mean(key, names)}; allowed: {', '.join(names)}"


def _repeated(first: KeyPath, table: str) -> str:
    if first[0] == table:
        return f"the same filter as {key_text(first)}; keep one spelling"
    return f"also set as {key_text(first)}; a filter is either fixed or varied"


def _values(parameter: FilterParameter, path: KeyPath, value: object, resolved: ResolvedFilters) -> tuple[str, ...]:
    listed = isinstance(value, list)
    items: list[object] = value if isinstance(value, list) else [value]
    if path[0] == "each" and items == [STAR] and listed:
        return parameter.values or (STAR,)
    if path[0] == "each" and not listed:
        resolved.problems.append((path, f"found {quote(value)}; allowed: a list, each value {parameter.allowed}"))
    elif not items:
        resolved.problems.append((path, f"found an empty list; allowed: {parameter.allowed}"))
    texts: list[str] = []
    for index, item in enumerate(items):
        problem = _problem_of(parameter, path, item, texts)
        if problem:
            resolved.problems.append(((*path, index) if listed else path, problem))
        else:
            texts.append(_filter_text(parameter, item))
    return tuple(texts)


def _filter_text(parameter: FilterParameter, item: object) -> str:
    """Return text unchanged, a boolean as `true` or `false` if the parameter is boolean, otherwise an empty text."""
    if isinstance(item, bool) and set(parameter.values) == _BOOLEAN:
        return "true" if item else "false"
    return item if isinstance(item, str) else ""


def _problem_of(parameter: FilterParameter, path: KeyPath, item: object, before: list[str]) -> str:
    """Return the problem of *item*, one of the values at *path*, or an empty text."""
    text = _filter_text(parameter, item)
    if text == STAR:
        advice = f'for every value write ["{STAR}"] alone' if path[0] == "each" else "leave the key out"
        return f'found "{STAR}", which does not mean every value here; {advice}; allowed: {parameter.allowed}'
    if not text or not parameter.accepts(text):
        return f"found {quote(item)}{did_you_mean(text, parameter.values)}; allowed: {parameter.allowed}"
    return f"found {quote(item)} twice; allowed: every value once" if text in before else ""


def _check_combinations(locations_by_name: Mapping[str, KeyPath], resolved: ResolvedFilters, dataset: Dataset) -> None:
    for name, others in dataset.conflicting(locations_by_name):
        against = ", ".join(key_text(locations_by_name[other]) for other in others)
        resolved.problems.append((locations_by_name[name], f"cannot be combined with {against}: Radar rejects that"))


def _check_labels(resolved: ResolvedFilters) -> None:
    """Report too many series, and two series with one label (`a/b` + `c` and `a` + `b/c`)."""
    count = math.prod(map(len, resolved.each.values()))
    if count > MAX_SERIES:
        resolved.problems.append((("each",), f"found {count} combinations; allowed: at most {MAX_SERIES} series"))
        return
    labels = Counter("/".join(values) for values in product(*resolved.each.values()))
    twice = [label for label, times in labels.items() if times > 1]
    if twice:
        resolved.problems.append((("each",), f"two series would have the label {quote(twice[0])}; change a value"))
