"""`[server] metrics_values`: the newest value of each series on `/metrics`."""

import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from collector.interval import AggInterval
from collector.serve import metrics
from tests.harness.factories import NOW, at, batch, hours, profile, query, saved
from tests.harness.http_server import fill, served

ODD = 'by/\\ "quoted"\nof two lines'
LABELS = ("profile", "series", "agg_interval", "unit")


async def _samples(server):
    async with server.session.get(f"{server.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("collector_series_")
    }


async def test_each_series_has_the_value_and_the_time_of_its_newest_closed_bucket(store_url, tmp_path, monkeypatch):
    async with served(store_url, tmp_path, metrics_values=True) as server:
        await fill(server)
        _, by = server.service.profiles
        later = batch((by.series[1].query, hours(36, 38)))  # at noon, the bucket of 12 o'clock is not closed
        await saved(server.store, later, {36: 7}, profiles=("by",))
        rename = sa.text("UPDATE profile_series SET label = :odd WHERE label = 'by/B, Inc.'")
        await server.store._database.write(lambda connection: connection.execute(rename, {"odd": ODD}))
        found = await _samples(server)
        values = {("all", "all"): 230, ("by", "by/A"): 23, ("by", ODD): 23.5}
        of_value = {("collector_series_value", *names, "1h", "*"): value for names, value in values.items()}
        of_time = {("collector_series_timestamp_seconds", *key[1:]): at(23) for key in of_value}
        assert found == of_value | of_time | {("collector_series_left_out",): 0}
        monkeypatch.setattr(metrics, "MAX_VALUES", 2)
        found = await _samples(server)
        assert {key[2] for key in found if key[0] == "collector_series_value"} == {"all", "by/A"}
        assert found["collector_series_left_out",] == 1


async def test_without_the_setting_there_are_none(empty_server):
    assert await _samples(empty_server) == {}


async def test_what_cannot_be_compared_with_an_earlier_value_is_left_out(store):
    relative, moving, paused = (
        profile("relative"),
        profile("moving", filters={"expirationStatus": ("VALID",)}),
        profile("p"),
    )
    shown = profile("shown", AggInterval.ONE_DAY)
    await store.activate_labels([relative, moving, shown, paused], NOW)
    await saved(store, batch((query(), hours(0, 2))), [1, 2], normalization="MIN_MAX")
    await saved(store, batch((moving.series[0].query, hours(0, 2))), [1, 2])
    await saved(store, batch((query("1d"), hours(0, 24))), {0: 5}, unit="certificates")
    read = await store.newest_values(["relative", "moving", "shown"], NOW, 10)
    assert read == ([("shown", "shown", "1d", "certificates", at(0), 5.0)], 0)


async def test_one_statement_reads_two_rows_of_each_series_however_long_the_history(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(-48, 24))), {hour: hour for hour in range(-48, 24)})
    statements = []

    def explain(view):
        connection = view._connection
        sa.event.listen(connection, "before_cursor_execute", lambda *it: statements.append((it[2], it[3])))
        read = view.newest_values(["all"], NOW, 10)
        ((statement, parameters),) = statements
        if store.backend != "sqlite":  # a sequential scan is the best for tables as small as these
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        word = "EXPLAIN QUERY PLAN" if store.backend == "sqlite" else "EXPLAIN"
        return read, connection.exec_driver_sql(f"{word} {statement}", parameters).all()

    read, plan = await store.with_read_view(explain)
    assert read.values[0].value == 23
    text = "\n".join(str(row) for row in plan)
    if store.backend == "sqlite":
        assert "SEARCH points USING PRIMARY KEY (series_id=? AND timestamp<?)" in text
        assert "SCAN points" not in text
    else:
        assert text.count("Scan Backward using points_2026_pkey") == 2
