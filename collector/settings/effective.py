"""The effective settings as rows: every key, its value with secrets masked, and its origin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from collector.datasets import snake_case
from collector.settings.parsers import format_duration
from collector.settings.problems import key_text
from collector.settings.schema import SECTIONS
from collector.settings.secret import MASK, Secret, without_password
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.profile import Profile
    from collector.settings.loading import LoadedSettings
    from collector.settings.problems import KeyPath

DEFAULT = "default"

Value = str | int | bool | list[str] | None


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
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
    for key in ("name", "agg_interval", "since", "publication_delay", "lookback", "settle", "heal", "enabled"):
        own = loaded.document.location((*base, key)).origin
        inherited = _origin(loaded, ("collection", key))
        yield EffectiveSetting(
            key_text((*base, key)), _plain(getattr(profile, key)), own if key in table else inherited
        )
    for name, chosen in (("filters", profile.filters), ("each", profile.each)):
        spelled = {snake_case(key): loaded.document.location((*base, name, key)) for key in table.get(name, {})}
        for parameter, values in chosen.items():
            key = snake_case(parameter)
            yield EffectiveSetting(key_text((*base, name, key)), list(values), spelled[key].origin)
    labels = [series.label for series in profile.series]
    yield EffectiveSetting(key_text((*base, "series")), labels, loaded.document.location(base).origin)


def _plain(value: Any) -> Value:
    if isinstance(value, Secret):
        url = value.reveal()
        return without_password(url) if "://" in url else MASK
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    return value if value is None or isinstance(value, bool | int | list) else str(value)
