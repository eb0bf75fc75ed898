"""Where a store is: `sqlite:///FILE` or `postgresql://user:password@host/name`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from collector.errors import UsageError
from collector.settings.urls import database_url, sqlite_path


@dataclass(frozen=True, slots=True)
class Location:
    """A store's address. As text it shows no user and no password.

    *path* is the file of a SQLite store, symbolic links followed. *named* is the path as the address has it.
    """

    url: sa.URL
    path: Path | None
    named: Path | None = None

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return "postgresql" if self.path is None else "sqlite"

    def redacted(self, text: str) -> str:
        """Take the password out of *text*."""
        for secret in (self.url.password, self.url.query.get("password")):
            if isinstance(secret, str) and secret:
                text = text.replace(secret, "***")
        return text

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        host = self.url.host or self.url.query.get("host") or "localhost"
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{host}{port}/{self.url.database or ''}"


def locate(url: str) -> Location:
    """Read a store's address; UsageError for one that names neither a SQLite file nor a Postgres database."""
    try:
        checked = database_url(url)
        if checked.startswith("sqlite:"):
            return at(sqlite_path(checked))
        return Location(sa.make_url(checked).set(drivername="postgresql+psycopg"), None)
    except (sa.exc.ArgumentError, ValueError) as error:
        reason = "" if isinstance(error, sa.exc.ArgumentError) else f" ({error})"
        raise UsageError(
            f"the address of the store is refused{reason}: write sqlite:///FILE or postgresql://user:password@host/name"
        ) from None


def at(path: Path) -> Location:
    """Locate the SQLite store in the file *path*."""
    named = path.absolute()
    if not named.name:
        raise UsageError(f"the store must be a file, and {named} is a folder")
    return Location(sa.URL.create("sqlite", database=str(named)), Path(os.path.realpath(named)), named)
