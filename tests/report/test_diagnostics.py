"""What a report must not hold."""

from datetime import UTC, datetime

import pytest

from collector.report.diagnostics import without_secrets


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("Bearer ***", "Bearer canary-0123"),
        ({"a***": ["***", {"b": "x***y"}]}, {"acanary-0123": ("canary-0123", {"b": "xcanary-0123y"})}),
        ({"path": "p***"}, {"path": "ppw"}),
        ("~/collector.db", "/home/somebody/collector.db"),
        ("cannot read ~/x y: ~", "cannot read /Users/some.body/x y: /home/else"),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ([1, 2.5, True, None], [1, 2.5, True, None]),
    ],
    ids=["text", "deep", "short", "home", "homes", "moment", "numbers"],
)
def test_secrets_and_home_folders_are_masked_everywhere(expected, value):
    assert without_secrets(value, ["canary-0123", "pw"]) == expected


def test_a_user_without_a_home_gets_a_report(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert without_secrets("/srv/collector.db", []) == "/srv/collector.db"
