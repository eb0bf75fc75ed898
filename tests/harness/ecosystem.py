"""The preset of the whole ecosystem: its profiles as TOML, and what each of its series should hold."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from collector.cli.commands.config import with_profiles
from collector.datasets import DEFAULT
from collector.model import Question, Window
from collector.settings import load
from collector.simulator import Simulator
from collector.simulator.values import dimension_of
from collector.store.write.catalogue import DETAILS
from collector.timestamps import from_epoch, rfc3339, utc

TOKEN = "canary-token-0123456789-abcdefghijklmnopqrst"


def preset(since=None, settle=None):
    """Return the `[[profiles]]` tables of `config init --preset ecosystem`, with *since* and *settle* added."""
    text = with_profiles("ecosystem")
    tables = text[re.search(r"^\[\[profiles\]\]", text, re.MULTILINE).start() :]
    more = f'since = "{since:%Y-%m-%d}"\n' if since else ""
    more += f'settle = "{settle}"\n' if settle else ""
    return re.sub(r'^agg_interval = "\w+"\n', lambda found: found[0] + more, tables, flags=re.MULTILINE)


def profiles_of(folder, tables=None):
    """Return the profiles of *tables*, by default the preset."""
    path = folder / "preset.toml"
    path.write_text(preset() if tables is None else tables)
    return load(str(path), environ={"CLOUDFLARE_API_TOKEN": TOKEN}).profiles


def by_label(rows):
    """Return {label: {timestamp: value}} of rows of an export; a bucket that is there twice is an error."""
    stored = defaultdict(dict)
    for _, label, timestamp, value in rows:
        assert timestamp not in stored[label], (label, timestamp)
        stored[label][timestamp] = value
    return dict(stored)


@dataclass
class Truth:
    """What each series of *profiles* should hold, by a simulator that is right."""

    simulator: Simulator
    profiles: tuple
    spelt: Callable = str

    def questions(self, profile):
        """Yield (label, question for the same values from the time series) of all that *profile* should have.

        The answers spell a group as *spelt* returns.
        """
        for series in profile.series:
            if not profile.dimension:
                yield series.label, series.query
                continue
            parameter = DEFAULT.dimensions[profile.dimension]
            for group in dimension_of(parameter, self.simulator._history.population).values:
                filters = {**series.query.filters, parameter.name: (group,)}
                yield f"{series.label}/{self.spelt(group)}", Question(profile.agg_interval, filters)

    def problems(self, stored, window, now, *, is_whole=True):
        """Return a sentence for each way in which *stored*, {label: {timestamp: value}}, is wrong at *now*.

        All values are compared; those of *window* must be there. A group may lack buckets in which it has nothing, and
        any bucket unless the answers list all groups, *is_whole*.
        """
        found, unknown = [], {*stored}
        for profile in self.profiles:
            inside = Window(profile.grid.floor(window.start), profile.grid.floor(window.end))
            for label, question in self.questions(profile):
                unknown.discard(label)
                points, right = stored.get(label, {}), self.values(question, inside.start, now)
                wrong = sorted(t for t, value in points.items() if right.get(t) != value)
                needed = {t for t in right if inside.start.timestamp() <= t < inside.end.timestamp()}
                if profile.dimension:
                    needed = {t for t in needed if right[t]} if is_whole else set()
                lacking = sorted(needed - points.keys())
                found += [f"{label}: wrong {_shown(wrong)}"] if wrong else []
                found += [f"{label}: lacks {_shown(lacking)}"] if lacking else []
        return found + [f"{label}: unexpected" for label in sorted(unknown)]

    def values(self, question, start, now):
        """Return {timestamp: value} of all that is published at *now*, from two days before *start*."""
        points = self.simulator.truth(question, Window(start - _EARLIER, from_epoch(now)), now)
        return dict(zip(points.timestamps, points.values, strict=True))


_EARLIER = timedelta(days=2)
"""A pass may read so much before the first bucket that must be there."""


def _shown(timestamps):
    return f"{len(timestamps)} values, the first at {rfc3339(from_epoch(timestamps[0]))}"


_UNCOMPARED = {"fire", "meta"}
_OF_LISTS = {"catalogue", "listed"}


def known_before(dump, end):
    """Return the lines of a *dump* about buckets before *end*, without fires, and of lists without the details.

    How many details are known depends on how long a service has run.
    """
    limit, lines = f"{end:%Y-%m-%dT%H:%M:%SZ}", []
    for line in map(json.loads, dump.splitlines()):
        kind = line[0]
        is_detail = kind in _OF_LISTS and line[3] == DETAILS
        if kind in _UNCOMPARED or is_detail or (kind == "point" and line[1] >= limit):
            continue
        lines.append([kind, line[1], min(line[2], limit)] if kind == "covered" else line)
    return lines


def proven(rows, profile, start):
    """Return until when each bucket of *profile* from *start* on is proven, by *rows* of `proof --format json`."""
    until = rfc3339(start)
    for row in sorted((row for row in rows if row["profile"] == profile), key=lambda row: row["start"]):
        if row["start"] > until or row["state"] != "proven":
            break
        until = row["end"]
    return utc(until)
