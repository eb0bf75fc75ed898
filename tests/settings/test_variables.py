import pytest

from collector.settings.variables import VARIABLES, find_unknown


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
    ((found, text),) = find_unknown({name: "hunter22"})
    assert found == name
    assert text.startswith(expected)


@pytest.mark.parametrize(
    "name",
    ["COLLECTOR_CONFIG", "COLLECTOR_SECRETS_DIR", "COLLECTOR_TEST_PG_URL", "COLLECTOR_SIMULATE_TOKEN", "PATH", "CI"],
)
def test_other_variables_are_let_be(name):
    assert list(find_unknown({name: "x"})) == []


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_twin_that_names_a_file(name):
    assert list(find_unknown({name: "x", f"{name}_FILE": "x"})) == []


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
def test_what_kubernetes_sets_for_a_service_of_our_name_is_let_be(name, text):
    assert list(find_unknown({name: text})) == []


def test_a_port_that_kubernetes_would_not_set_is_refused():
    assert [name for name, _ in find_unknown({"COLLECTOR_PORT": "8080"})] == ["COLLECTOR_PORT"]
