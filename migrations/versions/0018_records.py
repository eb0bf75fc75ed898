"""Requests and due moments in fewer bytes on SQLite: `fetches` and `fires` become views.

The texts of requests that come again get a table, and an outcome is a code. A running collector rewrites the older rows
bit by bit. On Postgres both stay tables.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = {
    "fetches": [
        "id",
        "started_at",
        "finished_at",
        "outcome",
        "status",
        "code",
        "message",
        "request",
        "profiles",
        "positions",
        "agg_interval",
        "last_updated",
        "normalization",
        "unit",
        "confidence_level",
        "bytes",
        "inserted",
        "revised",
        "unchanged",
        "vanished",
        "replica_id",
        "ignored",
        "windows",
        "replay_of",
    ],
    "fires": ["profile", "due", "outcome", "finished_at", "message"],
}
TO_REWRITE = "records_to_rewrite"
_TIME = "replace(datetime({}, 'unixepoch'), ' ', 'T') || 'Z'"
_SECONDS = "CAST(round((julianday({}) - 2440587.5) * 86400) AS INTEGER)"
_BOTH = f"{_TIME.format('{start}')} || '..' || {_TIME.format('{end}')}"
_TEXT = "(SELECT t.text FROM fetch_texts t WHERE t.id = r.{})"
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


def _view(name: str, table: str, shown: dict[str, str]) -> str:
    columns = ",\n  ".join(f"{shown.get(c, f'r.{c}')} AS {c}" for c in COLUMNS[name])
    return f"CREATE VIEW {name} AS\nSELECT {columns}\nFROM {table} r"


def _trigger(event: str, *statements: str) -> str:
    """Return a trigger for an event like `UPDATE OF id ON fetches`; its name is `update_id_of_fetches`."""
    words = event.lower().replace(",", "").split()
    name = "_".join([words[0], *words[2:3], "of", words[-1]] if "of" in words else [words[0], "of", words[-1]])
    body = "".join(f"{statement};\n" for statement in statements)
    return f"CREATE TRIGGER {name} INSTEAD OF {event} FOR EACH ROW BEGIN\n{body}END"


def _number(text: str) -> str:
    return f"(SELECT t.id FROM fetch_texts t WHERE t.text = {text})"  # noqa: S608 - our names


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
    return f"INSERT OR IGNORE INTO fetch_texts (text) VALUES ({text})"  # noqa: S608 - our names


_PROFILES, _NORMALIZATION, _UNIT = (_keep(f"CASE WHEN NEW.{name} <> '' THEN NEW.{name} END") for name in _SHORTENED)
_AT_START = _keep(f"(SELECT kept FROM ({_SPLIT}))"), _PROFILES  # noqa: S608 - our names
_AT_END = _NORMALIZATION, _UNIT
"""What is NULL is not inserted, like a text that is there."""
_OWN = [name for name in COLUMNS["fetches"] if name not in ("request", *_SHORTENED)]
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
_INSERT_FETCH = f"""INSERT INTO fetch_records ({", ".join(_KEPT)})
SELECT {", ".join(_KEPT.values())} FROM ({_SPLIT}) AS s"""  # noqa: S608 - our names
_THIS = "UPDATE fetch_records SET {} WHERE id = OLD.id"
_CHANGED = {name: f"NEW.{name}" for name in _OWN if name != "id"} | _COMMON | _MEASURE
_UPDATE_RESULT = _THIS.format(", ".join(f"{name} = {value}" for name, value in _CHANGED.items()))
_UPDATE_SUBJECT = _THIS.format(
    f"({', '.join(_SUBJECT)}) = (SELECT {', '.join(_SUBJECT.values())} FROM ({_SPLIT}) AS s)"  # noqa: S608 - our names
)
_RESULT = ", ".join([name for name in _OWN if name != "id"] + ["normalization", "unit"])
_SAME_ID = "SELECT RAISE(ABORT, 'the id of a fetch does not change') WHERE NEW.id <> OLD.id"
_DELETE_FETCH = "DELETE FROM fetch_records WHERE id = OLD.id"
_CODED = "NEW.outcome IN ({})".format(", ".join(f"'{word}'" for word in _CODES))
_CODE = " ".join(f"WHEN '{word}' THEN {code}" for word, code in _CODES.items())
_INSERT_FIRE = f"""INSERT INTO fire_records (profile, due, outcome, finished_at, message, code, took)
VALUES (NEW.profile, NEW.due, CASE WHEN {_CODED} THEN '' ELSE NEW.outcome END,
  CASE WHEN {_ENDED} THEN 0 ELSE NEW.finished_at END, NEW.message, CASE NEW.outcome {_CODE} END,
  CASE WHEN {_ENDED} THEN CAST(round((NEW.finished_at - NEW.due) * 1000000) AS INTEGER) END)"""  # noqa: S608 - our names
_DELETE_FIRE = "DELETE FROM fire_records WHERE profile = OLD.profile AND due = OLD.due"
_WORDS = " ".join(f"WHEN {code} THEN '{word}'" for word, code in _CODES.items())
_FIRE_SHOWN = {
    "outcome": f"CASE r.code {_WORDS} ELSE r.outcome END",
    "finished_at": "CASE WHEN r.took IS NULL THEN r.finished_at ELSE r.due + r.took / 1000000.0 END",
}
_FETCH_COLUMNS = ("request_id", *(f"{name}_id" for name in _SHORTENED), "start", "span", "waited")
_FIRE_COLUMNS = ("code", "took")

LAYOUT = [
    """CREATE TABLE fetch_texts (
  id INTEGER NOT NULL, text TEXT NOT NULL, CONSTRAINT pk_fetch_texts PRIMARY KEY (id),
  CONSTRAINT uq_fetch_texts UNIQUE (text)
) STRICT""",
    "ALTER TABLE fetches RENAME TO fetch_records",
    *(f"ALTER TABLE fetch_records ADD COLUMN {name} INTEGER" for name in _FETCH_COLUMNS),
    _view("fetches", "fetch_records", _SHOWN),
    _trigger("INSERT ON fetches", *_AT_START, *_AT_END, _INSERT_FETCH),
    _trigger("UPDATE OF request, profiles ON fetches", *_AT_START, _UPDATE_SUBJECT),
    _trigger(f"UPDATE OF {_RESULT} ON fetches", *_AT_END, _UPDATE_RESULT),
    _trigger("UPDATE OF id ON fetches", _SAME_ID),
    _trigger("DELETE ON fetches", _DELETE_FETCH),
    "ALTER TABLE fires RENAME TO fire_records",
    *(f"ALTER TABLE fire_records ADD COLUMN {name} INTEGER" for name in _FIRE_COLUMNS),
    _view("fires", "fire_records", _FIRE_SHOWN),
    _trigger("INSERT ON fires", _INSERT_FIRE.replace("INSERT", "INSERT OR REPLACE")),
    _trigger("UPDATE ON fires", _DELETE_FIRE, _INSERT_FIRE),
    _trigger("DELETE ON fires", _DELETE_FIRE),
]
"""The statements that make views of the tables that `schema` declares. A fire that is inserted again is replaced."""


def upgrade() -> None:
    if op.get_context().dialect.name != "sqlite":
        return
    connection = op.get_bind()
    is_used = "SELECT EXISTS (SELECT 1 FROM fetches) OR EXISTS (SELECT 1 FROM fires)"
    if connection.exec_driver_sql(is_used).scalar():
        value = '[0, ["", 0]]'
        connection.exec_driver_sql("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (TO_REWRITE, value))
    for statement in LAYOUT:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        connection = op.get_bind()
        connection.exec_driver_sql("DELETE FROM state WHERE key = ?", (TO_REWRITE,))
        for name, table, shown, more in (
            ("fetches", "fetch_records", _SHOWN, _FETCH_COLUMNS),
            ("fires", "fire_records", _FIRE_SHOWN, _FIRE_COLUMNS),
        ):
            values = ", ".join(f"{column} = {shown_as}" for column, shown_as in shown.items())
            connection.exec_driver_sql(f"UPDATE {table} AS r SET {values}")  # noqa: S608 - our names
            connection.exec_driver_sql(f"DROP VIEW {name}")
            for column in more:
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")
        op.drop_table("fetch_texts")
