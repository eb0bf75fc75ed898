"""Configurations with the mistakes that editors, disks and people make: taken validly, or refused in sentences.

What is taken is held against rules that are written down here a second time, and share nothing with the product.
"""

import random
import time
import tomllib
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from collector.cli.main import command
from collector.settings import ConfigurationError, load
from tests.harness.config_fuzz import PASSWORD, SOUND, TOKEN, mutated

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_SECTIONS = {"radar", "database", "collection", "server", "retention", "log", "profiles"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _is_valid(text, settings):
    """Tell whether *settings* may have come of *text*: nothing unknown, nothing out of bounds, nothing lost."""
    document = tomllib.loads(text)
    profiles = document.get("profiles", [])
    address = urlsplit(settings.radar.base_url)
    names = [profile.name for profile in settings.profiles]
    return (
        {*document} <= _SECTIONS
        and 1 <= settings.radar.requests_per_5min <= 1200
        and settings.radar.concurrency >= 1
        and (address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK))
        and 0 <= settings.server.port < 2**16
        and names == [profile["name"] for profile in profiles]
        and len({*names}) == len(names)
        and all(profile.agg_interval.value in {"15m", "1h", "1d", "1w"} for profile in settings.profiles)
        and all(profile.settle >= profile.lookback for profile in settings.profiles)
        and all(profile.series for profile in settings.profiles)
        and all(profile.since is None or profile.since < NOW for profile in settings.profiles)
    )


def _taken(path, told):
    """Load it within a second of processor time: the settings, or None where they are refused with sentences."""
    began, refusal = time.thread_time(), None
    try:
        settings = load(str(path), {}, now=NOW)
    except ConfigurationError as error:
        settings, refusal = None, error
    assert time.thread_time() - began < 1, told
    assert PASSWORD not in repr(settings), told
    assert refusal is None or _is_told_in_sentences(refusal), told
    return settings


def _is_told_in_sentences(refusal):
    shown = all(problem.text.isprintable() and problem.key.isprintable() for problem in refusal.problems)
    return refusal.problems and shown and not any(secret in str(refusal) for secret in (PASSWORD, TOKEN))


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.campaign)])
def test_a_mutated_configuration_is_taken_validly_or_refused_in_sentences(tmp_path, monkeypatch, count, seed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    path, dice, found = tmp_path / "config.toml", random.Random(seed), Counter()
    path.write_text(SOUND)
    assert _is_valid(SOUND, load(str(path), {}, now=NOW))
    for number in range(count):
        content = mutated(dice)
        path.write_bytes(content)
        told = f"configuration {number}: {content!r}"
        settings = _taken(path, told)
        assert settings is None or _is_valid(content.decode("utf-8-sig"), settings), told
        found["refused" if settings is None else "taken"] += 1
        if number % 50 == 0:
            _checked_as_a_command(path, settings, told)
    print(f"{count} configurations: {dict(found)}")  # noqa: T201 - counts for the record
    assert min(found.values()) > count / 20


def _checked_as_a_command(path, settings, told):
    done = CliRunner().invoke(command, ["config", "check", "--config", str(path)], prog_name="collector")
    assert done.exit_code == (2 if settings is None else 0), told
    assert "Traceback" not in done.output, told
    assert done.exception is None or isinstance(done.exception, SystemExit), told
