"""Where a store is: `sqlite:///FILE` or `postgresql://user:password@host/name`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from collector.errors import UsageError


@dataclass(frozen=True, slots=True)
class Location:
    """A store's address; *path* is the file of a SQLite store. As text it shows no user and no password."""

    url: sa.URL
    path: Path | None

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
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError("the address of the store cannot be read: write sqlite:///FILE or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return Location(parsed.set(drivername="postgresql+psycopg"), None)
    if backend != "sqlite" or parsed.query or parsed.database in (None, "", ":memory:"):
        raise UsageError("the store must be sqlite:///FILE or postgresql://user:password@host/name")
    path = Path(parsed.database or "").absolute()
    if not path.name:
        raise UsageError(f"the store must be a file, and {path} is a folder")
    return Location(parsed, path)
