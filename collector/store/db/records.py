"""How SQLite keeps the rows of `fetches` and `fires`: in few bytes, behind views of the same names.

Live use writes one of each for every bucket, so that with one series they took more room than the points. The views
have the columns of `schema`, and their triggers take INSERT, UPDATE and DELETE. So nothing else knows of this, but that
a view returns no new id, has no ON CONFLICT, and counts no changed rows.

A text that comes again is a number of `fetch_texts`; a request is its text without the first two times, and how long
before its end it began. Common words are codes: the outcome '' is `ok`, and the status 1, which HTTP does not have, is
200. A fire's end counts from its due time. Whatever else would not come back exactly is kept as it came, and so are
rows of versions before schema 0018: `rewrite` writes them anew, some at a time.

On Postgres both are tables: a row has 28 bytes besides its values, so that shorter values would save little.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.store.db import sql
from collector.store.db.schema import fetches, fires, metadata, state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FETCHES, FIRES, TEXTS = "fetch_records", "fire_records", "fetch_texts"
VIEWS = (fetches.name, fires.name)
"""What is a view on SQLite, and a table on Postgres."""

_TIME = "replace(datetime({}, 'unixepoch'), ' ', 'T') || 'Z'"
_SECONDS = "CAST(round((julianday({}) - 2440587.5) * 86400) AS INTEGER)"
_BOTH = f"{_TIME.format('{start}')} || '..' || {_TIME.format('{end}')}"
_TEXT = f"(SELECT t.text FROM {TEXTS} t WHERE t.id = r.{{}})"  # noqa: S608 - our names
_SHORTENED = ("profiles", "normalization", "unit")
"""The columns whose text is a number wherever there is one."""
_WAITED = "CAST(round((NEW.finished_at - NEW.started_at) * 1000000) AS INTEGER)"
_STARTED = f"round(NEW.finished_at - {_WAITED} / 1000000.0, 6) = NEW.started_at"
_SHOWN: dict[str, str] = {
    "started_at": "CASE WHEN r.waited IS NULL THEN r.started_at"
    " ELSE round(r.finished_at - r.waited / 1000000.0, 6) END",
    "outcome": "CASE r.outcome WHEN '' THEN 'ok' ELSE r.outcome END",
    "status": "CASE r.status WHEN 1 THEN 200 ELSE r.status END",
    "request": f"CASE WHEN r.request_id IS NULL THEN r.request WHEN r.start IS NULL THEN {_TEXT.format('request_id')}"
    f" ELSE replace({_TEXT.format('request_id')}, '..', {_BOTH.format(start='r.start', end='r.start + r.span')}) END",
    **{
        name: f"CASE WHEN r.{name}_id IS NULL THEN r.{name} ELSE {_TEXT.format(f'{name}_id')} END"
        for name in _SHORTENED
    },
}
_CODES = {"collected": 1, "failed": 2, "coalesced": 3}
_ENDED = "NEW.due + CAST(round((NEW.finished_at - NEW.due) * 1000000) AS INTEGER) / 1000000.0 = NEW.finished_at"


def _view(name: str, table: str, shown: Mapping[str, str]) -> str:
    columns = ",\n  ".join(f"{shown.get(c.name, f'r.{c.name}')} AS {c.name}" for c in metadata.tables[name].c)
    return f"CREATE VIEW {name} AS\nSELECT {columns}\nFROM {table} r"


def _trigger(event: str, *statements: str) -> str:
    """Return a trigger for an event like `UPDATE OF id ON fetches`; its name is `update_id_of_fetches`."""
    words = event.lower().replace(",", "").split()
    name = "_".join([words[0], *words[2:3], "of", words[-1]] if "of" in words else [words[0], "of", words[-1]])
    body = "".join(f"{statement};\n" for statement in statements)
    return f"CREATE TRIGGER {name} INSTEAD OF {event} FOR EACH ROW BEGIN\n{body}END"


def _number(text: str) -> str:
    return f"(SELECT t.id FROM {TEXTS} t WHERE t.text = {text})"  # noqa: S608 - our names


_ONCE = "LIMIT 1 OFFSET 0"
"""Keeps SQLite from computing a column of a subquery anew wherever it is used."""
_SPLIT = f"""
SELECT words, start, stop, CASE
  WHEN replace(words, '..', {_BOTH.format(start="start", end="stop")}) = NEW.request THEN words
  WHEN substr(NEW.request, 1, 4) = 'GET ' THEN NEW.request END AS kept
FROM (SELECT substr(NEW.request, 1, at - 1) || '..' || substr(NEW.request, at + 42) AS words,
  {_SECONDS.format("substr(NEW.request, at, 20)")} AS start,
  {_SECONDS.format("substr(NEW.request, at + 22, 20)")} AS stop
FROM (SELECT instr(NEW.request, ' over ') + 6 AS at) {_ONCE}) {_ONCE}"""  # noqa: S608 - our names
"""A request's text without its times as *kept*; of the texts without times only those that are paths come again."""


def _keep(text: str) -> str:
    return f"INSERT OR IGNORE INTO {TEXTS} (text) VALUES ({text})"  # noqa: S608 - our names


_PROFILES, _NORMALIZATION, _UNIT = (_keep(f"CASE WHEN NEW.{name} <> '' THEN NEW.{name} END") for name in _SHORTENED)
_AT_START = _keep(f"(SELECT kept FROM ({_SPLIT}))"), _PROFILES  # noqa: S608 - our names
_AT_END = _NORMALIZATION, _UNIT
"""What is NULL is not inserted, like a text that is there."""
_OWN = [column.name for column in fetches.c if column.name not in ("request", *_SHORTENED)]
_MEASURE = {
    "normalization_id": _number("NEW.normalization"),
    "normalization": f"CASE WHEN {_number('NEW.normalization')} IS NULL THEN NEW.normalization END",
    "unit_id": _number("NEW.unit"),
    "unit": f"CASE WHEN {_number('NEW.unit')} IS NULL THEN NEW.unit END",
}
_SUBJECT = {
    "request_id": _number("s.kept"),
    "request": f"CASE WHEN {_number('s.kept')} IS NULL THEN NEW.request ELSE '' END",
    "start": "CASE WHEN s.kept = s.words THEN s.start END",
    "span": "CASE WHEN s.kept = s.words THEN s.stop - s.start END",
    "profiles_id": _number("NEW.profiles"),
    "profiles": f"CASE WHEN {_number('NEW.profiles')} IS NULL THEN NEW.profiles ELSE '' END",
}
_COMMON = {
    "started_at": f"CASE WHEN {_STARTED} THEN 0 ELSE NEW.started_at END",
    "waited": f"CASE WHEN {_STARTED} THEN {_WAITED} END",
    "outcome": "CASE NEW.outcome WHEN 'ok' THEN '' ELSE NEW.outcome END",
    "status": "CASE NEW.status WHEN 200 THEN 1 ELSE NEW.status END",
}
_KEPT = {name: f"NEW.{name}" for name in _OWN} | _COMMON | _SUBJECT | _MEASURE
_INSERT_FETCH = f"""INSERT INTO {FETCHES} ({", ".join(_KEPT)})
SELECT {", ".join(_KEPT.values())} FROM ({_SPLIT}) AS s"""  # noqa: S608 - our names
_THIS = f"UPDATE {FETCHES} SET {{}} WHERE id = OLD.id"  # noqa: S608 - our names
_CHANGED = {name: f"NEW.{name}" for name in _OWN if name != "id"} | _COMMON | _MEASURE
_UPDATE_RESULT = _THIS.format(", ".join(f"{name} = {value}" for name, value in _CHANGED.items()))
_UPDATE_SUBJECT = _THIS.format(
    f"({', '.join(_SUBJECT)}) = (SELECT {', '.join(_SUBJECT.values())} FROM ({_SPLIT}) AS s)"  # noqa: S608 - our names
)
_RESULT = ", ".join([name for name in _OWN if name != "id"] + ["normalization", "unit"])
_SAME_ID = "SELECT RAISE(ABORT, 'the id of a fetch does not change') WHERE NEW.id <> OLD.id"
_DELETE_FETCH = f"DELETE FROM {FETCHES} WHERE id = OLD.id"  # noqa: S608 - our names
_CODED = "NEW.outcome IN ({})".format(", ".join(f"'{word}'" for word in _CODES))
_CODE = " ".join(f"WHEN '{word}' THEN {code}" for word, code in _CODES.items())
_INSERT_FIRE = f"""INSERT INTO {FIRES} (profile, due, outcome, finished_at, message, code, took)
VALUES (NEW.profile, NEW.due, CASE WHEN {_CODED} THEN '' ELSE NEW.outcome END,
  CASE WHEN {_ENDED} THEN 0 ELSE NEW.finished_at END, NEW.message, CASE NEW.outcome {_CODE} END,
  CASE WHEN {_ENDED} THEN CAST(round((NEW.finished_at - NEW.due) * 1000000) AS INTEGER) END)"""  # noqa: S608 - our names
_DELETE_FIRE = f"DELETE FROM {FIRES} WHERE profile = OLD.profile AND due = OLD.due"  # noqa: S608 - our names
_WORDS = " ".join(f"WHEN {code} THEN '{word}'" for word, code in _CODES.items())
_FIRE_SHOWN = {
    "outcome": f"CASE r.code {_WORDS} ELSE r.outcome END",
    "finished_at": "CASE WHEN r.took IS NULL THEN r.finished_at ELSE r.due + r.took / 1000000.0 END",
}
_FETCH_COLUMNS = ("request_id", *(f"{name}_id" for name in _SHORTENED), "start", "span", "waited")
_FIRE_COLUMNS = ("code", "took")

LAYOUT = [
    f"""CREATE TABLE {TEXTS} (
  id INTEGER NOT NULL, text TEXT NOT NULL, CONSTRAINT pk_{TEXTS} PRIMARY KEY (id),
  CONSTRAINT uq_{TEXTS} UNIQUE (text)
) STRICT""",
    f"ALTER TABLE fetches RENAME TO {FETCHES}",
    *(f"ALTER TABLE {FETCHES} ADD COLUMN {name} INTEGER" for name in _FETCH_COLUMNS),
    _view("fetches", FETCHES, _SHOWN),
    _trigger("INSERT ON fetches", *_AT_START, *_AT_END, _INSERT_FETCH),
    _trigger("UPDATE OF request, profiles ON fetches", *_AT_START, _UPDATE_SUBJECT),
    _trigger(f"UPDATE OF {_RESULT} ON fetches", *_AT_END, _UPDATE_RESULT),
    _trigger("UPDATE OF id ON fetches", _SAME_ID),
    _trigger("DELETE ON fetches", _DELETE_FETCH),
    f"ALTER TABLE fires RENAME TO {FIRES}",
    *(f"ALTER TABLE {FIRES} ADD COLUMN {name} INTEGER" for name in _FIRE_COLUMNS),
    _view("fires", FIRES, _FIRE_SHOWN),
    _trigger("INSERT ON fires", _INSERT_FIRE.replace("INSERT", "INSERT OR REPLACE")),
    _trigger("UPDATE ON fires", _DELETE_FIRE, _INSERT_FIRE),
    _trigger("DELETE ON fires", _DELETE_FIRE),
]
"""The statements that make views of the tables that `schema` declares. A fire that is inserted again is replaced."""

_ddl: Any = sa.DDL
for _statement in LAYOUT:
    sa.event.listen(metadata, "after_create", _ddl(_statement).execute_if(dialect="sqlite"))


def insert_fetches(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows of `fetches` that all name the same columns. Returns their ids."""
    if connection.dialect.name != "sqlite":
        return [row.id for row in connection.execute(_INSERT, rows)]
    following = int(connection.execute(_LAST).scalar() or 0) + 1  # there is one writer
    ids = list(range(following, following + len(rows)))
    connection.execute(_PLAIN_INSERT, [{"id": number, **row} for number, row in zip(ids, rows, strict=True)])
    return ids


_INSERT = sa.insert(fetches).returning(fetches.c.id, sort_by_parameter_order=True)
_PLAIN_INSERT = sa.insert(fetches)
_LAST = sa.select(sa.func.max(fetches.c.id))

TO_REWRITE = "records_to_rewrite"
"""The key of what `rewrite` has to do: a JSON array of the last id of fetches that is done, and of the last profile and
due time of fires. The migration writes it, and the end deletes it."""
_ALL_DONE = sa.delete(state).where(state.c.key == TO_REWRITE)
_AT_ONCE = 500
_FETCH_IDS = f"SELECT id FROM {FETCHES} WHERE id > ? ORDER BY id LIMIT {_AT_ONCE}"  # noqa: S608 - our names
_FETCHES_AGAIN = "UPDATE fetches SET request = request, unit = unit WHERE id > ? AND id <= ?"
_FIRE_KEYS = f"""
SELECT profile, due FROM {FIRES} WHERE (profile, due) > (?, ?) ORDER BY profile, due LIMIT {_AT_ONCE}"""  # noqa: S608 - our names
_FIRES_AGAIN = "UPDATE fires SET outcome = outcome WHERE (profile, due) > (?, ?) AND (profile, due) <= (?, ?)"


def rewrite(connection: sa.Connection) -> int:
    """Write some rows of earlier versions as this one keeps them. Returns how many; 0 if there are no more."""
    text = sql.get_state(connection, TO_REWRITE)
    if text is None:
        return 0
    if connection.dialect.name != "sqlite":  # a copy of a SQLite file
        connection.execute(sa.delete(state).where(state.c.key == TO_REWRITE))
        return 0
    fetch_id, fire = json.loads(text)
    keys: list[tuple[Any, ...]] = [(row.id,) for row in connection.exec_driver_sql(_FETCH_IDS, (fetch_id,))]
    if keys:
        connection.exec_driver_sql(_FETCHES_AGAIN, (fetch_id, *keys[-1]))
        fetch_id = keys[-1][0]
    else:
        keys = [(row.profile, row.due) for row in connection.exec_driver_sql(_FIRE_KEYS, tuple(fire))]
        if not keys:
            connection.execute(sa.delete(state).where(state.c.key == TO_REWRITE))
            return 0
        connection.exec_driver_sql(_FIRES_AGAIN, (*fire, *keys[-1]))
        fire = keys[-1]
    sql.put_state(connection, TO_REWRITE, json.dumps([fetch_id, fire]))
    return len(keys)


_LOST = (f"(r.{name}_id IS NOT NULL AND {_TEXT.format(f'{name}_id')} IS NULL)" for name in ("request", *_SHORTENED))
_COUNT_LOST = f"SELECT count(*) FROM {FETCHES} r WHERE {' OR '.join(_LOST)}"  # noqa: S608 - our names


_USED = " UNION ALL ".join(
    f"SELECT {name}_id FROM {FETCHES} WHERE {name}_id IS NOT NULL"  # noqa: S608 - our names
    for name in ("request", *_SHORTENED)
)
DELETE_UNUSED_TEXTS = f"DELETE FROM {TEXTS} WHERE id NOT IN ({_USED})"  # noqa: S608 - our names
"""Deletes the texts that no fetch has any more."""


def findings(connection: sa.Connection) -> list[str]:
    """Return a line if fetches name texts that are not there."""
    if connection.dialect.name != "sqlite":
        return []
    number = connection.exec_driver_sql(_COUNT_LOST).scalar()
    return [f"fetches with a text that is not there: {number}"] if number else []


_OBJECTS = "SELECT type, name, sql FROM sqlite_master"


def drift(connection: sa.Connection) -> list[str]:
    """Return what SQLite lacks of the layout, and which columns its tables have that they should not; one line each."""
    if connection.dialect.name != "sqlite":
        return []
    found = {(kind, name) for kind, name, _ in connection.exec_driver_sql(_OBJECTS)}
    triggers = [statement.split()[2] for statement in LAYOUT if statement.startswith("CREATE TRIGGER")]
    wanted = [("table", name) for name in (FETCHES, FIRES, TEXTS)]
    wanted += [("view", name) for name in VIEWS] + [("trigger", name) for name in triggers]
    wanted += [("index", str(index.name)) for name in VIEWS for index in metadata.tables[name].indexes]
    lines = [f"the {kind} {name} is missing" for kind, name in wanted if (kind, name) not in found]
    own = {FETCHES: (fetches, _FETCH_COLUMNS), FIRES: (fires, _FIRE_COLUMNS)}
    for name, (table, more) in own.items():
        columns = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")}
        expected = {*table.c.keys(), *more}
        lines += [f"the column {name}.{column} is missing" for column in sorted(expected - columns) if columns]
        lines += [f"the column {name}.{column} is not known" for column in sorted(columns - expected)]
    return lines
