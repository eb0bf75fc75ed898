"""proof: the command, after one collection with a simulator whose groups lie in one hour."""

from datetime import timedelta

from collector.simulator import WrongGroups
from collector.timestamps import rfc3339
from tests.harness.processes import Collector, midnight, profile_toml, simulating


def test_it_works(tmp_path):
    start = midnight(20)
    with simulating(wrong_groups=WrongGroups(start, start + timedelta(hours=1), 5)) as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml(days=21), profile_toml("owners", days=21, more='dimension = "CA_OWNER"'))
        collector.run("collect")
    rows = collector.json("proof", "owners", "--end", "16d")
    assert [(row["state"], row["difference"]) for row in rows] == [("proven", None), ("differing", 5), ("proven", None)]
    table = collector.call("proof").stdout
    assert "not_comparable" in table
    assert "young: one of the two values is not final yet" in table
    lines = collector.call("proof", "--format", "csv", "--end", "16d").stdout.splitlines()
    assert lines[0] == "profile,series,dimension,start,end,buckets,state,difference,reason,reread_at"
    between = collector.json("proof", "--start", rfc3339(start - timedelta(minutes=1)), "--end", "16d")
    assert next((row["difference"], row["buckets"]) for row in between) == (5, 1)
    assert ",1,differing,5.0,," in lines[2]
    refused = collector.call("proof", "all", expect=2)
    assert "the profile 'all' has no dimension, so there are no groups to compare" in refused.stderr
