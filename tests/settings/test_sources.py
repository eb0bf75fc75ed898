from datetime import timedelta

import pytest

from collector.settings import Secret
from collector.settings.sources import VARIABLES, unknown_variables


@pytest.mark.parametrize(
    ("expected", "name", "text"),
    [
        (timedelta(seconds=90), "COLLECTOR_RADAR__TIMEOUT", "90s"),
        (5, "COLLECTOR_RADAR__CONCURRENCY", "5"),
        (False, "COLLECTOR_DATABASE__UPGRADE", "false"),
        (False, "COLLECTOR_COLLECTION__HEAL", "Off"),
        (True, "COLLECTOR_SERVER__ANONYMOUS_READ", "1"),
        (0, "COLLECTOR_SERVER__PORT", "0"),
        ("json", "COLLECTOR_LOG__FORMAT", "json"),
    ],
)
def test_a_variable_sets_a_key(expected, name, text, load):
    section, _, key = name.removeprefix("COLLECTOR_").lower().partition("__")
    assert getattr(getattr(load(environ={name: text}), section), key) == expected


@pytest.mark.parametrize(
    ("expected", "name", "text"),
    [
        ('found "5.0"; allowed: a whole number', "COLLECTOR_RADAR__CONCURRENCY", "5.0"),
        ('found " 5"; allowed', "COLLECTOR_RADAR__CONCURRENCY", " 5"),
        ('found "\u0665"; allowed', "COLLECTOR_RADAR__CONCURRENCY", "\u0665"),
        ('found "maybe"; allowed: true or false', "COLLECTOR_DATABASE__UPGRADE", "maybe"),
        ('found "30": not a duration; allowed', "COLLECTOR_RADAR__TIMEOUT", "30"),
        ('found "PT30S": not a duration; allowed', "COLLECTOR_RADAR__TIMEOUT", "PT30S"),
        ('found "{\\"a\\": 1}"; allowed', "COLLECTOR_LOG__LEVEL", '{"a": 1}'),
        ("it contains a blank, a line break", "CLOUDFLARE_API_TOKEN", "hunter22 \n"),
        ("it contains a blank, a line break", "CLOUDFLARE_API_TOKEN", "Bearer hunter22"),
        ("it contains a blank, a line break", "CLOUDFLARE_API_TOKEN", "hunter22ä"),
        ("it is blank", "CLOUDFLARE_API_TOKEN", "  "),
        ("it is shorter than 16 characters; allowed: 16 or more", "COLLECTOR_SERVER__TOKEN", "hunter22"),
        ("this kind of database is not supported", "COLLECTOR_DATABASE__URL", "mysql://u:hunter22@h/d"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(expected, name, text, report):
    (line,) = report(environ={name: text})
    assert line.startswith(f"environment: {name}: {expected}")
    assert "hunter22" not in line


def test_an_empty_variable_counts_as_not_set(load):
    settings = load(environ={"CLOUDFLARE_API_TOKEN": "", "COLLECTOR_RADAR__TIMEOUT": "", "COLLECTOR_CONFIG": ""})
    assert settings.radar.credentials is None
    assert settings.radar.timeout == timedelta(seconds=30)


def test_a_list_in_a_variable_has_commas(load):
    settings = load(environ={"COLLECTOR_SERVER__HOSTS": "collector, Radar.example"})
    assert settings.server.hosts == ["collector", "radar.example"]


def test_a_misspelt_variable_is_refused(report):
    (line,) = report(environ={"COLLECTOR_RADAR__TIMOUT": "5s"})
    assert line.startswith('environment: COLLECTOR_RADAR__TIMOUT: unknown variable (did you mean "COLLECTOR_RADAR__TI')


def test_a_variable_may_name_a_file_for_any_key(load, secret_file):
    environ = {
        "CLOUDFLARE_API_TOKEN_FILE": str(secret_file("token", "t0ken\n")),
        "COLLECTOR_DATABASE__URL_FILE": str(secret_file("url", "postgresql://u:pw@h/d\n")),
        "COLLECTOR_RADAR__TIMEOUT_FILE": str(secret_file("timeout", "5s", 0o644)),
    }
    settings = load(environ=environ)
    assert settings.radar.credentials.headers() == {"Authorization": "Bearer t0ken"}
    assert settings.database.url == Secret("postgresql://u:pw@h/d")
    assert settings.radar.timeout == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("reason", "content", "mode"),
    [
        ("every user can read it (run chmod o-rwx on it)", "t0ken", 0o644),
        ("it is empty", "", 0o600),
        ("it contains more than one line", "hunter22\nhunter22\n", 0o600),
        ("it is not UTF-8 text (line 1)", b"\xff", 0o600),
    ],
)
def test_a_token_file_that_cannot_be_trusted_is_refused(reason, content, mode, report, secret_file):
    path = secret_file("token", content, mode)
    (line,) = report(environ={"CLOUDFLARE_API_TOKEN_FILE": str(path)})
    assert line.startswith(f'environment: CLOUDFLARE_API_TOKEN_FILE: found "{path}": {reason}; allowed: a file that o')
    assert "hunter22" not in line


def test_the_content_of_a_file_is_checked_like_any_value(report, secret_file):
    (line,) = report(environ={"CLOUDFLARE_API_TOKEN_FILE": str(secret_file("token", "hünter22"))})
    assert line.startswith(
        "environment: CLOUDFLARE_API_TOKEN_FILE: it contains a blank, a line break or a character that"
    )


def test_a_missing_token_file_is_refused(report):
    (line,) = report(environ={"CLOUDFLARE_API_TOKEN_FILE": "/nowhere/token"})
    assert 'found "/nowhere/token": there is no such file' in line


def test_a_token_in_place_of_its_file_is_not_shown(report):
    token = "v1-0123456789abcdefghijklmnopqrstuvwxyzAB"
    assert token not in "".join(report(environ={"CLOUDFLARE_API_TOKEN_FILE": token}))


def test_mounted_secrets_are_found_by_the_names_of_variables(load, mounted):
    for name, text in (("CLOUDFLARE_API_TOKEN", "t0ken\n"), ("collector_database__url", "postgresql://u:pw@h/d")):
        (mounted / name).write_text(text)
    (mounted / "somebody-elses").write_text("x")
    (mounted / "..data").mkdir()
    settings = load()
    assert settings.radar.credentials.headers() == {"Authorization": "Bearer t0ken"}
    assert settings.database.url.reveal() == "postgresql://u:pw@h/d"


def test_another_secrets_directory_can_be_named(load, folder, secret_file):
    (folder / "mine").mkdir()
    secret_file("mine/cloudflare_api_token", "t0ken")
    assert load(environ={"COLLECTOR_SECRETS_DIR": "mine"}).radar.credentials is not None


def test_a_misspelt_secret_and_a_missing_directory_are_refused(report, mounted):
    (mounted / "collector_database_url").write_text("x")
    (line,) = report()
    assert line.startswith(
        f'{mounted}/collector_database_url: unknown variable (did you mean "COLLECTOR_DATABASE__URL"'
    )
    (line,) = report(environ={"COLLECTOR_SECRETS_DIR": "/nowhere"})
    assert line.startswith('environment: COLLECTOR_SECRETS_DIR: found "/nowhere": it cannot be read; allowed: a dir')


def test_a_wrong_secret_is_refused_by_its_file(report, mounted):
    (mounted / "collector_radar__timeout").write_text("soon")
    (line,) = report()
    assert line.startswith(f'{mounted}/collector_radar__timeout: radar.timeout: found "soon": not a duration; allowed')


def test_the_command_line_overrides_and_none_does_not(load):
    settings = load(
        overrides={"server.port": 9000, "server.host": None, "radar.timeout": "5s", "server.enabled": False}
    )
    assert (settings.server.port, settings.server.host, settings.server.enabled) == (9000, "127.0.0.1", False)
    assert settings.radar.timeout == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("expected", "overrides"),
    [
        ("command line: server.port: found 70000; allowed: a whole number", {"server.port": 70_000}),
        ('command line: server.prt: unknown key (did you mean "port"?); allowed: enabled', {"server.prt": 1}),
        ('command line: servr: unknown key (did you mean "server"?); allowed: radar', {"servr.port": 1}),
    ],
)
def test_a_wrong_override_is_refused(expected, overrides, report):
    (line,) = report(overrides=overrides)
    assert line.startswith(expected)


def test_each_source_overrides_the_next_one(load, mounted, secret_file):
    environ, overrides = {}, {}
    give = [
        ("30s", lambda: ""),
        ("1m", lambda: '[radar]\ntimeout = "1m"'),
        ("2m", lambda: (mounted / "collector_radar__timeout").write_text("2m")),
        ("3m", lambda: environ.update(COLLECTOR_RADAR__TIMEOUT_FILE=str(secret_file("timeout", "3m")))),
        ("4m", lambda: environ.update(COLLECTOR_RADAR__TIMEOUT="4m")),
        ("5m", lambda: overrides.update({"radar.timeout": "5m"})),
    ]
    text = ""
    for expected, step in give:
        given = step()
        text = given if isinstance(given, str) and given else text
        timeout = load(text, environ, overrides).radar.timeout
        assert timeout == timedelta(seconds=30 if expected == "30s" else 60 * int(expected[0]))


def test_our_own_name_of_the_token_goes_before_cloudflares(load):
    environ = {"COLLECTOR_RADAR__API_TOKEN": "ours", "CLOUDFLARE_API_TOKEN": "theirs"}
    assert load(environ=environ).radar.credentials.headers() == {"Authorization": "Bearer ours"}


def test_a_file_that_is_not_needed_need_not_exist(load):
    settings = load('[radar]\napi_token_file = "/nowhere"', {"CLOUDFLARE_API_TOKEN": "t0ken"})
    assert settings.radar.credentials.headers() == {"Authorization": "Bearer t0ken"}


@pytest.mark.parametrize(
    ("reason", "token"),
    [
        ("it is in quotes", '"0123456789abcdefghij"'),
        ("it is in quotes", "'0123456789abcdefghij'"),
        ("it is in quotes", "0123456789abcdefghij'"),
        ("it is a placeholder", "<your_token>"),
        ("it is a placeholder", "your-api-token-here"),
        ("it is a placeholder", "YOUR_API_TOKEN"),
        ("it is a placeholder", "${CLOUDFLARE_API_TOKEN}"),
        ("it is a placeholder", "{{token}}"),
        ("it is a placeholder", "changeme"),
        ("it is a placeholder", "xxxxxxxx"),
        ("it is an assignment", "CLOUDFLARE_API_TOKEN=0123456789abcdefghij"),
    ],
)
def test_placeholders_are_no_tokens(report, secret_file, reason, token):
    for environ in ({"CLOUDFLARE_API_TOKEN": token}, {"CLOUDFLARE_API_TOKEN_FILE": str(secret_file("token", token))}):
        (line,) = report("", environ)
        assert reason in line
        assert token not in line


def test_a_token_is_taken_whatever_its_letters_spell(load):
    for token in ("0123456789abcdefghij_KLMNOPQRST-uvwxyz01", "cfut_yourself0xxxx==", "a$b<c>{d}"):
        assert load("", {"CLOUDFLARE_API_TOKEN": token}).radar.credentials.token.reveal() == token


def test_secrets_are_found_under_both_names_of_the_folder(load, folder, monkeypatch):
    first, second = folder / "run", folder / "var-run"
    for directory, name in (
        (first, "CLOUDFLARE_API_TOKEN"),
        (second, "CLOUDFLARE_API_TOKEN"),
        (second, "COLLECTOR_SERVER__TOKEN"),
    ):
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(f"of-{directory.name}-0123456789")
    monkeypatch.setattr("collector.settings.sources.MOUNTED_SECRETS", (folder / "none", first, second))
    monkeypatch.setattr("collector.settings.values.MOUNTED_SECRETS", (first, second))
    settings = load()
    assert settings.radar.credentials.token.reveal() == "of-run-0123456789"
    assert settings.server.token.reveal() == "of-var-run-0123456789"


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        ('unknown variable (did you mean "COLLECTOR_RADAR__TIMEOUT"?)', "COLLECTOR_RADAR__TIMOUT"),
        ('unknown variable (did you mean "COLLECTOR_SERVER__PORT"?)', "COLLECTOR_SERVER_PORT"),
        ('unknown variable (did you mean "COLLECTOR_RADAR__TIMEOUT"?)', "collector_radar__timeout"),
        ('unknown variable (did you mean "COLLECTOR_DATABASE__URL_FILE"?)', "COLLECTOR_DATABASE_URL_FILE"),
        ('unknown variable (did you mean "COLLECTOR_CONFIG"?)', "COLLECTOR_CONFG"),
        ("unknown variable", "COLLECTOR_XYZZY"),
        ("profiles are not read from the environment", "COLLECTOR_PROFILES__0__NAME"),
        ("profiles are not read from the environment", "COLLECTOR_PROFILE"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(expected, name):
    ((found, text),) = unknown_variables({name: "hunter22"})
    assert found == name
    assert text.startswith(expected)


@pytest.mark.parametrize(
    "name",
    ["COLLECTOR_CONFIG", "COLLECTOR_SECRETS_DIR", "COLLECTOR_TEST_PG_URL", "COLLECTOR_SIMULATE_TOKEN", "PATH", "CI"],
)
def test_other_variables_are_ignored(name):
    assert list(unknown_variables({name: "x"})) == []


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_twin_that_names_a_file(name):
    assert list(unknown_variables({name: "x", f"{name}_FILE": "x"})) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("COLLECTOR_SERVICE_HOST", "10.0.0.1"),
        ("COLLECTOR_SERVICE_PORT", "8080"),
        ("COLLECTOR_SERVICE_PORT_HTTP", "8080"),
        ("COLLECTOR_PORT", "tcp://10.0.0.1:8080"),
        ("COLLECTOR_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("COLLECTOR_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("COLLECTOR_DB_SERVICE_HOST", "10.0.0.1"),
    ],
)
def test_variables_of_kubernetes_for_a_service_named_collector_are_ignored(name, text):
    assert list(unknown_variables({name: text})) == []


def test_a_port_that_kubernetes_would_not_set_is_refused():
    assert [name for name, _ in unknown_variables({"COLLECTOR_PORT": "8080"})] == ["COLLECTOR_PORT"]
