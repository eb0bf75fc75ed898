"""The benchmark itself, at a size that takes a moment. Nothing here depends on how fast the machine is."""

import json
from itertools import chain

import pytest
from click.testing import CliRunner

from tests.bench import answer, commands, decode, growth, live, peers, questions, report, run, serve
from tests.bench.__main__ import main
from tests.bench.run import Case, Measured

BYTES_A_POINT = 24
POINTS_A_WINDOW = 672


@pytest.fixture(scope="module")
def results(postgres_server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLECTOR_TEST_PG_URL", postgres_server.url.render_as_string(hide_password=False))
        return run.load(("sqlite", "postgresql"), series=4, windows=4, runs=1)


def test_every_case_asks_as_often_as_it_must(results):
    requests = {case: {kind: measured.requests for kind, (measured,) in runs.items()} for case, runs in results.items()}
    expected = {1: {"floor": 16, "collector": 16}, 4: {"floor": 4, "collector": 4}}
    cases = [(backend, positions) for backend in ("sqlite", "postgresql") for positions in expected]
    assert requests == {Case(backend, positions): expected[positions] for backend, positions in cases}


def test_an_unchanged_repeat_writes_no_point(results):
    for runs in results.values():
        assert [one.rewritten for one in runs["collector"]] == [0]


def test_the_floor_writes_every_point_again(results):
    for runs in results.values():
        assert [one.rewritten for one in runs["floor"]] == [4 * 4 * POINTS_A_WINDOW]


def test_a_point_is_small(results, sqlite_template):
    """The pages of an empty store are there before the first point; at full size they are nothing."""
    empty = sqlite_template.stat().st_size / (4 * 4 * POINTS_A_WINDOW)
    for runs in (runs for case, runs in results.items() if case.backend == "sqlite"):
        assert runs["collector"][0].bytes_a_point <= BYTES_A_POINT + empty


def test_every_figure_is_measured(results):
    for runs in results.values():
        for (one,) in runs.values():
            assert min(one.wall, one.cpu, one.peak, one.bytes_a_point) > 0


def measured(wall, **other):
    figures = {
        "cpu": 1.0,
        "peak": 2.0 * (1 << 20),
        "bytes_a_point": 20.0,
        "requests": 7,
        "rewritten": 0,
        "repeat_cpu": 3.0,
    }
    return Measured(wall=wall, **{**figures, **other})


TWO_TO_ONE = {Case("sqlite", 1): {"floor": [measured(9), measured(1), measured(2)], "collector": [measured(4)] * 3}}


def test_a_figure_is_a_median_and_a_ratio_one_of_medians():
    assert report.medians(TWO_TO_ONE[Case("sqlite", 1)]["floor"]).wall == 2
    assert report.summary(TWO_TO_ONE)[0]["ratio"]["wall"] == 2


def test_each_figure_has_its_own_median():
    runs = [measured(1, cpu=9), measured(2, cpu=8), measured(3, cpu=1)]
    assert (report.medians(runs).wall, report.medians(runs).cpu) == (2, 8)


def test_the_table_is_aligned():
    lines = report.as_table(TWO_TO_ONE).splitlines()
    assert lines[0].split() == [
        *("store", "series", "a", "requests", "wall", "s", "floor", "ratio", "cpu", "s", "floor", "ratio"),
        *("peak", "floor", "bytes", "floor", "rows", "floor", "repeat"),
    ]
    assert lines[-1].split() == [
        *("sqlite", "1", "7", "4.00", "2.00", "2.00", "1.00", "1.00", "1.00"),
        *("2", "2", "20.0", "20.0", "0", "0", "3.00"),
    ]
    assert lines[0].index("wall s") + len("wall s") == lines[-1].index("4.00") + len("4.00")


def test_runs_take_turns_from_the_command_line(monkeypatch):
    monkeypatch.setattr(run, "load", lambda *asked: TWO_TO_ONE if asked == (("sqlite",), 20, 50, 3) else {})
    done = CliRunner().invoke(main, ["load", "--runs", "3", "--backend", "sqlite", "--format", "json"])
    found = json.loads(done.output)
    assert [one["wall"] for one in found[0]["runs"]["floor"]] == [9, 1, 2]


def test_an_answer_is_timed_beside_the_bare_read_of_the_same_rows():
    times = answer.measure(("sqlite",), runs=1, answers=1)
    assert {kind: len(seconds) for kind, seconds in times["sqlite"].items()} == {"floor": 1, "collector": 1}
    assert min(chain.from_iterable(times["sqlite"].values())) > 0


def test_the_ratio_of_answers_is_one_of_medians():
    times = {"sqlite": {"floor": [0.009, 0.001, 0.002], "collector": [0.004, 0.004, 0.1]}}
    assert answer.table(times).splitlines()[1].split() == ["sqlite", "4.00", "2.00", "2.00"]


def test_every_form_of_a_body_is_read_beside_the_floor():
    measured = decode.measure(runs=1)
    assert [one.case for one in measured] == [*decode.CASES]
    assert all(min(one.floor, one.collector) > 0 for one in measured)


def test_the_table_of_decoding_has_a_ratio_and_a_goal_where_there_is_one():
    with_goal, without = decode.CASES[0], decode.CASES[-1]
    lines = decode.table([decode.Measured(with_goal, 0.002, 0.004), decode.Measured(without, 0.001, 0.01)]).splitlines()
    assert lines[1].split() == ["672", "values", "4000.0", "2000.0", "2.00", "2.5"]
    assert lines[2].split() == ["numbers", "for", "texts", "10000.0", "1000.0", "10.00"]


def test_an_answer_over_either_api_is_timed_beside_its_floor(monkeypatch):
    monkeypatch.setattr(serve, "QUESTIONS", serve.QUESTIONS[:1] + serve.QUESTIONS[3:4])
    found = list(serve.ratios(("sqlite",), runs=1))
    assert [(ratio.question.route, len(ratio.collector), len(ratio.floor)) for ratio in found] == [
        ("api", 1, 1),
        ("points", 1, 1),
    ]
    assert "(goal 3)" in serve.ratio_line(found[0])


def test_many_clients_are_answered_while_fires_go_on():
    idle, *busy = serve.loads(("sqlite",), clients=3, seconds=0.5)
    assert (len(idle.answers), bool(idle.fires)) == (0, True)
    assert [load.route for load in busy if load.answers and load.fires and load.lags] == ["api", "points"]
    assert "p99" in serve.load_line(busy[0])


def test_the_cpu_of_a_whole_command_is_measured_beside_python():
    chosen = ("python", "collector --version")
    seconds = commands.measure(2, {name: commands.PROCESSES[name] for name in chosen})
    assert {name: len(runs) for name, runs in seconds.items()} == dict.fromkeys(chosen, 2)
    assert all(cpu > 0 for runs in seconds.values() for cpu in runs)


def test_the_table_of_commands_has_medians_and_ratios_to_the_first():
    lines = commands.table({"python": [0.01, 0.02, 0.03], "collector status": [0.4, 0.2, 0.3]}).splitlines()
    assert [line.split() for line in lines] == [
        ["process", "cpu", "ms", "least", "ratio"],
        ["python", "20", "10", "1.0"],
        ["collector", "status", "300", "200", "15.0"],
    ]


@pytest.mark.campaign
def test_every_command_that_is_measured_exits_with_0():
    assert commands.measure(0) == {name: [] for name in commands.PROCESSES}


@pytest.mark.campaign
def test_growth_measures_every_piece_of_work_in_each_store():
    results = growth.measure(("sqlite",), series=200, points=(2_000, 4_000), runs=1)
    names = [
        *("read", "as of", "status on time", "gaps on time", "gap search on time"),
        *("status late", "gaps late", "gap search late", "heal", "prune", "rows of days"),
        *("fire 1 x 200", "fire 200 x 1"),
    ]
    assert {size: [*costs.by_name] for (_, size), costs in results.items()} == {2_000: names, 4_000: names}
    lines = growth.table(results).splitlines()
    assert lines[0].split() == [
        "sqlite",
        "CPU",
        "ms",
        "2e+03",
        "4e+03",
        "exponent",
        "wall",
        "ms",
        "2e+03",
        "4e+03",
        "exponent",
    ]
    assert len(lines) == 1 + len(names) + 2


def test_an_exponent_is_the_slope_between_the_smallest_and_the_largest_store():
    assert growth.exponent([(10**5, 2.0), (10**6, 9.0), (10**7, 2.0)]) == 0
    assert growth.exponent([(10**5, 1.0), (10**6, 10.0)]) == 1


def test_every_benchmark_has_a_command():
    measures = ("answer", "commands", "decode", "growth", "live", "load", "memory", "questions", "requests", "serve")
    assert sorted(main.commands) == sorted(measures)
    for name in measures:
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_live_use_is_measured_by_table(tmp_path):
    measured = live.measure("sqlite", f"sqlite:///{tmp_path}/live.db", series=2, days=1)
    assert measured.points == 2 * 96
    assert {"points", "fetch_records", "answers", "fire_records"} <= measured.tables.keys()
    assert "2 series at 15m, 1 days: 192 points" in live.table([measured])


def test_a_year_is_read_off_two_marks_between_which_every_day_adds_the_same():
    first = live.Live("sqlite", 1, 100, 9_600, 10, {"points": 1_000, "fetches": 500}, 1.0)
    last = live.Live("sqlite", 1, 120, 11_520, 12, {"points": 1_200, "fetches": 500, "fires": 40}, 2.0)
    year = live.extrapolated(first, last, 140)
    assert (year.days, year.points, year.revisions) == (140, 13_440, 14)
    assert year.tables == {"points": 1_400, "fetches": 500, "fires": 80}


@pytest.mark.campaign
def test_peers_load_the_same_points(monkeypatch):
    """dlt is seldom installed; what is not installed is named under the table."""
    installed = [kind for kind in run.PEERS if not peers.lacking(kind)]
    results = run.load(("sqlite",), series=1, windows=1, runs=1, peers=installed)
    lines = peers.table(results, report.medians).splitlines()
    loaded = [line.split()[0] for line in lines[3:] if line.split()[1].isdigit()]
    assert loaded == ["floor", "collector", *installed]
    monkeypatch.setitem(peers.PACKAGES, "dlt", ("no-such-package",))
    assert peers.table(results, report.medians).splitlines()[-1] == "dlt: no-such-package not installed"


def test_every_question_is_answered(postgres_server, monkeypatch):
    monkeypatch.setenv("COLLECTOR_TEST_PG_URL", postgres_server.url.render_as_string(hide_password=False))
    done = CliRunner().invoke(main, ["questions", "--series", "3", "--days", "9", "--runs", "1"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()[1:]
    assert len(lines) == 2 * len(questions.QUESTIONS)
    assert {line.split()[0] for line in lines} == {"sqlite", "postgresql"}


def test_a_service_at_rest_is_measured():
    done = CliRunner().invoke(main, ["memory", "--series", "2", "--days", "1", "--runs", "1"])
    assert done.exit_code == 0, done.output
    assert float(done.output.split()[0]) > 10
