"""SETTINGS: command line, environment, secret files and TOML become frozen values, or one report of all that is wrong.

Importing this package is cheap; pydantic comes in with the first `load`.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from collector.model import utc_now
from collector.settings.problems import ConfigurationError, Problem
from collector.settings.secret import Credentials, Secret
from collector.settings.settings import (
    CollectionSettings,
    DatabaseSettings,
    LogSettings,
    RadarSettings,
    RetentionSettings,
    ServerSettings,
    Settings,
)

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
    """Read the configuration; ConfigurationError, with every problem in it, where it cannot be used.

    *config* names the file; without it `$COLLECTOR_CONFIG`, `config.toml` and `/etc/collector/config.toml` are looked
    for, and where there is none *required* decides between an error and the defaults without profiles. *overrides*
    come from the command line by dotted key, `{"server.port": 8080}`; None counts as not given. *now* (aware) bounds
    `since`; without it the clock is read.
    """
    from collector.settings.loading import read

    return read(config, environ, overrides, now or utc_now(), required=required).settings
