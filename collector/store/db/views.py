"""The views, and what lets previous versions write to one of them. They are created after the tables of `schema`."""

from typing import Any

import sqlalchemy as sa

from collector.store.db.schema import metadata, series_ranges

_STEP = "CASE s.agg_interval WHEN '15m' THEN 900 WHEN '1h' THEN 3600 WHEN '1d' THEN 86400 WHEN '1w' THEN 604800 END"
STEPS = {"sqlite": f"({_STEP})", "postgresql": f"({_STEP}) * interval '1 second'"}
"""The width of the buckets of the series *s* in a statement, by backend: what is added to a timestamp."""

VIEWS = {
    "date_ranges": """
SELECT m.series_id AS series_id, a."end" AS "end", a.fetch_id AS fetch_id, a.start AS start,
  a.start_time AS start_time, a.end_time AS end_time, NULL AS checksum, a.overruled AS overruled
FROM series_set_members m JOIN answers a ON a.set_id = m.set_id
UNION ALL
SELECT series_id, "end", fetch_id, start, start_time, end_time, checksum, overruled FROM series_ranges""",
    "labels": """
SELECT l.profile AS profile, l.label AS label, l.position AS position, l.series_id AS series_id
FROM profile_series l
WHERE l.active OR NOT EXISTS (
  SELECT 1 FROM profile_series a WHERE a.active AND (a.series_id = l.series_id OR a.label = l.label)
)""",
    "history": """
SELECT l.profile AS profile, l.label AS series, p.timestamp AS timestamp, p.value AS value,
  s.unit AS unit, s.normalization AS normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN points p ON p.series_id = s.id
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series c ON c.id = l.series_id
JOIN series s ON s.digest = c.digest AND s.id <> c.id AND s.in_force_at IS NOT NULL
JOIN points p ON p.series_id = s.id
WHERE NOT EXISTS (
  SELECT 1 FROM series n JOIN points q ON q.series_id = n.id
  WHERE n.digest = s.digest AND n.id <> s.id AND q.timestamp = p.timestamp
    AND (n.id = c.id OR n.in_force_at > s.in_force_at)
)
  AND c.digest NOT IN (SELECT substr(f.digest, 1, 64) FROM series f WHERE length(f.digest) > 64)
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM (SELECT DISTINCT substr(digest, 1, 64) AS question FROM series WHERE length(digest) > 64) AS f
CROSS JOIN series c CROSS JOIN labels l CROSS JOIN series s CROSS JOIN points p
WHERE c.digest = f.question AND l.series_id = c.id
  AND s.digest >= f.question AND s.digest < f.question || 'A' AND substr(s.digest, 1, 64) = f.question
  AND s.id <> c.id AND s.in_force_at IS NOT NULL AND p.series_id = s.id AND NOT EXISTS (
  SELECT 1 FROM series n JOIN points q ON q.series_id = n.id
  WHERE n.digest >= f.question AND n.digest < f.question || 'A' AND substr(n.digest, 1, 64) = f.question
    AND n.id <> s.id AND (n.id = c.id OR n.in_force_at > s.in_force_at)
    AND q.timestamp > p.timestamp - {step} AND q.timestamp < p.timestamp + {step}
)
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN snapshot_points p ON p.series_id = s.id
WHERE p.asked_at = (SELECT max(n.asked_at) FROM snapshots n WHERE n.series_id = s.id)""",
}
"""`date_ranges`: the buckets that fetches answered, a row for each series.

`labels`: every label in use, and those no longer in use whose history would else be invisible. Nothing is shown
twice because it was renamed.

`history`: of each bucket the value of the series that was in force last, by normalization and unit; of a series whose
values depend on the moment of asking the newest snapshot. A question whose buckets started elsewhere before has a
digest with that offset behind it (see `digests`): its values are shown where no bucket that counts more overlaps them.
The comparison with 'A' finds them by an index, because a digit comes before it in every collation. CROSS JOIN keeps
SQLite from reading all points first."""

_COVERAGE = [f'"{column.name}"' for column in series_ranges.c]
_VIEW_STATEMENTS = {
    "INSERT": f"""
INSERT INTO series_ranges ({", ".join(_COVERAGE)}) VALUES ({", ".join(f"NEW.{name}" for name in _COVERAGE)})""",  # noqa: S608 - our names
    "DELETE": """
DELETE FROM series_ranges WHERE series_id = OLD.series_id AND "end" = OLD."end" AND fetch_id = OLD.fetch_id""",
}


_STALE = """
CREATE FUNCTION make_days_stale() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  first bigint := floor(extract(epoch FROM NEW.start) / 86400) * 86400;
BEGIN
  DELETE FROM series_days d USING series_set_members m
  WHERE m.set_id = NEW.set_id AND d.series_id = m.series_id AND d.day >= to_timestamp(first) AND d.day < NEW."end";
  INSERT INTO stale_days (day, series_id)
  SELECT to_timestamp(seconds), m.series_id
  FROM generate_series(first, extract(epoch FROM NEW."end")::bigint - 1, 86400) AS seconds
  JOIN state ON state.key = 'days_until' AND seconds < state.value::bigint
  JOIN series_set_members m ON m.set_id = NEW.set_id
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$"""
_STALE_TRIGGER = """
CREATE TRIGGER make_days_stale AFTER INSERT ON answers FOR EACH ROW
WHEN (current_setting('collector.keeps_days', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION make_days_stale()"""
"""An answer of a replica of a version before 0012 makes the rows of its days stale, see `days`."""


def triggers() -> dict[str, list[str]]:
    """Return by backend the statements that let replicas of a version before 0011 write to `date_ranges`.

    They see no row of `answers`, so they leave those alone.
    """
    created: dict[str, list[str]] = {"sqlite": [], "postgresql": []}
    for verb, statement in _VIEW_STATEMENTS.items():
        name, row = f"{verb.lower()}_date_range", "NEW" if verb == "INSERT" else "OLD"
        trigger = f"CREATE TRIGGER {name} INSTEAD OF {verb} ON date_ranges FOR EACH ROW"
        created["sqlite"].append(f"{trigger} BEGIN{statement}; END")
        body = f"$$ BEGIN{statement}; RETURN {row}; END $$"
        created["postgresql"] += [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body}",
            f"{trigger} EXECUTE FUNCTION {name}()",
        ]
    return created


_ddl: Any = sa.DDL

for _name, _query in VIEWS.items():
    for _backend, _step in STEPS.items():
        _statement = f"CREATE VIEW {_name} AS{_query.format(step=_step)}"
        sa.event.listen(metadata, "after_create", _ddl(_statement).execute_if(dialect=_backend))
for _backend, _statements in triggers().items():
    for _statement in _statements:
        sa.event.listen(metadata, "after_create", _ddl(_statement).execute_if(dialect=_backend))
for _statement in (_STALE, _STALE_TRIGGER):
    sa.event.listen(metadata, "after_create", _ddl(_statement).execute_if(dialect="postgresql"))
_drop_stale = _ddl("DROP FUNCTION IF EXISTS make_days_stale() CASCADE")
sa.event.listen(metadata, "before_drop", _drop_stale.execute_if(dialect="postgresql"))
for _verb in _VIEW_STATEMENTS:
    _drop = _ddl(f"DROP FUNCTION IF EXISTS {_verb.lower()}_date_range() CASCADE")
    sa.event.listen(metadata, "before_drop", _drop.execute_if(dialect="postgresql"))
for _name in reversed(VIEWS):
    sa.event.listen(metadata, "before_drop", _ddl(f"DROP VIEW {_name}"))
