"""Compiled statements that all engines of a process share.

An engine keeps what it compiled for itself. A test opens a store of its own, and so would compile every statement anew.
Engines whose dialects are of one kind, version and settings compile a statement to the same text.
"""

import sqlalchemy as sa
from sqlalchemy.util import LRUCache

_COMPILED = LRUCache(4_000)


class _SharedStatements:
    """The mapping that a connection takes for its `compiled_cache`: keyed by what a dialect is, not by which it is."""

    def get(self, key):
        return _COMPILED.get(_shared(key))

    def __setitem__(self, key, compiled):
        _COMPILED[_shared(key)] = compiled


def _shared(key):
    dialect, *rest = key
    settings = dialect.server_version_info, dialect.paramstyle, dialect.use_insertmanyvalues_wo_returning
    return dialect.name, dialect.driver, settings, *rest


_STATEMENTS = _SharedStatements()


def share_compiled_statements():
    """Let every engine of this process use the statements that another one has compiled."""

    @sa.event.listens_for(sa.Engine, "engine_connect")
    def share(connection):
        connection.execution_options(compiled_cache=_STATEMENTS)
