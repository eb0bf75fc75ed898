"""An upstream that revises values up to just before `settle`, and publishes some buckets late; its end is the truth."""

from datetime import timedelta

from collector.contract.response import SLOT
from collector.model import Window
from collector.simulator import GapChange, Simulator, SimulatorOptions
from collector.simulator.history import SimulatedHistory
from collector.timestamps import from_epoch
from tests.harness.collect_core import CALM

LAST_REVISION = 13.5 / 14
"""Of `settle`: the age at which the last values change."""
_LATE = ((0.3, 2.5), (0.02, 30), (0.6, 9))
"""Windows that are published late: where they begin, as a part of the run, and by how many hours."""


class RevisedHistory(SimulatedHistory):
    """Each 15-minute slot has its own moments of revision; what is published before is too low."""

    def __init__(self, options, changes, settle, still_from):
        super().__init__(options, changes)
        self._settle, self._still_from = settle.total_seconds(), still_from

    def _slots(self, filters, start, end, now):
        slots = super()._slots(filters, start, end, now)
        known = min(now, self._still_from)
        first = max(start, int(known - self._settle) // SLOT * SLOT)
        for moment in range(first, end, SLOT):
            at = (moment - start) // SLOT
            pending = sum(known < moment + SLOT + age for age in self._ages(moment))
            slots[at] = max(0, slots[at] - pending * (1 + slots[at] // 64))
        return slots

    def _ages(self, moment):
        """The ages, in seconds, at which a slot is revised."""
        chance = moment // SLOT * 2_654_435_761 % 2**32 >> 28
        parts = (LAST_REVISION,) * (chance < 4) + (1 / 7,) * (3 <= chance < 6) + (0.02, LAST_REVISION) * (chance == 6)
        return [part * self._settle for part in parts]


def make_simulator(clock, start, pace, hole):
    """A simulator whose history is known: nothing is revised in the last two days before *pace* ends."""
    end = start + pace.length
    options = SimulatorOptions(**{**CALM, "lag": timedelta(minutes=45), "annotations": None})
    simulator = Simulator(options, clock.timestamp)
    still_from = (end - timedelta(days=2)).timestamp()
    simulator._history = RevisedHistory(options, simulator._changes, pace.settle, still_from)
    for part, hours in _LATE:
        begin = (start + part * pace.length).replace(minute=0)
        window = Window(begin, begin + timedelta(hours=3))
        simulator.change(GapChange(window, until=(window.end + timedelta(hours=hours)).timestamp()))
    if hole:
        simulator.change(GapChange(hole))
    return simulator


def age_of(received, end):
    """How old a bucket that ends at *end* is when a request arrives."""
    return from_epoch(received.at) - from_epoch(end)
