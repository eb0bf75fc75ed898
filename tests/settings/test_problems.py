from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings.problems import (
    ConfigurationError,
    Problem,
    ProblemReport,
    SourceLocation,
    key_text,
    quote,
    quote_path,
)

TOKEN = "v1-0123456789abcdefghijklmnopqrstuvwxyzAB"


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("profiles[1].filters.ca_owner", ("profiles", 1, "filters", "ca_owner")),
        ('radar."a b"', ("radar", "a b")),
        ('"a\\"b"', ('a"b',)),
        ("radar.***", ("radar", TOKEN)),
        ("", ()),
    ],
)
def test_key_paths_are_written_as_in_toml(expected, path):
    assert key_text(path) == expected


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ('"30s"', "30s"),
        ('"a\\n\\x1b[0m\\"\\\\"', 'a\n\x1b[0m"\\'),
        ('"\\udcff"', "\udcff"),
        ("5", 5),
        ("nan", float("nan")),
        pytest.param("a very large number", 10**5000, id="more digits than Python would write"),
        ("true", True),
        ("2026-01-31", date(2026, 1, 31)),
        ("a list", [1]),
        ("an empty list", []),
        ("a table", {"a": 1}),
        ('"http://example.com/x"', "http://example.com/x"),
        ('"***"', "http://me:hunter22@example.com"),
        ('"***"', "postgresql://me:hunter22@example.com/db"),
        ('"***"', "me@example.com"),
        ('"***"', TOKEN),
        ('"Bearer ***"', f"Bearer {TOKEN}"),
    ],
)
def test_a_value_is_quoted_in_one_line_without_secrets(expected, value):
    assert quote(value) == expected


@given(st.text())
def test_a_shown_value_is_short_and_printable(text):
    assert quote(text).isprintable()
    assert len(quote(text)) <= 62


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ('"/etc/collector/a-very-long-name-of-a-token-file"', "/etc/collector/a-very-long-name-of-a-token-file"),
        ('"***"', TOKEN),
        ('"***"', "postgresql://me:hunter22@example.com/db"),
    ],
)
def test_a_path_is_shown_in_full_unless_a_secret_was_pasted(expected, path):
    assert quote_path(path) == expected


def test_a_problem_is_one_line():
    assert str(Problem("config.toml", 14, "radar.timeout", "found 5")) == "config.toml:14: radar.timeout: found 5"
    assert str(Problem("environment", None, "COLLECTOR_X", "unknown")) == "environment: COLLECTOR_X: unknown"
    assert str(Problem("config.toml", 3, "", "not valid TOML")) == "config.toml:3: not valid TOML"


def test_a_report_without_problems_raises_nothing():
    ProblemReport().raise_if_any()


def test_a_report_is_sorted_by_file_and_line_without_duplicates():
    report = ProblemReport()
    for line, key in ((9, "b"), (2, "a"), (9, "b")):
        report.add((key,), SourceLocation("config.toml", key, line), "wrong")
    report.add(("c",), SourceLocation("environment", "C"), "wrong")
    with pytest.raises(ConfigurationError) as refused:
        report.raise_if_any()
    assert str(refused.value).splitlines() == [
        "3 problems in the configuration",
        "config.toml:2: a: wrong",
        "config.toml:9: b: wrong",
        "environment: C: wrong",
    ]
    assert [problem.line for problem in refused.value.problems] == [2, 9, None]
    assert refused.value.exit_code == 2


def test_a_hidden_secret_is_masked_everywhere():
    report = ProblemReport()
    report.hide("hunter22")
    report.hide("hunter22-and-more")
    report.add(("a",), SourceLocation("config.toml", "hunter22", 1), 'found "hunter22-and-more"')
    with pytest.raises(ConfigurationError) as refused:
        report.raise_if_any()
    assert str(refused.value).splitlines()[1] == 'config.toml:1: ***: found "***"'


def test_a_reported_key_is_not_valid():
    report = ProblemReport()
    report.add(("radar", "email"), SourceLocation("config.toml", "radar.email", 1), "wrong")
    assert not report.is_valid(("radar", "email"), ("radar", "api_key"))
    assert report.is_valid(("radar", "api_key"))
