import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from collector.cli.main import command


@pytest.mark.parametrize("what", ["dashboard", "postgres", "sqlite", "alerts"])
def test_it_prints_one_document_and_needs_no_configuration(what):
    done = CliRunner().invoke(command, ["grafana", what])
    assert done.exit_code == 0
    assert json.loads(done.stdout)


def test_an_unknown_argument_is_rejected_with_the_known_ones():
    done = CliRunner().invoke(command, ["grafana", "other"])
    assert done.exit_code == 2
    assert "'dashboard', 'postgres', 'sqlite', 'alerts', 'provisioning'" in done.stderr


def _provision(tmp_path, url, *options):
    (tmp_path / "config.toml").write_text(f"[database]\nurl = '{url}'\n")
    argv = ["grafana", "provisioning", "-o", str(tmp_path / "out"), "--config", str(tmp_path / "config.toml"), *options]
    done = CliRunner().invoke(command, argv)
    assert done.exit_code == 0, done.stderr
    return {str(path.relative_to(tmp_path / "out")): path.read_text() for path in (tmp_path / "out").rglob("*.*")}


def test_provisioning_writes_data_sources_and_dashboards_that_fit_together(tmp_path):
    files = _provision(tmp_path, f"sqlite:///{tmp_path}/a$b.db", "--prometheus", "http://prometheus:9090")
    sources = yaml.safe_load(files["datasources/radar-collector.yaml"])
    assert sources["apiVersion"] == 1
    store, prometheus = sources["datasources"]
    assert store["jsonData"]["path"] == f"{tmp_path}/a$$b.db"  # Grafana reads $b as a variable
    assert store["jsonData"]["pathOptions"] == "mode=ro"
    assert prometheus["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(files["dashboards/radar-collector.yaml"])["providers"]
    below = Path(provider["options"]["path"]).relative_to(tmp_path / "out")
    dashboards = {name: json.loads(text) for name, text in files.items() if Path(name).parent == below}
    kinds = {each["templating"]["list"][0]["query"] for each in dashboards.values()}
    assert kinds == {store["type"], prometheus["type"]}
    assert len({each["uid"] for each in dashboards.values()}) == 2


def test_the_password_of_the_store_is_in_no_file(tmp_path):
    files = _provision(tmp_path, "postgresql://collector:s3cret-word@db.example:6432/radar?sslmode=require")
    store = yaml.safe_load(files["datasources/radar-collector.yaml"])["datasources"][0]
    assert store["url"] == "db.example:6432"
    assert store["jsonData"] == {"database": "radar", "sslmode": "require"}
    assert store["user"] == "grafana"
    assert store["secureJsonData"] == {"password": "$COLLECTOR_GRAFANA_PASSWORD"}
    assert not [name for name, text in files.items() if "s3cret-word" in text]


def test_options_that_do_not_fit_are_rejected(tmp_path):
    missing = CliRunner().invoke(command, ["grafana", "provisioning"])
    assert (missing.exit_code, "Missing option '-o FOLDER'" in missing.stderr) == (2, True)
    other = CliRunner().invoke(command, ["grafana", "alerts", "-o", str(tmp_path)])
    assert (other.exit_code, "only for `collector grafana provisioning`" in other.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    (tmp_path / "config.toml").write_text("")
    argv = ["grafana", "provisioning", "-o", str(tmp_path / "file"), "--config", str(tmp_path / "config.toml")]
    done = CliRunner().invoke(command, argv)
    assert (done.exit_code, done.stderr.startswith("collector: cannot write ")) == (2, True), done.stderr
