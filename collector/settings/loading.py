"""Build the settings from command line, environment, secret files, TOML and defaults, in this order of precedence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_settings import InitSettingsSource

from collector.interval import AggInterval
from collector.settings.document import read_document, read_tables
from collector.settings.problems import ProblemReport
from collector.settings.profiles import ProfileReader
from collector.settings.schema import ADDRESSES, CONFIDENTIAL, SECTIONS, RawSettings, points_key
from collector.settings.secret import Secret, passwords
from collector.settings.settings import (
    CollectionSettings,
    DatabaseSettings,
    LogSettings,
    RadarSettings,
    RetentionSettings,
    ServerSettings,
    Settings,
)
from collector.settings.sources import SourceLayer, command_line, environment, secrets_directory, variable_files
from collector.settings.validate import (
    check_exposure,
    check_proxy,
    check_retention,
    check_section,
    check_settle,
    check_timescale,
    choose_credentials,
    unknown_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.settings.document import Document
    from collector.settings.problems import KeyPath, SourceLocation
    from collector.settings.schema import RetentionSection


@dataclass(frozen=True)
class LoadedSettings:
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
    )


def _retention(table: RetentionSection) -> RetentionSettings:
    kept = table.model_dump()
    spans = {interval: kept.pop(points_key(interval)) for interval in AggInterval}
    return RetentionSettings({interval: span for interval, span in spans.items() if span is not None}, **kept)
