"""Cloudflare Radar's certificate-transparency time series, kept as history.

                config.toml ─▶ settings/ ─▶ profile.py: what the operator wants to keep
                                                 │
    daemon.py ─▶ collect/schedule.py ─▶ collect/worker.py               when: at every bucket edge, or now
                                                 │
                collect/one_pass.py: collect(profiles, now, …)          decide ─▶ ask ─▶ save
                  decide  refetch.py, planning/                         which windows, in which requests: pure
                  ask     batches/: batch_runner ─▶ fetcher ─▶ radar/   one request, and its answer, checked
                  save    store/write/save.py                           one transaction for each answer
                                                 │
                                    a SQLite file, or Postgres
                                                 │
    cli/commands/ ◀─── report/: status, gaps, export, charts ───▶ serve/: /api/v1, /client/v4, /metrics, /docs, the page

The way of one datum. A `[[profiles]]` table becomes a Profile with one or more questions. A bucket closes, the schedule
fires, and the worker starts one pass. `refetch.py` returns the windows that are missing or not final.
`batches/batch_runner.py` packs them into few requests. `batches/fetcher.py` takes a place in the request budget, sends
the request, and gets the answer from `radar/response.py`. `store/write/save.py` compares it with what is stored: each
point is inserted, revised, unchanged or ignored. Catching up after a downtime, healing, daily re-reading and a backfill
are the same way with other windows.

The wings. A floor imports only from floors below it; import-linter holds this (see pyproject.toml).

    cli/           the command line: one module for each command or topic in cli/commands/, imported when it is called
    daemon.py      the service; beside it library.py: collector.open(url) for Python, which returns tables (table.py)
    serve/         the HTTP server
    collect/       the work: worker, pass, backfill jobs, maintenance, leases; planning/ decides without I/O,
                   batches/ sends few requests, catalogue/ reads Radar's lists, probe/ measures what is not published
    report/        documents that serve/ and cli/ share
    store/         all SQL, functions of a Connection: read/ write/ ledger/ retention/ series/ admin/ over db/
    radar/         the client of the API: one request, its answer, or the exception that a failure means
    simulator/     a local Radar, for the demo and the tests
    contract/      the server side of Radar's API, for simulator/ and serve/radar_api/
    settings/      the configuration: checked settings, or one report of all problems
    profile.py     the profiles of the operator, and their questions
    datasets/      one record for each dataset of Radar: its path, its filters and what they mean; and for each list
    analysis/      periods, shares, ranks, growth and what is refused, without I/O; marks and policy dates
    rules/         pure rules: what is final, where history begins, an unknown normalization, the difference of clocks
    the top level  what all share: model, windows, timestamps, interval, retry, circuit_breaker,
                   errors; docs/ has the reference

Where to add what. `python -m collector.reference` then writes the tables of the reference in docs/ anew.

    a filter            datasets/ct_timeseries.py, which makes it a dimension, too; config.example.toml
    a dataset           a module in datasets/, its name in datasets/__init__.py, its route in docs/http.md
    an interval         interval.py; serve/openapi.json, serve/dashboard/view.js, config.example.toml; STEPS in
                        store/db/views.py, with a migration of the view `history`; simulator/odd/ has words for it
    a setting           settings/schema.py, settings/settings.py (a section: loading.py); config.example.toml
    a command           a module in cli/commands/, and its line in cli/main.py
    a metric            serve/metrics.py; a new key of the status document also in _STATUS of reference.py
    a word of requests  analysis/words.py and cells.py; cli/words.py, serve/openapi.json, docs/analysis.md
    an output format    FORMATS in report/export.py; the option --format in cli/commands/export.py
    a column            migrations/versions/ and HEAD in store/db/migrate.py, store/db/schema.py, the module in
                        store/ that writes the table, store/read/listing.py, serve/openapi.json
    a list of /api/v1   serve/api/routes.py, serve/openapi.json; a list of Radar: datasets/catalogue.py, simulator/
    a part of the page  serve/dashboard/: data.js reads, frame.js decides what is drawn, view.js is the URL, tables.js
    a retry rule        retry.py, circuit_breaker.py; collect/worker.py, collect/maintenance.py: when a pass runs again
    a hook on failures  an Observer (collect/batches/fetcher.py) in serve/; daemon.py hands it to the Fetcher

The words that this project defines.

    profile          what the operator wants to keep: a name, an interval, filters, and values for `each`
    question         what one position of a request asks for: filters and interval; coverage and gaps belong to it
    dimension        a property by whose values Radar divides a question; the answer has a series for each group
    group            one of these values, a series of its own; the series of the question holds the sum of all
    remainder        what an answer leaves beside the groups it lists: there an absent group is unknown, not zero
    series           the points of a question in one unit and normalization; its label is PROFILE or PROFILE/VALUE
    bucket, grid     a time of one interval, [start, start + interval); where the buckets start
    point, revision  the value of a series in a bucket; a value that was replaced later
    window           a half-open range of buckets
    slice, batch     one question over one window; the slices of one request
    fetch            one request with its outcome, on record before it is sent
    answer           the checked content of a response: values, date range, annotations, confidence, lastUpdated
    fire             one due moment of one profile, with exactly one outcome
    pass             one collection of some profiles: decide, ask, save
    coverage         the windows for which an answer is on record
    row of a day     count, sum, extremes and checksum of a series' points in a UTC day: store/series/days.py. A stale
                     day has to get its row anew
    fold             keep what many answers about final buckets said in one row
    gap              a bucket that is published but not stored: `missing`, or `upstream` if Radar lacks it
    catalogue        Radar's lists of certificate authorities and logs; an entry has a slug, details and measures
    settle, final    the age up to which Radar may revise a value; a value that was confirmed after it
    heal             fill gaps in the background
    snapshot         a series whose values depend on the moment of the request; all answers of one pass belong together
    word             what a request derives from points: per, share, top, compare and so on
    period, whole    an hour to a year, or a bucket; a period without a missing bucket
    mark             a date with a text on charts, of the operator or of the shipped list of policies
    budget           the requests that may be sent in any 300 seconds, by all processes together
    replica, lease   a process that shares a store; the time within which it must renew its claims
    claim            work that one replica does at a time: the fires of a profile, gaps, windows of a job
    circuit breaker  opens after 12 requests without an answer; then one request a minute is sent
    as of            what was known at a moment
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_LIBRARY = {"open": "library", "History": "library", "Table": "table"}
"""The names of the Python interface by module. They are imported when they are used, so that commands start fast."""


def __getattr__(name: str) -> object:
    if name in _LIBRARY:
        return getattr(_import_module(f"collector.{_LIBRARY[name]}"), name)
    raise AttributeError(f"module 'collector' has no attribute {name!r}")
