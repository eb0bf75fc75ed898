"""Shares within one authority, the usual value of an hour, and sums of snapshots, held against exported points."""

from datetime import timedelta

import pytest

from collector.analysis.refusals import RequestRefused
from collector.analysis.words import make_words
from collector.errors import UsageError
from collector.model import Window
from collector.report.analysis.cite import cite
from collector.report.analysis.points import answer_points
from collector.report.analysis.stats import answer_stats
from collector.report.analysis.top import answer_top
from collector.store import PointQuery
from tests.harness.factories import DAY, HOUR, NOW, at, batch, exported, filtered, profile, saved
from tests.store.write.test_snapshots import taken

WEEK = timedelta(weeks=1)
START = DAY - 5 * WEEK
CROSS = profile("cross", caOwner=("A", "B"), log=("X", "Y"))
BY_LOG = profile("by-log", log=("X", "Y"))
UNIQUE = profile("unique", filters={"uniqueEntries": ("true",)}, log=("X", "Y", "Z"))
PRE = filtered("pre", entryType="PRECERTIFICATE", log="X")
VALID = profile("valid", filters={"expirationStatus": ("VALID",)})
LEFT = profile("left", filters={"expirationStatus": ("VALID",), "uniqueEntries": ("true",)})
UNFILTERED = profile("unfiltered")
PROFILES = [CROSS, BY_LOG, UNIQUE, PRE, VALID, LEFT, UNFILTERED]
COUNT = (DAY - START) // HOUR


def _value(seed, number):
    return float(1 + (number * seed + number // 24) % 97)


@pytest.fixture
async def filled(store):
    await store.activate_labels(PROFILES, NOW)
    listed = [series.query for each in PROFILES[:4] for series in each.series if "Z" not in series.label]
    first = (START - DAY) // HOUR
    values = [{first + n: _value(seed, n) for n in range(COUNT)} for seed in range(3, 3 + len(listed))]
    asked = batch(*[(query, Window(START, DAY)) for query in listed])
    await saved(store, asked, *values, profiles=tuple(each.name for each in PROFILES), updated=NOW)
    for each in (VALID, LEFT):
        await store.save_snapshots([taken(30, 20, 10, of=each.series[0].query)], NOW)
    return store


async def _points(store, words, **chosen):
    """Return the rows of an answer by (series, start), and its notes."""

    def work(view):
        answer = answer_points(view, PointQuery(**chosen), make_words(words, NOW))
        rows = {}
        for _, line in answer.lines():
            for place, start in enumerate(line.starts):
                assert (line.label, start) not in rows
                rows[line.label, start] = {name: line.cells[name][place] for name in answer.columns}
        return rows, list(answer.notes)

    return await store.with_read_view(work)


async def _plain(store, name):
    found = {}
    for _, label, timestamp, value in await exported(store, name):
        found.setdefault(label, {})[timestamp] = value
    return found


async def test_shares_and_ranks_within_an_owner(filled):
    plain = await _plain(filled, "cross")
    rows, notes = await _points(filled, {"share": True, "within": "ca_owner", "rank": True}, profiles=("cross",))
    assert len(rows) == 4 * COUNT
    for (label, start), row in rows.items():
        same = [values[start] for other, values in plain.items() if other.split("/")[1] == label.split("/")[1]]
        assert row["share"] == 100 * row["value"] / sum(same)
        assert row["rank"] == 1 + sum(value > row["value"] for value in same)
    assert notes[0] == "cross: share is in percent of the series of cross with the same ca_owner"
    one, _ = await _points(filled, {"share": True, "within": "ca_owner"}, series=("cross/A/Y",))
    assert {key: row["share"] for key, row in one.items()} == {
        key: row["share"] for key, row in rows.items() if key[0] == "cross/A/Y"
    }


async def test_top_within_an_owner_has_a_rest_for_each(filled):
    plain = await _plain(filled, "cross")
    totals = {label: sum(values.values()) for label, values in plain.items()}
    words = make_words({"within": "ca_owner", "top": 1}, NOW)
    listed = await filled.with_read_view(lambda view: answer_top(view, PointQuery(profiles=("cross",)), words))
    for owner in "AB":
        own = {label: total for label, total in totals.items() if label.startswith(f"cross/{owner}/")}
        first, rest = [row for row in listed if row["series"] in own or row["series"] == f"rest of {owner}"]
        assert (first["series"], first["total"]) == (max(own, key=own.get), max(own.values()))
        assert first["share"] == 100 * first["total"] / sum(own.values())
        assert rest["total"] == sum(own.values()) - first["total"]
    rows, _ = await _points(filled, {"within": "ca_owner", "top": 1, "per": "week"}, profiles=("cross",))
    assert {label for label, _ in rows if label.startswith("rest")} == {"rest of A", "rest of B"}


async def test_a_share_of_the_same_log_of_another_profile(filled):
    unique, whole = await _plain(filled, "unique"), await _plain(filled, "by-log")
    words = {"of": "by-log", "within": "log"}
    rows, notes = await _points(filled, words, series=("unique/X",))
    for (_, start), row in rows.items():
        assert row["share"] == 100 * unique["unique/X"][start] / whole["by-log/X"][start]
    assert notes == [
        "unique: share is in percent of by-log with the same log",
        "unique counts unique certificates: each counts once in a bucket, and again in later ones",
    ]
    with pytest.raises(RequestRefused, match="by-log has no series with log = Z"):
        await _points(filled, words, profiles=("unique",))
    crossed, _ = await _points(filled, {**words, "per": "day"}, profiles=("cross",))
    cross, day = await _plain(filled, "cross"), at(-24)
    part, of = (sum(v for t, v in s.items() if day <= t < day + 86400) for s in (cross["cross/B/Y"], whole["by-log/Y"]))
    assert crossed["cross/B/Y", day]["share"] == 100 * part / of


async def test_the_usual_value_is_the_mean_of_four_weeks(filled):
    plain = (await _plain(filled, "by-log"))["by-log/X"]
    for words, step in (({}, 3600), ({"per": "day"}, 86400)):
        rows, _ = await _points(filled, {"compare": "usual", "growth": True, **words}, series=("by-log/X",))
        starts = [start for _, start in rows]
        week = int(WEEK.total_seconds())
        for (_, start), row in rows.items():
            sums = [
                sum(plain[t] for t in range(start - n * week, start - n * week + step, 3600) if t in plain)
                for n in range(5)
            ]
            if start - 4 * week < starts[0]:
                assert (row["compared"], row["growth"]) == (None, None)
                assert "of the compared period" in row["reason"]
                continue
            assert row["value"] == sums[0]
            assert row["compared"] == pytest.approx(sum(sums[1:]) / 4, rel=1e-12)
            assert row["growth"] == pytest.approx(100 * (sums[0] / (sum(sums[1:]) / 4) - 1), rel=1e-9, abs=1e-9)
    later, _ = await _points(
        filled, {"compare": "usual", "mean": 3}, series=("by-log/X",), start=DAY - 5 * HOUR, end=DAY
    )
    assert [row["compared"] for row in later.values()] == [
        sum(plain[at(hour) - n * week] for n in (1, 2, 3, 4)) / 4 for hour in range(-5, 0)
    ]


REFUSED = [
    ("within: needs share, of, rank or top", {"within": "log"}, "cross"),
    (
        "within ca: cross/A/X has no single value of it. Nearest: within ca_owner or log",
        {"within": "ca", "share": True},
        "cross",
    ),
    ("within: 'lo' is not a filter (did you mean \"log\"?)", {"within": "lo", "share": True}, "cross"),
    ("of, within log: unfiltered has no single value of it", {"within": "log", "of": "unfiltered"}, "cross"),
    ("compare usual: no month begins 1w before another one", {"per": "month", "compare": "usual"}, "cross"),
]


async def test_what_means_nothing_is_refused(filled):
    for said, words, name in REFUSED:
        with pytest.raises(UsageError) as error:
            await _points(filled, words, profiles=(name,))
        assert said in str(error.value)
    words = make_words({"compare": "usual"}, NOW)
    with pytest.raises(RequestRefused, match="the mean of several weeks"):
        await filled.with_read_view(lambda view: answer_top(view, PointQuery(profiles=("cross",)), words))


async def test_a_snapshot_has_a_sum_with_the_moment_of_asking(filled):
    def stats(name, **chosen):
        query = PointQuery(profiles=(name,), **chosen)
        return filled.with_read_view(lambda view: answer_stats(view, query, make_words({}, NOW)))

    (valid,) = await stats("valid")
    assert (valid["total"], valid["asked_at"], valid["known"], valid["expected"]) == (60, NOW, 3, 3)
    assert (valid["growth_previous"], valid["growth_year"]) == (None, None)
    assert "growth_previous: in a snapshot, older buckets have had more time to change" in valid["reason"]
    rows, _ = await _points(filled, {"per": "day", "cumulative": True}, profiles=("valid",))
    assert rows["valid", at(0)]["value"] == 60
    (left,) = await stats("left")  # a certificate may be unique in two buckets: the sum is a bound
    assert (left["total"], left["at_most"], left["asked_at"]) == (None, 60, NOW)
    assert "total: its values cannot be added up over time: uniqueEntries" in left["reason"]
    (none,) = await stats("left", start=DAY, end=DAY + 4 * HOUR)
    assert none["at_most"] is None
    citation = await filled.with_read_view(lambda view: cite(view, PointQuery(series=("valid",)), NOW))
    assert citation.value == 60


async def test_answers_say_what_is_counted(filled):
    _, notes = await _points(filled, {"per": "day"}, profiles=("by-log", "pre", "valid"))
    assert notes == [
        "by-log counts entries, not certificates: one of them may count as a precertificate and as itself",
        (
            "valid counts entries, not certificates: one of them may count as a precertificate and as itself, "
            "and in each of its logs"
        ),
    ]
    citation = await filled.with_read_view(lambda view: cite(view, PointQuery(series=("by-log/X",)), NOW))
    assert "Counted are entries, not certificates: one of them may count as a precertificate" in citation.sentence
