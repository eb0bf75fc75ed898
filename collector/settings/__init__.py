"""Settings: command line, environment, secret files and TOML become frozen values, or one report of all problems.

The package imports pydantic only in the first `load`, because importing it takes long.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.settings.problems import ConfigurationError, Problem
from collector.settings.settings import (
    CollectionSettings,
    Credentials,
    DatabaseSettings,
    LogSettings,
    RadarSettings,
    RetentionSettings,
    Secret,
    ServerSettings,
    Settings,
)
from collector.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "CollectionSettings",
    "ConfigurationError",
    "Credentials",
    "DatabaseSettings",
    "LogSettings",
    "Problem",
    "RadarSettings",
    "RetentionSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "load",
]


def load(
    config: str | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, object] = MappingProxyType({}),
    *,
    required: bool = True,
    now: datetime | None = None,
) -> Settings:
    """Read the configuration. Raises ConfigurationError with every problem if there is one.

    *config* is the path of the file. If it is None, the first of `$COLLECTOR_CONFIG`, `config.toml` and
    `/etc/collector/config.toml` is read. If there is no file, *required* raises, otherwise the defaults without
    profiles are returned. *overrides* are values of the command line by dotted key, `{"server.port": 8080}`; None means
    not given. *now* (aware, default: the current time) bounds `since`.
    """
    from collector.settings.loading import read_settings

    return read_settings(config, environ, overrides, now or utc_now(), required=required).settings
