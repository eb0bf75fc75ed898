"""A second opinion on an answer, in plain Python and sharing nothing with the product: what may be believed of it.

It is strict about numbers and about the series that they belong to, and lenient about all else. What it does not take
is refused, or left out if it is no number. In these cases the table of readings leaves room, and the answer may be
read or refused (`doubts`):

- `success` that is neither true nor false, or absent beside `errors`; `meta` that is no object
- below the name of a series something that is no series; objects with only one of `timestamps` and `values`
- the first series missing (the others may be numbered from one); names spelt otherwise that are incomplete or in
  another order; other names that have the numbers asked for in order; one series asked for, one of another name
- timestamps: epoch seconds as text; ISO 8601 that RFC 3339 does not allow; outside the window one that is off the grid,
  or whose value is too large or one of two; naive ones inside the window that do not reach from end to end
- one bucket twice, once with a value and once without
- more than half unreadable only if nulls, empty texts or buckets outside the window count
- `aggInterval` absent or unknown where the spacing is none of an interval, or there is no spacing
- numbers of dateRanges that are neither one nor all; a dateRange that touches the window only, is backwards, is no
  RFC 3339, or is elsewhere but that of a series that is missing

Timestamps that all lie outside the window refuse the answer, as a dateRange elsewhere does: it is not what was asked.
"""

import re
from itertools import pairwise

from tests.harness.strict.json_parser import Number, Rejected, need, parse
from tests.harness.strict.locations import as_series, elsewhere, has_name, inside_all, result_of
from tests.harness.strict.meta import (
    Remark,
    confidence,
    date_ranges,
    fits,
    last_updated,
    names_interval,
    normalization,
    plain,
    tags_as_taken,
    unit,
)
from tests.harness.strict.scalars import (
    EMPTY,
    NULL,
    Absent,
    Beyond,
    NamedBy,
    OneOf,
    inner,
    letters,
    moment,
    stamp,
    value,
)

__all__ = ["Believed", "Rejected", "Remark", "check", "fits", "may_be", "plain", "tags_as_taken"]

_FIRST_MICROSECONDS = 10**14
_STEPS = (900, 3600, 86400, 604800)


class Believed:
    """What may be taken of an answer: *series* holds {timestamp: value} or None by position.

    *doubts* are reasons for which it may be refused just as well. *noted* are kinds of which a deviation must be noted.
    """

    def __init__(self):
        self.doubts, self.noted = [], []
        self.series, self.missing = [], set()
        self.last_updated = self.normalization = self.unit = self.level = None
        self.ranges, self.remarks = [], []


def check(body, step, windows, unknown):
    """Return what is Believed of *body*; Rejected where the answer must be refused.

    *windows* are (start, end) in epoch seconds, by position; *unknown* stands for a lastUpdated that is not known.
    """
    believed = Believed()
    open_ = believed.doubts.append
    names = [f"serie_{position}" for position in range(len(windows))]
    result = result_of(parse(body), open_)
    whole, meta = result, NamedBy(result).get("meta", "metadata")
    result = {name: one for name, one in result.items() if letters(name) not in {"meta", "metadata"}}
    documented = {name: one for name, one in result.items() if _has_arrays(one) and not _shares_times(one, names)}
    if not documented or (has_name(result, names) and not has_name(documented, names)):
        meta, result = elsewhere(whole, names, open_)
    elif meta is None:
        meta = inside_all(documented)
    if meta is not None and not isinstance(meta, dict):
        open_("meta is no object")
    meta = NamedBy(meta)
    contents = _owners(result, names, open_)
    believed.missing = {position for position, content in enumerate(contents) if content is None}
    tally = _Tally(believed)
    for content, (start, end) in zip(contents, windows, strict=True):
        believed.series.append(None if content is None else _series(content, step, int(start), int(end), tally))
    tally.judge()
    if not names_interval(meta, step, believed.doubts.append):
        tally.judge_spacing(step)
    _read_meta(believed, meta, windows, step, unknown)
    return believed


def _read_meta(believed, meta, windows, step, unknown):
    noted = believed.noted.append
    believed.last_updated = last_updated(meta, noted, unknown)
    believed.normalization, believed.unit = normalization(meta), unit(meta)
    believed.level, believed.remarks = confidence(meta, noted)
    believed.ranges = date_ranges(meta, windows, step, believed)


def _owners(result, names, open_):
    """Return the series of each position, None where it is missing; Rejected if that is not beyond doubt."""
    count = len(names)
    result = {name: _in_documented_form(one, open_) for name, one in result.items()}
    series = {name: one for name, one in result.items() if name != "meta" and _is_series(one)}
    if any(
        isinstance(one, dict) and ({*one} & {"timestamps", "values"}) and name not in series
        for name, one in result.items()
    ):
        open_("an object that is half a series")
    need(series, "no series")
    need(len(series) <= count, "more series than asked for")
    if {*series} <= {*names}:
        return _by_name(result, series, names, open_)
    wanted, came = [*map(letters, names)], [*map(letters, series)]
    if len({*came}) == len(came) and {*came} <= {*wanted}:
        return _by_letters(dict(zip(came, series.values(), strict=True)), wanted, open_)
    need(len(series) == count, "some names are missing, others are unknown")
    numbers = [re.findall(r"\d+", name) for name in series]
    need(
        all(
            len(found) == 1 and found[0].isdecimal() and len(found[0]) < 5 and int(found[0]) == n
            for n, found in enumerate(numbers)
        )
        or (count == 1 and not numbers[0]),
        "other names, or another order",
    )
    open_("other names, with the numbers asked for; or one without a number")
    return [*series.values()]


def _shares_times(content, names):
    """Return whether *content* has one array of timestamps beside series, so that it is no series."""
    return "values" not in content and has_name(content, names)


def _has_arrays(one):
    return isinstance(one, dict) and bool({"timestamps", "values"} & {*one})


def _in_documented_form(one, open_):
    """Return *one*; in the documented form if one of the two arrays has another name."""
    if isinstance(one, dict) and len({"timestamps", "values"} & {*one}) == 1 and as_series(one):
        open_("an array by another name")
        return as_series(one)
    return one


def _by_letters(series, wanted, open_):
    if [*series] != wanted:
        open_("names spelt otherwise, in another order or some of them missing")
    return [series.get(name) for name in wanted]


def _by_name(result, series, names, open_):
    if any(result.get(name) is not None and name not in series for name in names):
        open_("no series below the name of one")
    if names[0] not in series:
        open_("the first is missing: numbered from one?")
    return [series.get(name) for name in names]


def _is_series(content):
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("timestamps", "values"))


def may_be(expected, got):
    """Return whether a bucket that is *expected* may be read as *got*, None if it is absent."""
    if isinstance(expected, OneOf):
        return any(may_be(one, got) for one in expected)
    return got is None if isinstance(expected, Absent) else got == expected


class _Tally:
    """Counts over all series: unreadable values, and how far the timestamps are apart."""

    def __init__(self, believed):
        self.believed = believed
        self.inside, self.all = [], []
        self.spacings_of_all, self.spacings_inside = set(), set()

    def add(self, read, is_inside):
        self.all.append(read)
        if is_inside:
            self.inside.append(read)

    def judge(self):
        """Raise Rejected if more than half is unreadable however it is counted; doubt it if by one way of counting."""
        verdicts = {
            _unreadable(counted, empty_too) * 2 > len([one for one in counted if nulls_too or not _is_null(one)])
            for counted in (self.all, self.inside)
            for empty_too in (False, True)
            for nulls_too in (False, True)
        }
        need(verdicts != {True}, "more than half unreadable")
        if True in verdicts:
            self.believed.doubts.append("half unreadable, more or less")
        if _unreadable(self.inside, empty_too=False):
            self.believed.noted.append("unreadable values")

    def judge_spacing(self, step):
        """Raise Rejected if the timestamps are those of a wider interval; doubt it if they do not say."""
        spacings = [min(found, default=None) for found in (self.spacings_of_all, self.spacings_inside)]
        if spacings == [step, step]:
            return
        need(not (spacings[0] == spacings[1] and spacings[0] in _STEPS), "spacing of another interval")
        self.believed.doubts.append("a spacing that says nothing")


def _is_null(read):
    return isinstance(read, Absent) and read.readable is True


def _unreadable(counted, empty_too):
    bad = 0
    for read in counted:
        for one in read[-1:] if isinstance(read, OneOf) and empty_too else (read,):
            bad += isinstance(one, Absent) and (one.readable is False or (empty_too and one.readable is None))
    return bad


def _series(content, step, start, end, tally):
    """Return {timestamp: value} inside the window; a value may be OneOf several, or an Absent among these."""
    times, values = content["timestamps"], content["values"]
    need(len(times) == len(values), "arrays")
    open_ = tally.believed.doubts.append
    stamps = [None if text is None else _stamp(text, step, open_) for text in times]
    _check_naive([one for one in stamps if one], step, start, end, open_)
    _check_grid([one[0] for one in stamps if one], step, start, end, open_)
    need(not any(stamps) or any(one and start <= one[0] < end for one in stamps), "all outside the window")
    if {one[0] for one in stamps if one} & {start, end} == {end}:
        open_("timestamps that may be ends of buckets")
    found = {}
    for at, one in zip(stamps, values, strict=True):
        is_inside = at is not None and start <= at[0] < end
        read = _value(one, is_inside, tally)
        if is_inside:
            found.setdefault(int(at[0]), []).append(read)
    if len({one[0] for one in stamps if one and not start <= one[0] < end}) < sum(
        1 for one in stamps if one and not start <= one[0] < end
    ):
        open_("a bucket outside the window twice")
    kept = {at: _agreed(reads, open_) for at, reads in sorted(found.items())}
    kept = {at: read for at, read in kept.items() if not isinstance(read, Absent)}
    tally.spacings_of_all |= {b - a for a, b in pairwise(sorted({one[0] for one in stamps if one}))}
    tally.spacings_inside |= {b - a for a, b in pairwise(sorted(found))}
    return kept


def _stamp(text, step, open_):
    if isinstance(text, list | dict):
        open_("a timestamp inside of something")
        return _of_span(text, step) if inner(text) is text else stamp(text)
    if isinstance(text, str) and re.fullmatch(r"[0-9]+(?:\.0*)?", text):
        open_("epoch seconds as text")
        return stamp(Number(text))
    if isinstance(text, Number) and abs(float(text.text)) >= _FIRST_MICROSECONDS:
        open_("micro- or nanoseconds")
    if isinstance(text, str) and not moment(text).strict:
        open_("a timestamp that is ISO 8601 but not RFC 3339")
    return stamp(text)


def _of_span(content, step):
    """Return the start of a bucket that is written as its start and end."""
    if isinstance(content, list):
        need(len(content) == 2, "no span")
        ends = content
    else:
        found = NamedBy(content)
        ends = [found.get("startTime", "startDate", "start", "from"), found.get("endTime", "endDate", "end", "to")]
    (start, _), (end, _) = map(stamp, ends)
    need(end - start == step, "a span that is no bucket")
    return start, True


def _check_naive(stamps, step, start, end, open_):
    naive = [at for at, zoned in stamps if not zoned]
    if not naive:
        return
    first, last = min(stamps)[0], max(stamps)[0]
    if first != start or last != end - step:
        need(all(start <= at < end for at in naive), "naive, and elsewhere")
        open_("naive, and not from the first bucket to the last")


def _check_grid(stamps, step, start, end, open_):
    off = [at for at in stamps if (at - start) % step]
    need(not any(start <= at < end for at in off), "grid")
    if off:
        open_("off the grid, outside the window")


def _value(content, is_inside, tally):
    try:
        read, loses_digits = value(content)
    except Beyond as beyond:
        need(not (is_inside and beyond.is_number), "beyond 2^53")
        tally.believed.doubts.append("beyond 2^53, but outside the window or no number")
        read, loses_digits = (NULL if beyond.is_number else EMPTY), False
    if loses_digits and is_inside:
        tally.believed.noted.append("digits")
    tally.add(read, is_inside)
    return read


def _agreed(reads, open_):
    numbers = {read for read in reads if isinstance(read, float)}
    need(len(numbers) < 2, "two values for one bucket")
    if len(reads) == 1 or len(numbers) == len({*map(type, reads)}) == 1:
        return reads[0]
    if all(isinstance(read, Absent) for read in reads):
        return reads[0]
    open_("one bucket twice")
    return OneOf(one for read in reads for one in (read if isinstance(read, OneOf) else (read,)))
