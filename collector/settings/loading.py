"""Build the settings from command line, environment, secret files, TOML and defaults, in this order of precedence.

`effective` returns them as rows for `collector config show`: every key, its value with secrets masked, and its origin.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_settings import InitSettingsSource

from collector.datasets import snake_case
from collector.interval import AggInterval
from collector.model import Normalization
from collector.settings.document import read_document, read_tables
from collector.settings.problems import ProblemReport, key_text
from collector.settings.schema import ADDRESSES, CONFIDENTIAL, SECTIONS, RawSettings, points_key
from collector.settings.settings import (
    CatalogueSettings,
    CollectionSettings,
    DatabaseSettings,
    LogSettings,
    RadarSettings,
    RetentionSettings,
    Secret,
    ServerSettings,
    Settings,
)
from collector.settings.sources import SourceLayer, command_line, environment, secrets_directory, variable_files
from collector.settings.validate import (
    ProfileReader,
    check_exposure,
    check_proxy,
    check_retention,
    check_section,
    check_settle,
    check_timescale,
    choose_credentials,
    unknown_key,
)
from collector.settings.values import MASK, format_duration, passwords, without_password
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.profile import Profile
    from collector.settings.document import Document
    from collector.settings.problems import KeyPath, SourceLocation
    from collector.settings.schema import RetentionSection


class LoadedSettings(NamedTuple):
    """The settings, the merged sections, the document, and the location of every value that is not a default."""

    settings: Settings
    tables: RawSettings
    document: Document
    locations: Mapping[KeyPath, SourceLocation]


def read_settings(
    config: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    now: datetime,
    *,
    required: bool,
) -> LoadedSettings:
    """Read and check all sources. Raises ConfigurationError with every problem at once."""
    report = ProblemReport()
    document = read_document(config, environ, report, required=required)
    layers = [_checked(layer, report) for layer in _layers(document, environ, overrides, report)]
    tables = _merged(layers)
    locations = {path: layer.location(path) for layer in reversed(layers) for path in layer.paths}
    settings = _settings(tables, document, locations, now, report)
    report.raise_if_any()
    return LoadedSettings(settings, tables, document, locations)


def _merged(layers: Sequence[SourceLayer]) -> RawSettings:
    """Merge the layers key by key, highest precedence first."""
    sources = tuple(InitSettingsSource(RawSettings, dict(layer.values)) for layer in layers)
    return RawSettings(_build_sources=(sources, {}))  # type: ignore[call-arg] # mypy sees only the fields


def _layers(
    document: Document, environ: Mapping[str, str], overrides: Mapping[str, object], report: ProblemReport
) -> Sequence[SourceLayer]:
    layers = [command_line(overrides), environment(environ, report)]
    already_set = layers[0].paths | layers[1].paths
    layers.append(variable_files(environ, already_set, report))
    layers.append(secrets_directory(environ, already_set | layers[2].paths, report))
    layers.append(read_tables(document, already_set | layers[2].paths | layers[3].paths, report))
    return layers


def _checked(layer: SourceLayer, report: ProblemReport) -> SourceLayer:
    """Return the layer with only the values that its sections accept; report the others."""
    for path in layer.paths & CONFIDENTIAL:
        for secret in _secrets(layer.values[str(path[0])][str(path[1])], path):
            report.hide(secret)
    values = {}
    for section, table in layer.values.items():
        if section in SECTIONS:
            values[section] = check_section(SECTIONS[section], table, (section,), layer.location, report)
        else:
            report.add((section,), layer.location((section,)), unknown_key(section, SECTIONS))
    return SourceLayer(values, layer.location)


def _secrets(value: Any, path: KeyPath) -> tuple[str, ...]:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        return ()
    return passwords(text) if path in ADDRESSES else (text,)


def _settings(
    tables: RawSettings,
    document: Document,
    locations: Mapping[KeyPath, SourceLocation],
    now: datetime,
    report: ProblemReport,
) -> Settings:
    credentials = choose_credentials(tables.radar, locations, report)
    check_proxy(tables.radar, locations, report)
    check_exposure(tables.server, locations, report)
    check_timescale(tables.database, locations, report)
    collection = CollectionSettings(**tables.collection.model_dump())
    location = locations.get(("collection", "settle")) or locations.get(("collection", "lookback"))
    if location:
        check_settle(collection.settle, collection.lookback, ("collection",), location, report)
    retention = _retention(tables.retention)
    profiles = ProfileReader(document, tables.collection, now, report).read()
    check_retention(retention, profiles, locations, report)
    return Settings(
        radar=RadarSettings(
            base_url=tables.radar.base_url,
            requests_per_5min=tables.radar.requests_per_5min,
            concurrency=tables.radar.concurrency,
            timeout=tables.radar.timeout,
            credentials=credentials,
            ca_file=tables.radar.ca_file,
            proxy=tables.radar.proxy,
        ),
        database=DatabaseSettings(**dict(tables.database)),
        collection=collection,
        retention=retention,
        server=ServerSettings(**tables.server.model_dump()),
        log=LogSettings(**tables.log.model_dump()),
        profiles=profiles,
        catalogue=CatalogueSettings(**tables.catalogue.model_dump()),
    )


def _retention(table: RetentionSection) -> RetentionSettings:
    ages = table.model_dump()
    spans = {interval: ages.pop(points_key(interval)) for interval in AggInterval}
    return RetentionSettings({interval: span for interval, span in spans.items() if span is not None}, **ages)


DEFAULT = "default"

Value = str | int | bool | list[str] | None


class EffectiveSetting(NamedTuple):
    """One setting: key path, value as the configuration spells it, and the origin of the value."""

    key: str
    value: Value
    origin: str


def effective(loaded: LoadedSettings) -> Iterator[EffectiveSetting]:
    """Yield every setting in the order of the sections, then every profile with the labels of its series."""
    for section in SECTIONS:
        for key, value in getattr(loaded.tables, section):
            yield EffectiveSetting(f"{section}.{key}", _plain(value), _origin(loaded, (section, key)))
    for index, profile in enumerate(loaded.settings.profiles):
        yield from _profile(loaded, ("profiles", index), profile)


def _origin(loaded: LoadedSettings, path: KeyPath) -> str:
    location = loaded.locations.get(path)
    return location.origin if location else DEFAULT


def _profile(loaded: LoadedSettings, base: KeyPath, profile: Profile) -> Iterator[EffectiveSetting]:
    table = loaded.document.values["profiles"][base[1]]
    for key in (*_OF_PROFILE, *(key for key in _OF_GROUPS if key in table)):
        own = loaded.document.location((*base, key)).origin
        inherited = _origin(loaded, ("collection", key))
        yield EffectiveSetting(
            key_text((*base, key)), _plain(_of_key(profile, key)), own if key in table else inherited
        )
    for name, values_by_name in (("filters", profile.filters), ("each", profile.each)):
        spelled = {snake_case(key): loaded.document.location((*base, name, key)) for key in table.get(name, {})}
        for parameter, values in values_by_name.items():
            key = snake_case(parameter)
            yield EffectiveSetting(key_text((*base, name, key)), list(values), spelled[key].origin)
    labels = [series.label for series in profile.series]
    yield EffectiveSetting(key_text((*base, "series")), labels, loaded.document.location(base).origin)


_OF_PROFILE = ("name", "agg_interval", "since", "publication_delay", "lookback", "settle", "heal", "enabled")
_OF_GROUPS = ("dimension", "groups", "normalization")


def _of_key(profile: Profile, key: str) -> Any:
    if key == "groups":
        return profile.most_groups
    return (
        (profile.normalization or Normalization.RAW_VALUES.value) if key == "normalization" else getattr(profile, key)
    )


def _plain(value: Any) -> Value:
    if isinstance(value, Secret):
        url = value.reveal()
        return without_password(url) if "://" in url else MASK
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    return value if value is None or isinstance(value, bool | int | list) else str(value)
