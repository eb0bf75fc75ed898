"""Which buckets are compared, and what becomes of runs: pure functions of `rules.proof`."""

from collector.rules.proof import (
    CHANGED,
    DIFFERS,
    MISSING,
    PROVEN,
    ProofRun,
    divide,
    first_buckets,
    judge,
    reopened,
    replaced,
    reread,
)

RUNS = [ProofRun(0, 4, PROVEN), ProofRun(4, 6, DIFFERS, 9.0), ProofRun(6, 8, MISSING), ProofRun(8, 9, CHANGED, 5.0)]


def test_what_is_not_final_any_more_waits_and_what_is_missing_is_looked_at_again():
    runs, due = divide(RUNS, [(0, 3), (5, 12)])
    assert runs == [
        ProofRun(0, 3, PROVEN),
        ProofRun(3, 4, CHANGED),
        ProofRun(4, 5, CHANGED, 9.0),
        ProofRun(5, 6, DIFFERS, 9.0),
        *RUNS[2:],
    ]
    assert due == [(6, 12)]


def test_a_few_buckets_at_a_time_reach_the_end_also_behind_missing_ones():
    windows, after, steps = [(0, 3), (6, 12)], 0, []
    while chosen := first_buckets(windows, after, 2, 1):
        steps.append(chosen)
        after = chosen[-1][1]
    assert steps == [[(0, 2)], [(2, 3), (6, 7)], [(7, 9)], [(9, 11)], [(11, 12)]]


def test_a_bucket_is_read_again_once_until_it_is_proven():
    known = [ProofRun(0, 3, DIFFERS)]
    marked = reread(known, [(0, 2)], 7.0)
    assert marked == [ProofRun(0, 2, DIFFERS, 7.0), ProofRun(2, 3, DIFFERS)]
    changed = reopened(marked, [1], 1)
    assert changed[1] == ProofRun(1, 2, CHANGED, 7.0)
    still = replaced(changed, judge([(1, 2)], 1, {1: 5.0}, {1: 6.0}), 1)
    assert still == marked
    assert replaced(
        changed, judge([(0, 3)], 1, dict.fromkeys(range(3), 0.1 + 0.2), dict.fromkeys(range(3), 0.3)), 1
    ) == [ProofRun(0, 3, PROVEN)]
