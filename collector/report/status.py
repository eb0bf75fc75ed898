"""The status document: service, profiles, store, request budget, replicas. It is read from the store alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.report import proof
from collector.report.catalogue import shortened, state_documents, state_warnings
from collector.report.gaps import gaps_of_profiles
from collector.report.readiness import (
    GRACE,
    Wait,
    current_wait,
    due_past_grace,
    find_stalls,
    is_healthy,
    owed_since,
    upstream_wait,
)
from collector.report.warnings import (
    SpellingCheck,
    clock_seconds,
    clock_warnings,
    deviation_document,
    grid_documents,
    grid_warnings,
    replay_warnings,
    unit_warnings,
)
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.profile import Profile
    from collector.report.readiness import Stall
    from collector.rules.clock_difference import ClockDifference
    from collector.rules.edge import Edge
    from collector.store import (
        Fire,
        ListState,
        PassRecord,
        ProfileStatus,
        ProofCount,
        Reader,
        ReadView,
        Replica,
        ServiceState,
    )


_FROZEN_AFTER = timedelta(minutes=2)
_UNUSUAL_LAG = timedelta(hours=3)


class StateFacts(NamedTuple):
    """What decides the state of one profile, in addition to its row.

    *failed*: its newest requests failed. *wait*: why its requests wait, if it has to send any. *stall*: Radar has no
    new data. *missing*: the number of absent buckets. *relative*: its values are relative to one answer.
    """

    failed: bool = False
    wait: Wait | None = None
    stall: Stall | None = None
    missing: int = 0
    relative: bool = False


@dataclass(slots=True)
class _StoreFacts:
    """What is read once for all profiles."""

    gaps: dict[str, Counter[str]]
    relative: set[Question]
    fires: dict[str, Fire]
    stalls: dict[str, Stall]
    unconfirmed: dict[str, int]
    proof: dict[Question, ProofCount]
    edges: dict[Question, Edge]
    service: ServiceState | None
    wait: Wait | None
    lists: Sequence[ListState]
    clock: ClockDifference
    pauses: dict[Question, Wait] = field(default_factory=dict)


async def status_document(
    store: Reader, profiles: Sequence[Profile], limit: int, now: datetime, spelling: SpellingCheck | None = None
) -> dict[str, Any]:
    """Return the document of `collector status --format json`; times are aware datetimes.

    *spelling* caches earlier results; without it every text filter is checked.
    """
    spelling = spelling or SpellingCheck()
    return await store.with_read_view(lambda view: _document(view, profiles, limit, now, spelling))


def _document(
    store: ReadView, profiles: Sequence[Profile], limit: int, now: datetime, spelling: SpellingCheck
) -> dict[str, Any]:
    grids = store.learned_grids()
    profiles = store.placed(profiles)
    rows = store.status_rows(profiles)
    facts = _read(store, profiles, rows, limit, now)
    documents = [_profile(store, profile, row, facts, now) for profile, row in zip(profiles, rows, strict=True)]
    for document in documents:
        document["clock_difference_seconds"] = clock_seconds(facts.clock.named)
    info, budget, radar = store.info(), store.budget(now, limit), store.upstream(now)
    upstream = upstream_wait(budget, radar, now)
    return {
        "service": _service(facts.service),
        "commands": store.commands(),
        "warnings": _warnings(store, profiles, facts, now, spelling)
        + proof.warnings({document["name"]: document["proof"] for document in documents})
        + grid_warnings(grids, [profile.agg_interval for profile in profiles], store.former_grids()),
        "grids": grid_documents(grids),
        "publication": [
            {
                "agg_interval": interval.value,
                "published_after_seconds": after,
                "revised_until_seconds": until,
                "due_after_seconds": due,
            }
            for interval, (after, until, due) in store.publication_times().items()
        ],
        "deviations": [deviation_document(deviation) for deviation in store.deviations()],
        "waiting": _waiting(facts.wait),
        "profiles": documents,
        "store": {
            "backend": info.backend,
            "revision": info.revision,
            "points": info.points,
            "bytes": info.bytes,
        },
        "budget": {
            "limit": budget.limit,
            "used": budget.used,
            "window_seconds": budget.window_seconds,
            "blocked_until": upstream.until if upstream else None,
        },
        "upstream": {"state": radar.state, "reason": radar.reason, "asked_again_at": radar.probe_at},
        "catalogue": state_documents(facts.lists),
        "replicas": [_replica(replica) for replica in store.list_replicas()],
    }


def _read(
    store: ReadView, profiles: Sequence[Profile], rows: Sequence[ProfileStatus], limit: int, now: datetime
) -> _StoreFacts:
    queries = [series.query for profile in profiles for series in profile.series]
    gaps = {profile.name: Counter[str]() for profile in profiles}
    for gap in gaps_of_profiles(store, profiles, rows, now):
        gaps[gap.profile][gap.reason] += gap.buckets
    paused = store.paused(queries, now)
    return _StoreFacts(
        gaps=gaps,
        relative=store.relative_queries(queries),
        fires=store.last_fires([profile.name for profile in profiles]),
        stalls=find_stalls(store, profiles, rows, now),
        unconfirmed=store.unconfirmed(profiles),
        proof=store.proof_counts([query for query in queries if query.has_groups]),
        edges=store.edges(queries),
        service=store.service(),
        wait=current_wait(store, limit, now),
        lists=store.catalogue_states(),
        clock=store.clock_difference(),
        pauses={query: Wait("refused", pause.until, pause.reason) for query, pause in paused.items()},
    )


def _warnings(
    store: ReadView, profiles: Sequence[Profile], facts: _StoreFacts, now: datetime, spelling: SpellingCheck
) -> list[str]:
    """Return sentences for the operator on problems that no state of a profile shows."""
    warnings: list[str] = []
    service = facts.service
    if service and service.running and service.seen_at and now - service.seen_at > _FROZEN_AFTER:
        warnings.append(f"the service {service.name} has not renewed its heartbeat since {_moment(service.seen_at)}")
    warnings += spelling.warnings(store, profiles, now).values()
    warnings += shortened(spelling.names.warnings(store, profiles, now))
    warnings += state_warnings(facts.lists)
    queries = [series.query for profile in profiles for series in profile.series]
    warnings += unit_warnings(profiles, store.unit_changes(queries))
    warnings += clock_warnings(facts.clock.named)
    warnings += [verdict.sentence() for verdict in store.normalizations()]
    return warnings + replay_warnings(store.bodies(waiting=True))


def _moment(moment: datetime) -> str:
    return rfc3339(moment.replace(microsecond=0))


def _service(service: ServiceState | None) -> dict[str, Any] | None:
    if service is None:
        return None
    names = ("running", "since", "last_progress", "name", "version")
    return {name: getattr(service, name) for name in names}


def _replica(replica: Replica) -> dict[str, Any]:
    return {
        "name": replica.name,
        "version": replica.version,
        "profiles": list(replica.profiles),
        "started_at": replica.started_at,
        "working_on": list(replica.working_on),
    }


def _waiting(wait: Wait | None, since: datetime | None = None) -> dict[str, Any] | None:
    if wait is None:
        return None
    moment = {} if since is None else {"since": since}
    return {"reason": wait.reason, "until": wait.until, "message": wait.message, **moment}


def _profile(
    store: ReadView, profile: Profile, row: ProfileStatus, facts: _StoreFacts, now: datetime
) -> dict[str, Any]:
    queries, answered_at = [series.query for series in profile.series], row.last_success
    row = _with_fire(row, facts.fires.get(profile.name))
    failed = row.failures > 0 or _is_failed(store, profile, facts.fires.get(profile.name))
    is_owed = failed or row.last_success is None or row.last_success < profile.counts_from(profile.due(now))
    gaps = facts.gaps[profile.name]
    relative = any(query in facts.relative for query in queries)
    wait = facts.wait if is_owed else None
    stall = facts.stalls.get(profile.name)
    state = profile_state(profile, row, StateFacts(failed, wait, stall, gaps["missing"], relative), now)
    if profile.takes_snapshots and state != "waiting":
        state, row = snapshot_state(store, profile, row, now)
        answered_at = row.last_success
        state = "stale" if state == "snapshot" and stall else state
    state = state if profile.enabled else "paused"
    wait = wait if state == "waiting" else _pause(queries, facts) if profile.enabled else None
    since = owed_since(profile, row, now)
    return {
        "name": row.name,
        "agg_interval": row.agg_interval,
        "series": row.series,
        "points": row.points,
        "first_point": row.first_point,
        "last_point": row.last_point,
        "last_success": answered_at,
        "lag_seconds": lag_seconds(profile, row, now) if profile.enabled else None,
        "gaps": gaps["missing"],
        "upstream_gaps": gaps["upstream"],
        "unconfirmed": facts.unconfirmed.get(profile.name, 0),
        "proof": proof.count(profile, facts.proof),
        "history_begins": history_begins(queries, facts.edges),
        "failures": row.failures,
        "next_fire": profile.next_due(now) if profile.enabled and _is_collected(facts.service, profile) else None,
        "state": state,
        "waiting": _waiting(wait, since),
        "healthy": is_healthy(state, since, profile.agg_interval.step, now),
    }


def _with_fire(row: ProfileStatus, fire: Fire | None) -> ProfileStatus:
    """Count a collected fire as a success, because all its series may have waited for Radar to publish a bucket."""
    if row.last_success is None or fire is None or fire.outcome != "collected":
        return row
    return replace(row, last_success=max(row.last_success, fire.finished_at))


def history_begins(queries: Sequence[Question], edges: Mapping[Question, Edge]) -> datetime | None:
    """Return when Radar's own history of *queries* begins, the earliest; None unless it is known for each."""
    accepted = [edge for query in queries if (edge := edges.get(query)) and edge.is_accepted]
    return from_epoch(min(edge.begins for edge in accepted)) if accepted and len(accepted) == len(queries) else None


def _is_collected(service: ServiceState | None, profile: Profile) -> bool:
    """Return whether a running service collects *profile*, as far as the store knows."""
    return service is not None and service.running and (service.profiles is None or profile.name in service.profiles)


def _pause(queries: Sequence[Question], facts: _StoreFacts) -> Wait | None:
    """Return the pause that ends last of those of *queries*."""
    pauses = (facts.pauses[query] for query in queries if query in facts.pauses)
    return max(pauses, key=lambda pause: pause.until, default=None)


def lag_seconds(profile: Profile, row: ProfileStatus, now: datetime) -> float | None:
    """Return the seconds from the end of the newest stored bucket to the end of the newest one that should be stored.

    A bucket should be stored when the usual lag of Radar, the publication delay and two minutes have passed since its
    end, and two minutes since its due moment. Of several series, the one that is furthest behind counts. 0 if nothing
    is late, None if a series has no point.
    """
    if row.last_point is None:
        return None
    behind = row.behind if row.behind < _UNUSUAL_LAG else timedelta(0)  # because it counts until a usual lag is known
    usual = behind if row.usual_lag is None else row.usual_lag
    delay = max(usual + profile.publication_delay, profile.due_delay)
    published = profile.grid.floor(now - row.ahead - delay - GRACE)
    return max((published - row.last_point - profile.agg_interval.step).total_seconds(), 0.0)


def profile_state(profile: Profile, row: ProfileStatus, facts: StateFacts, now: datetime) -> str:
    """Return one word: `waiting`, `failing`, `new`, `late`, `stale`, `gaps`, `relative` or `fresh`.

    The first that is true counts. A profile whose requests wait for Radar is `waiting`, even if its newest requests
    failed. If they wait for the budget, it is `waiting` only if its newest requests did not fail.
    """
    due = due_past_grace(profile.due(now), profile.agg_interval.step, now)
    is_late = row.last_success is not None and row.last_success < profile.counts_from(due)
    states = {
        "waiting": facts.wait is not None and (facts.wait.is_upstream or not facts.failed),
        "failing": facts.failed,
        "new": row.last_success is None,
        "late": is_late,
        "stale": facts.stall is not None,
        "gaps": facts.missing > 0,
        "relative": facts.relative,  # because no two answers can be joined to a history
    }
    return next((state for state, holds in states.items() if holds), "fresh")


def _is_failed(store: ReadView, profile: Profile, fire: Fire | None) -> bool:
    """Return whether the last fire failed and its buckets have not been answered since."""
    if fire is None or fire.outcome != "failed":
        return False
    queries = [series.query for series in profile.series]
    covered_at = store.last_covered_at(queries, fire.due - profile.agg_interval.step)
    return any(query not in covered_at or covered_at[query] <= fire.finished_at for query in queries)


_DAY = timedelta(days=1)


def snapshot_state(store: ReadView, profile: Profile, row: ProfileStatus, now: datetime) -> tuple[str, ProfileStatus]:
    """Return the state of *profile*, and its *row* with the time of the snapshot as last success."""
    snapshots = store.snapshots([series.query for series in profile.series])
    complete = all(series.query in snapshots for series in profile.series)
    asked_at = min(snapshot.asked_at for snapshot in snapshots.values()) if complete else None
    word = snapshot_word(profile, asked_at, store.snapshot_record(profile.name), now)
    return word, replace(row, last_success=asked_at)


def snapshot_word(profile: Profile, asked_at: datetime | None, record: PassRecord, now: datetime) -> str:
    """Return `failing` if the last pass failed, `new` before the first, `late` after a missed one, else `snapshot`.

    *asked_at* is when the newest snapshot of each series was requested, the earliest; None if a series has none.
    """
    if record.failures:
        return "failing"
    if asked_at is None:
        return "new"
    due = due_past_grace(profile.due(now), profile.agg_interval.step, now)
    return "late" if asked_at + (_DAY if record.daily else timedelta(0)) < profile.counts_from(due) else "snapshot"
