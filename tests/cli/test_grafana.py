import json

import pytest
from click.testing import CliRunner

from collector.cli.main import command


@pytest.mark.parametrize("what", ["dashboard", "postgres", "alerts"])
def test_it_prints_one_document_and_needs_no_configuration(what):
    done = CliRunner().invoke(command, ["grafana", what])
    assert done.exit_code == 0
    assert json.loads(done.stdout)


def test_an_unknown_argument_is_rejected_with_the_known_ones():
    done = CliRunner().invoke(command, ["grafana", "other"])
    assert done.exit_code == 2
    assert "'dashboard', 'postgres', 'alerts'" in done.stderr
