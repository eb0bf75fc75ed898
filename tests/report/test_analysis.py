"""Answers about series over time, held against plain Python on the exported points, on both databases."""

import csv
import io
import json
import shutil
import statistics
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from collector.analysis.refusals import RequestRefused
from collector.analysis.words import make_words
from collector.errors import UsageError
from collector.model import Window
from collector.report.analysis.cite import cite
from collector.report.analysis.counted import figure_notes, why_profile_overlaps
from collector.report.analysis.output import write_csv, write_json
from collector.report.analysis.points import answer_points
from collector.report.analysis.stats import answer_stats
from collector.report.analysis.top import answer_top
from collector.store import PointQuery, Store
from collector.timestamps import rfc3339
from tests.conftest import in_a_thread
from tests.harness.factories import HOUR, batch, exported, filtered, profile, saved

START = datetime(2023, 12, 25, tzinfo=UTC)  # a Monday
END = datetime(2024, 3, 4, tzinfo=UTC)
NOW = END + timedelta(days=30)
DAYS = timedelta(days=1)
HOSTILE = '=cmd|"x",\n<b>'
BY = profile("by", caOwner=("A", "B, Inc.", HOSTILE))
HOLE = datetime(2024, 2, 10, 7, tzinfo=UTC)
PROFILES = [
    BY,
    profile("all"),
    filtered("unique", uniqueEntries="true"),
    profile("tld", tld=("com", "de")),
    filtered("empty", caOwner="Z"),
]
KEYS = {
    "hour": lambda t: t,
    "day": lambda t: datetime(t.year, t.month, t.day, tzinfo=UTC),
    "week": lambda t: datetime.fromisocalendar(*t.isocalendar()[:2], 1).replace(tzinfo=UTC),
    "month": lambda t: datetime(t.year, t.month, 1, tzinfo=UTC),
    "quarter": lambda t: datetime(t.year, (t.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC),
    "year": lambda t: datetime(t.year, 1, 1, tzinfo=UTC),
}


def _hour(number):
    return START + number * HOUR


HOURS = (END - START) // HOUR


def _values(seed):
    return [float((number * seed + number // 24) % 97) for number in range(HOURS)]


async def _fill(store):
    """Ten weeks of each profile but `empty`. by/B lacks one hour, and a value of by/A was revised a day ago."""
    await store.activate_labels(PROFILES, NOW)
    window = Window(START, END)
    queries = [series.query for each in PROFILES[:4] for series in each.series]
    b_at, gap = 1, (HOLE - START) // HOUR
    rows = [dict(enumerate(_values(seed))) for seed in range(3, 3 + len(queries))]
    del rows[b_at][gap]
    asked = batch(*[(each, window) for each in queries])
    base = (START - datetime(2026, 4, 30, tzinfo=UTC)) // HOUR  # what the factories count hours from
    shifted = [{base + hour: value for hour, value in row.items()} for row in rows]
    await saved(store, asked, *shifted, now=NOW, profiles=tuple(each.name for each in PROFILES), updated=NOW)
    while (await store.build_days(NOW)).more:  # so that sums come from rows of days, and the revised day from points
        pass
    again = batch((queries[0], Window(END - 2 * HOUR, END)))
    later = NOW + timedelta(days=1)
    fresh = {base + HOURS - 2: 1000.0, base + HOURS - 1: rows[0][HOURS - 1]}
    await saved(store, again, fresh, now=later, profiles=("by",), updated=later)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled_url(request, tmp_path_factory):
    """The address of a store that is filled once for all tests, on each database."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        url = f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('filled') / 'collector.db')}"
        in_a_thread(_filled(url))
        yield url
        return
    server = request.getfixturevalue("postgres_server")
    address = server.create(request.getfixturevalue("postgres_template"))
    in_a_thread(_filled(address.render_as_string(hide_password=False)))
    yield address.render_as_string(hide_password=False)
    server.drop(address)


async def _filled(url):
    async with Store.open(url, owner="test") as store:
        await _fill(store)


@pytest.fixture
async def filled(filled_url):
    async with Store.open(filled_url, owner=None) as store:
        yield store


async def _points(store, words, **chosen):
    """Return the rows of an answer by (series, start): a dict of cells."""
    query = PointQuery(**{"profiles": ("by",), **chosen})

    def work(view):
        answer = answer_points(view, query, make_words(words, NOW))
        parsed = json.loads("".join(write_json(answer)))
        lines = list(csv.reader(io.StringIO("".join(write_csv(answer)))))
        assert len(parsed) == answer.rows == len(lines) - 1
        assert [line[1] for line in lines[1:]] == [row["series"] for row in parsed]
        return {(row["series"], datetime.fromisoformat(row["timestamp"])): row for row in parsed}

    return await store.with_read_view(work)


async def _plain(store, profile_name="by", **options):
    """Return {series: {time: value}} of what the store exports."""
    found = defaultdict(dict)
    for _, label, timestamp, value in await exported(store, profile_name, **options):
        found[label][datetime.fromtimestamp(timestamp, UTC)] = value
    return found


def _sums(values, key):
    sums, known = defaultdict(float), defaultdict(int)
    for moment, value in values.items():
        sums[key(moment)] += value
        known[key(moment)] += 1
    return sums, known


def _expected(start, key):
    """Count the hours of a period one by one."""
    moment, count = start, 0
    while key(moment) == start:
        moment, count = moment + HOUR, count + 1
    return count


async def test_sums_shares_ranks_and_growth_per_period(filled):
    plain = await _plain(filled)
    for per in ("day", "week", "month", "quarter", "year"):
        key = KEYS[per]
        rows = await _points(filled, {"per": per, "share": True, "rank": True, "growth": True})
        sums = {label: _sums(values, key) for label, values in plain.items()}
        assert {(label, start) for label, (each, _) in sums.items() for start in each} == set(rows)
        for (label, start), row in rows.items():
            expected = _expected(start, key)
            assert (row["value"], row["known"], row["expected"]) == (
                sums[label][0][start],
                sums[label][1][start],
                expected,
            )
            parts = {other: (each[start], known[start]) for other, (each, known) in sums.items()}
            if all(known == expected for _, known in parts.values()):
                whole = sum(value for value, _ in parts.values())
                assert row["share"] == pytest.approx(100 * row["value"] / whole)
                assert row["rank"] == 1 + sum(value > row["value"] for value, _ in parts.values())
            else:
                assert row["share"] is row["rank"] is None
                assert "share: by/" in row["reason"]
                assert f" of {expected} buckets" in row["reason"]
            before = key(start - HOUR)
            if row["known"] == expected and sums[label][1][before] == _expected(before, key):
                base = sums[label][0][before]
                assert row["growth"] == pytest.approx(100 * (row["value"] - base) / base)
            else:
                assert row["growth"] is None
                assert "growth:" in row["reason"]
    assert rows["by/A", datetime(2024, 1, 1, tzinfo=UTC)]["expected"] == 8784


async def test_cumulative_mean_and_weeks_before_on_buckets(filled):
    plain = await _plain(filled)
    words = {"cumulative": True, "mean": 24, "compare": "4w", "growth": True, "per": "hour"}
    rows = await _points(filled, words, start=_hour(700))
    for label, values in plain.items():
        total = missing = 0
        for number in range(700, HOURS):
            moment = _hour(number)
            row = rows[label, moment]
            total, missing = total + values.get(moment, 0), missing + (moment not in values)
            assert (row["cumulative"], row["cumulative_missing"]) == (total, missing)
            last = [values.get(moment - back * HOUR) for back in range(24)]
            assert row["mean"] == (None if None in last else pytest.approx(sum(last) / 24))
            base = values.get(moment - timedelta(weeks=4))
            assert row["compared"] == base
            assert (row["growth"] is None) == (not base or moment not in values)


async def test_a_running_sum_counts_what_is_absent_before_the_first_bucket(filled):
    start = START - timedelta(days=3)
    for per, words in ((None, {}), ("week", {"per": "week"})):
        rows = await _points(filled, {"cumulative": True, "top": 1, **words}, start=start)
        first = {label: row for (label, at), row in reversed(rows.items()) if at >= START}
        (largest,) = first.keys() - {"rest"}
        assert (first[largest]["cumulative_missing"], first["rest"]["cumulative_missing"]) == (72, 2 * 72), per


async def test_those_that_grew_most_come_first(filled):
    start, end = datetime(2024, 1, 29, tzinfo=UTC), datetime(2024, 2, 5, tzinfo=UTC)
    now, then = [
        {label: sum(values.values()) for label, values in (await _plain(filled, start=first, end=last)).items()}
        for first, last in ((start, end), (start - (end - start), start))
    ]
    growth = {label: 100 * (now[label] - then[label]) / then[label] for label in now}
    chosen = PointQuery(profiles=("by",), start=start, end=end)
    words = make_words({"top": 1, "growth": True}, NOW)
    first, rest = await filled.with_read_view(lambda view: answer_top(view, chosen, words))
    assert first["series"] == max(growth, key=growth.get)
    assert first["growth"] == pytest.approx(max(growth.values()))
    assert rest["total"] == sum(now.values()) - first["total"]
    assert (first["compared_start"], first["compared_end"]) == (start - (end - start), start)


async def test_an_empty_range_says_what_is_stored(filled):
    async def notes(answer, **chosen):
        query = PointQuery(profiles=("by",), **chosen)
        rows = await filled.with_read_view(lambda view: answer(view, query, make_words({}, NOW)))
        return rows, (await filled.with_read_view(lambda view: figure_notes(view, query, rows)))[0]

    for answer in (answer_stats, answer_top):
        rows, note = await notes(answer, start=START - 2 * DAYS, end=START - DAYS)
        stored = "stored is 2023-12-25T00:00:00Z to 2024-03-04T00:00:00Z"
        assert note == f"by: no bucket is known in the range; {stored}"
        assert rows[0]["end"] == START - DAYS
        rows, note = await notes(answer, as_of=START)
        assert note == f"by: no bucket is known in the range; nothing was known at {rfc3339(START)}"
        assert {(row["start"], row["end"], row["at_most"]) for row in rows} == {(None, None, None)}
        _, note = await notes(answer)
        assert "no bucket is known" not in note


async def test_words_that_do_not_build_on_each_other_say_so(filled):
    def work(view):
        words = make_words({"share": True, "growth": True, "mean": 7}, NOW)
        return answer_points(view, PointQuery(profiles=("by",)), words).notes

    assert "by: growth and mean of the value, not of the share" in await filled.with_read_view(work)


async def test_top_keeps_the_largest_and_adds_up_the_rest(filled):
    plain = await _plain(filled, start=_hour(0), end=HOLE)
    totals = {label: sum(values.values()) for label, values in plain.items()}
    order = sorted(totals, key=lambda label: -totals[label])
    rows = await _points(filled, {"per": "week", "top": 1, "share": True}, start=_hour(0), end=HOLE)
    assert {label for label, _ in rows} == {order[0], "rest"}
    week = datetime(2024, 1, 29, tzinfo=UTC)
    rest = sum(_sums(plain[label], KEYS["week"])[0][week] for label in order[1:])
    assert rows["rest", week]["value"] == rest
    assert rows["rest", week]["rest"] == 2
    assert rows["rest", week]["share"] + rows[order[0], week]["share"] == pytest.approx(100)
    chosen = PointQuery(profiles=("by",), start=_hour(0), end=HOLE)
    found = await filled.with_read_view(lambda view: answer_top(view, chosen, make_words({"top": 2}, NOW)))
    assert [(row["series"], row["total"], row["rank"]) for row in found] == [
        (order[0], totals[order[0]], 1),
        (order[1], totals[order[1]], 2),
        ("rest", totals[order[2]], None),
    ]
    assert sum(row["share"] for row in found) == pytest.approx(100)


async def test_top_compares_two_ranges(filled):
    start, end = datetime(2024, 1, 29, tzinfo=UTC), datetime(2024, 2, 5, tzinfo=UTC)
    then = await _plain(filled, start=start - timedelta(weeks=4), end=end - timedelta(weeks=4))
    sums = {label: sum(values.values()) for label, values in then.items()}
    chosen = PointQuery(profiles=("by",), start=start, end=end)
    rows = await filled.with_read_view(lambda view: answer_top(view, chosen, make_words({"compare": "4w"}, NOW)))
    for row in rows:
        assert row["compared"] == sums[row["series"]]
        assert row["compared_share"] == pytest.approx(100 * row["compared"] / sum(sums.values()))
        assert row["growth"] == pytest.approx(100 * (row["total"] - row["compared"]) / row["compared"])
    other = await filled.with_read_view(
        lambda view: answer_top(view, chosen, make_words({"compare": "2024-01-01"}, NOW))
    )
    assert [row["compared"] for row in other] == [row["compared"] for row in rows]


async def test_stats_equal_the_statistics_of_the_points(filled):
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    plain = await _plain(filled, start=start, end=end)
    before = await _plain(filled, start=START, end=start)
    whole = sum(sum(values.values()) for values in plain.values())
    chosen = PointQuery(profiles=("by",), start=start, end=end)
    for row in await filled.with_read_view(lambda view: answer_stats(view, chosen, make_words({}, NOW))):
        values = plain[row["series"]]
        ordered = sorted(values.values())
        assert row["total"] == sum(ordered)
        assert row["mean"] == pytest.approx(statistics.fmean(ordered))
        assert row["median"] == statistics.median(ordered)
        assert row["p95"] == pytest.approx(statistics.quantiles(ordered, n=20, method="inclusive")[-1])
        assert (row["min"], values[row["min_at"]], row["max"]) == (ordered[0], ordered[0], ordered[-1])
        assert row["max_at"] == next(t for t, value in values.items() if value == ordered[-1])
        assert (row["newest"], row["newest_at"]) == (values[end - HOUR], end - HOUR)
        assert row["share"] == pytest.approx(100 * row["total"] / whole)
        assert (row["known"], row["expected"]) == (744, 744)
        assert row["previous"] == sum(before[row["series"]].values())  # a part: the history begins later
        assert row["growth_previous"] is row["year_before"] is None
        assert "growth_previous: 168 of 744 buckets of the compared range" in row["reason"]
        assert row["young"] == 0  # settle has passed
    (february,) = await filled.with_read_view(
        lambda view: answer_stats(view, PointQuery(series=("by/B, Inc.",)), make_words({"per": "day"}, NOW))
    )
    days, known = _sums((await _plain(filled))["by/B, Inc."], KEYS["day"])
    assert february["max"] == max(total for day, total in days.items() if known[day] == 24)
    assert february["rank"] is february["share"] is None
    assert "by/B, Inc. has 1679 of 1680 buckets" in february["reason"]


async def test_as_of_gives_what_was_known(filled):
    then = NOW + HOUR
    plain, now = await _plain(filled, as_of=then), await _plain(filled)
    assert plain["by/A"] != now["by/A"]
    for words in ({"per": "month"}, {"per": "hour"}, {}):
        rows = await _points(filled, {**words, "share": True}, as_of=then)
        sums = _sums(plain["by/A"], KEYS[words.get("per", "hour")])[0]
        found = {start: row["value"] for (label, start), row in rows.items() if label == "by/A"}
        assert found == sums
    chosen = PointQuery(series=("by/A",), start=_hour(HOURS - 24), end=END)
    old = await filled.with_read_view(lambda view: cite(view, chosen, then))
    new = await filled.with_read_view(lambda view: cite(view, chosen, NOW + timedelta(days=2), "https://radar.test/"))
    assert new.value - old.value == 1000 - plain["by/A"][END - 2 * HOUR]
    assert new.link.startswith("https://radar.test/api/v1/stats?series=by%2FA&start=2024-03-03T00:00:00Z")
    assert "CC BY-NC 4.0" in new.sentence
    assert new.bibtex.startswith("@misc{radar-")
    before = await filled.with_read_view(
        lambda view: answer_points(view, PointQuery(profiles=("by",), as_of=START), make_words({"per": "day"}, NOW))
    )
    assert before.rows == 0
    assert f"nothing was known at {rfc3339(START)}" in before.notes[0]


async def test_a_share_of_another_profile_and_a_ratio_of_two_series(filled):
    plain, whole = await _plain(filled), (await _plain(filled, "all"))["all"]
    rows = await _points(filled, {"of": "all", "per": "day"})
    sums, totals = _sums(plain["by/A"], KEYS["day"])[0], _sums(whole, KEYS["day"])[0]
    day = datetime(2024, 2, 29, tzinfo=UTC)
    assert rows["by/A", day]["share"] == pytest.approx(100 * sums[day] / totals[day])
    assert rows["by/B, Inc.", KEYS["day"](HOLE)]["share"] is None
    unique = await _points(filled, {"of": "all"}, profiles=("unique",))
    values = (await _plain(filled, "unique"))["unique"]
    assert [row["share"] for row in unique.values()] == [
        None if not whole[t] else pytest.approx(100 * value / whole[t]) for t, value in values.items()
    ]
    assert any(row["reason"] == "share: all is 0" for row in unique.values())


REFUSED = [
    ("uniqueEntries: a certificate that is entered again", {"per": "day"}, {"profiles": ("unique",)}),
    ("cumulative of unique", {"cumulative": True}, {"profiles": ("unique",)}),
    (
        "tld: a certificate may name several top-level domains). Nearest: of PROFILE",
        {"share": True},
        {"profiles": ("tld",)},
    ),
    ("no month begins 4w before", {"per": "month", "compare": "4w"}, {}),
    ("Nearest: compare 2022-12-01, when the same month a year", {"per": "month", "compare": "52w"}, {}),
    (
        "Nearest: compare 2023-01-01, when the same quarter",
        {"per": "quarter", "compare": "52w"},
        {"start": datetime(2024, 2, 1, tzinfo=UTC)},
    ),
    ("of: there is no profile 'al' (did you mean \"all\"?)", {"of": "al"}, {}),
    ("top: cannot be combined with series", {"top": 1}, {"series": ("by/A",)}),
]


async def test_what_would_not_be_true_is_refused(filled):
    for said, words, chosen in REFUSED:
        with pytest.raises(UsageError) as error:
            await _points(filled, words, **chosen)
        assert said in str(error.value)


async def test_overlapping_series_have_a_top_but_no_rest(filled):
    rows = await _points(filled, {"top": 1, "per": "month"}, profiles=("tld",))
    rest = [row for (label, _), row in rows.items() if label == "rest"]
    assert all(row["value"] is None and "several top-level domains" in row["reason"] for row in rest)
    assert len(rest) == 4


async def test_ranges_without_points_have_no_rows(filled):
    for chosen in ({"start": NOW}, {"end": START}, {"start": HOLE, "end": HOLE}, {"profiles": ("empty",)}):
        assert await _points(filled, {"per": "day", "share": True, "top": 2}, **chosen) == {}
    stats = await filled.with_read_view(
        lambda view: answer_stats(view, PointQuery(profiles=("empty",)), make_words({}, NOW))
    )
    assert [(row["total"], row["mean"], row["known"]) for row in stats] == [(None, None, 0)]


async def test_a_series_whose_unit_changes_within_the_range_is_refused(store):
    await _fill(store)
    asked = batch((PROFILES[1].series[0].query, Window(END, END + 3 * HOUR)))
    base = (END - datetime(2026, 4, 30, tzinfo=UTC)) // HOUR
    for number in (2, 3, 4):  # a new unit needs several answers until it is in force
        moment = NOW + timedelta(days=number)
        values = {base + hour: 5.0 for hour in range(3)}
        await saved(store, asked, values, now=moment, profiles=("all",), updated=moment, unit="bytes")
    with pytest.raises(RequestRefused, match="the unit changes from '\\*' to 'bytes' at 2024-03-04T00:00:00Z"):
        await _points(store, {"per": "day"}, profiles=("all",))
    rows = await _points(store, {"per": "day"}, profiles=("all",), end=END)
    assert len(rows) == HOURS // 24


@pytest.mark.parametrize(
    ("problem", "one"),
    [
        (None, profile("all")),
        (None, profile("by", caOwner=("A", "B"))),
        ("by/com and by/de overlap (tld: a certificate may name several", profile("by", tld=("com", "de"))),
        (None, profile("by", dimension="CA_OWNER")),
        ("one group and another group overlap (tld:", profile("by", dimension="TLD")),
    ],
)
def test_a_profile_says_whether_its_series_overlap(problem, one):
    found = why_profile_overlaps(one)
    assert found is None if problem is None else found.startswith(problem)
