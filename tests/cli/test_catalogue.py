"""authorities, logs, values: what they show, from an empty store to one with history, and wrong usage."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.simulator import CatalogueChange, CatalogueOptions
from collector.store import Store
from collector.store.admin import commands
from collector.store.admin.copy import copy
from collector.timestamps import rfc3339, utc
from tests.harness.processes import Collector, profile_toml, simulating

RETIRED = CatalogueChange("logs", "google-argon2026h1", datetime(2026, 1, 1, tzinfo=UTC), {"state": "RETIRED"})
EACH = '[profiles.each]\nca_owner = ["DigiCert, Inc.", "Sectigo Ltd"]'


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with both lists, of which one has changed once, and a profile with a misspelt owner."""
    with simulating(catalogue=CatalogueOptions(), unknown_names="zero") as (simulator, url):
        collector = Collector(tmp_path_factory.mktemp("catalogue"), url, catalogue=True)
        collector.configure(profile_toml("all", "1h", 1), profile_toml("by-owner", "1h", 1, EACH))
        collector.run("collect")
        simulator.switch(catalogue=CatalogueOptions(changes=(RETIRED,)))
        assert "1 changed" in collector.run("logs", "--refresh").stderr
        yield collector


def test_collect_reads_both_lists_by_default_and_only_once_a_day(filled):
    asked = [row["request"] for row in filled.json("fetches") if row["profiles"] == ["(catalogue)"]]
    assert len([text for text in asked if "/authorities?" in text]) == 2
    assert "nothing" not in filled.run("collect").stderr
    assert len([row for row in filled.json("fetches") if row["profiles"] == ["(catalogue)"]]) == len(asked)
    assert [row["entries"] for row in filled.json("status")["catalogue"]] == [25, 9]
    assert "lists   9 logs, 2 with details, read" in filled.call("status").stdout


def test_logs_show_their_state_and_since_when(filled):
    rows = {row["slug"]: row for row in filled.json("logs")}
    argon = rows["google-argon2026h1"]
    assert (argon["state"], argon["gone_at"], len(rows)) == ("RETIRED", None, 9)
    assert argon["state_seen_at"] > argon["first_seen"]
    (change,) = [row for row in filled.json("logs", "google-argon")["changes"] if row["change"] == "changed"]
    assert (change["key"], change["old"], change["new"]) == ("state", "USABLE", "RETIRED")
    before = rfc3339(utc(argon["state_seen_at"]) - timedelta(microseconds=1))
    assert {row["slug"]: row["state"] for row in filled.json("logs", "--as-of", before)}[argon["slug"]] == "USABLE"
    table = filled.call("logs").stdout
    assert "RETIRED" in table
    assert "operator" in table
    assert "its details have not been collected yet" in filled.call("logs", "google-argon2026h1").stderr


def test_nothing_is_known_before_the_first_reading(filled):
    done = filled.call("authorities", "--as-of", "2026-01-01")
    assert done.stdout == ""
    assert "was first collected at" in done.stderr
    assert filled.json("values", "ca_owner", "--as-of", "2026-01-01") == []


def test_authorities_are_searched_and_found_by_the_beginning_of_their_fingerprint(filled):
    (row,) = filled.json("authorities", "--search", "digicert, inc.")
    assert row["trust"] == {"chrome": None, "apple": None, "microsoft": None, "mozilla": None}
    filled.run("authorities", "--refresh", row["slug"][:8])
    document = filled.json("authorities", row["slug"][:8])
    assert document["trust"]["chrome"] == document["details"]["chromeStatus"]
    assert document["details"]["validTo"] == "2032-06-08"


def test_values_have_the_newest_count_of_a_series(filled):
    rows = {row["value"]: row for row in filled.json("values", "ca_owner")}
    digicert = rows["DigiCert, Inc."]
    assert digicert["known_by"] == ["catalogue", "series"]
    assert 0 < digicert["share"] < 1
    assert digicert["first_seen"] < digicert["last_seen"] == digicert["bucket"]
    assert rows["Sectigo Ltd"]["first_seen"] is None
    assert rows["Sectigo Limited"]["known_by"] == ["catalogue"]
    assert next(iter(rows)) == "DigiCert, Inc."
    words = filled.json("values", "logApi")
    assert [(row["value"], row["known_by"]) for row in words] == [("RFC6962", ["contract"]), ("STATIC", ["contract"])]
    assert "Google Argon2026h1" in filled.call("values", "log").stdout
    assert "no value of tld is known" in filled.call("values", "tld").stderr


def test_a_misspelt_owner_is_named_by_config_check_and_status(filled):
    sentence = 'ca_owner = "Sectigo Ltd": Radar\'s catalogue has no such owner; nearest: "Sectigo Limited"'
    assert sentence in filled.call("config", "check").stderr
    assert any(sentence in warning for warning in filled.json("status")["warnings"])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("logs", "argon"), 2, "no log 'argon'; nearest: \"google-argon2026h1\""),
        (("logs", "google"), 2, "several logs match 'google'"),
        (("authorities", "--refresh", "--as-of", "1d"), 2, "use one of them"),
        (("authorities", "--as-of", "tomorrow"), 2, "--as-of"),
        (("values", "ca_ower"), 2, 'did you mean "ca_owner"'),
        (("logs", "--refresh", "nope"), 2, "no log 'nope'"),
    ],
)
def test_wrong_usage_is_named(filled, arguments, code, text):
    assert text in filled.call(*arguments, expect=code).stderr


def test_an_empty_store_says_how_to_get_the_lists_and_an_old_one_how_to_upgrade(tmp_path):
    with simulating(siblings="no route") as (_, url):  # it has no lists
        collector = Collector(tmp_path, url, catalogue=True)
        collector.configure(profile_toml("all", "1h", 1))
        assert "there is no store" in collector.call("logs", expect=1).stderr
        collector.run("collect")
        assert "`collector logs --refresh` reads it now" in collector.call("logs").stderr
        assert collector.json("authorities") == []
        assert "No route" in collector.run("logs", "--refresh", expect=1).stderr
        assert "could not be read: HTTP 400: No route for that URI" in collector.call("status").stdout
        commands.downgrade(f"sqlite:///{tmp_path}/collector.db", "0011")
        assert "`collector db upgrade`" in collector.call("logs", expect=1).stderr


async def test_a_copy_has_the_lists_with_their_history(filled, tmp_path):
    assert copy(f"sqlite:///{filled.folder}/collector.db", f"sqlite:///{tmp_path}/copy.db").digest
    async with Store.open(f"sqlite:///{tmp_path}/copy.db", owner=None) as store:
        (argon,) = await store.catalogue_entries("logs", None, "google-argon2026h1")
    assert argon.changed_at > argon.first_seen
