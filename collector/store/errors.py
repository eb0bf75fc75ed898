"""What can be wrong with a store. Every message is a sentence for the operator and names no password."""

from __future__ import annotations

from collector.errors import CollectorError


class StoreError(CollectorError):
    """The store cannot do this; its content is unchanged."""


class StoreUnavailable(StoreError):
    """Retry later: the store is locked, full, read-only, or does not answer."""


class TooLittleRoom(StoreUnavailable):
    """Retry later: the disk has too little room to compact the store; nothing was changed. *detail* has no path."""

    def __init__(self, store: str, folder: str, needed: int, free: int) -> None:
        super().__init__(
            f"the store {store} is not compacted: this needs {needed} bytes of room on the disk of {folder}, and {free}"
            " are free"
        )
        self.detail = f"to compact the store, {needed} bytes of room on the disk are needed, and {free} are free"


class StoreLocked(StoreError):
    """Stop: another process writes to this SQLite store; *url* is the address of its HTTP server, if it has one."""

    advice = "end that process first"

    def __init__(self, message: str, *, url: str | None = None) -> None:
        super().__init__(message)
        self.url = url


class StoreDenied(StoreError):
    """Stop: the server refuses the user, the password, the database or an option; waiting does not change that."""


class StoreAliased(StoreError):
    """Stop: the file of this SQLite store has, or is in use under, another name, whose write-ahead log is elsewhere."""


class StoreMissing(StoreError):
    """Stop: there is nothing to read yet."""


class NotAStore(StoreError):
    """Stop: this is not a store; it was not touched."""


class StoreCorrupt(StoreError):
    """Stop: the file is a store, but parts of it are not what was written; it was not touched."""


class SchemaTooNew(StoreError):
    """Stop: a newer version of the collector has changed the schema."""


class SchemaTooOld(StoreError):
    """Stop: the schema is of an older version and must not, or cannot, be upgraded here."""


class MissingExtension(StoreError):
    """Stop: a configured extension is missing in the database; nothing was changed."""


class StoreUnfit(StoreError):
    """Stop: the database was made so that it cannot hold every text; nothing was changed."""


class ValueRejected(StoreError):
    """Stop: the database does not take this value, or this fetch has already ended another way."""


class DowngradeRefused(StoreError, ValueError):
    """Stop: the older schema cannot hold what is stored; nothing was changed."""


class LeaseLost(StoreUnavailable):
    """Start again: the lease of this process has expired, and other replicas do its work now."""
