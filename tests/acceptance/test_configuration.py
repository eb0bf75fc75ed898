"""Everything that is wrong with a configuration is said in one run."""

from tests.harness.processes import profile_toml


def test_every_problem_is_reported_at_once_with_its_line_and_exit_2(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(
        profile_toml("misspelt", more='[profiles.filters]\nca_ownr = ["DigiCert, Inc."]'),
        profile_toml("wrong-value", more='[profiles.filters]\nvalidation_level = ["DOMAINS"]'),
        profile_toml("impossible", more='[profiles.filters]\ntld = ["com"]\nlog = ["Argon2026"]'),
        profile_toml("twice"),
        profile_toml("twice", "1d"),
        profile_toml("interval", "5m"),
        radar='api_token_file = "there-is-no-such-file"\nconcurency = 3',
    )
    for command in ("collect", "run", "status"):
        ask = collector.run if command == "run" else collector.call
        report = ask(command, expect=2, environ={"CLOUDFLARE_API_TOKEN": ""}).stderr
        for told in (
            'did you mean "ca_owner"?',
            'did you mean "DOMAIN"?',
            "tld",
            "twice",
            "there-is-no-such-file",
            '"concurrency"',
            "15m, 1h, 1d, 1w",
        ):
            assert told in report, report
        line = collector.config.read_text().splitlines().index('ca_ownr = ["DigiCert, Inc."]') + 1
        assert f"config.toml:{line}" in report
    assert simulator.requests == []
    assert not (collector.folder / "collector.db").exists()


def test_a_misspelt_environment_variable_is_not_ignored(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    done = collector.call("collect", expect=2, environ={"COLLECTOR_RADAR__REQUESTS_PER_5MINS": "3"})
    assert "COLLECTOR_RADAR__REQUESTS_PER_5MIN" in done.stderr


def test_without_credentials_what_only_reads_works_and_what_asks_refuses(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    asked = len(simulator.requests)
    collector.token = ""
    assert "CLOUDFLARE_API_TOKEN" in collector.call("collect", expect=2).stderr
    assert "CLOUDFLARE_API_TOKEN" in collector.run("run", expect=2).stderr
    assert collector.json("status")["profiles"][0]["points"] > 0
    assert len(simulator.requests) == asked


def test_a_key_and_its_address_do_as_well_as_a_token(tmp_path):
    from tests.harness.processes import CANARY, Collector, simulating

    with simulating(token=None, email_and_key=("me@example.com", CANARY)) as (simulator, url):
        collector = Collector(tmp_path, url, token="")
        collector.configure(profile_toml())
        collector.run("collect", environ={"CLOUDFLARE_EMAIL": "me@example.com", "CLOUDFLARE_API_KEY": CANARY})
        assert {received.status for received in simulator.requests} == {200}
        collector.assert_no_canary()
