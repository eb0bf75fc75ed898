from datetime import UTC, datetime

import pytest

from tests.campaign import GROUPS, ROOT, Row, arguments, row, table

REPORT = """
<testsuites><testsuite>
  <testcase name="sound"><system-out>COLLECTOR_TEST_SEED=1 repeats this run</system-out></testcase>
  <testcase name="broken"><failure>no</failure><system-out>COLLECTOR_TEST_SEED=2 repeats it</system-out></testcase>
  <testcase name="ill"><error>no</error></testcase>
  <testcase name="left out"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_a_report_becomes_a_row_with_the_seeds_of_what_failed():
    assert row("x", REPORT, 7) == Row("x", 3, 2, 7, ("COLLECTOR_TEST_SEED=2",))


def test_rows_become_a_table():
    rows = [Row("this", 2, 0, 6.6), Row("that", 3, 1, 60, ("COLLECTOR_TEST_SEED=2",))]
    assert table(rows, datetime(2026, 11, 25, tzinfo=UTC)).splitlines()[2:] == [
        "| this | 2 | 0 | 7 | 2026-11-25 |",
        "| that | 3 | 1 `COLLECTOR_TEST_SEED=2` | 60 | 2026-11-25 |",
    ]


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_has_files_with_long_forms(name):
    for file in GROUPS[name].files:
        assert "mark.campaign" in (ROOT / "tests" / file).read_text()


def test_all_that_is_in_no_group_is_in_the_rest():
    _, rest = arguments("rest")
    assert {path.removeprefix("--ignore=tests/") for path in rest[1:]} == {f for g in GROUPS.values() for f in g.files}
