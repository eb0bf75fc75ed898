"""Charts for tests."""

from datetime import UTC, datetime, timedelta

from collector.interval import AggInterval
from collector.model import Window
from collector.report.plot.chart import Chart, ChartAnnotation, ChartLine

START = datetime(2026, 4, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def line(name, *values, absent=()):
    """A line of hourly values without the hours *absent*."""
    hours = [n for n in range(len(values)) if n not in absent]
    return ChartLine(name, [int((START + n * HOUR).timestamp()) for n in hours], [float(values[n]) for n in hours])


def chart(*lines, hours=24, annotations=(), final_until=None, unit="certificates"):
    window = Window(START, START + hours * HOUR)
    return Chart("owners", AggInterval.ONE_HOUR, unit, window, lines, tuple(annotations), final_until)


def annotation(start, end, event_type="OUTAGE", description="A large log refused submissions"):
    """An annotation from one hour of the day to another; no end while it lasts."""
    return ChartAnnotation(START + start * HOUR, None if end is None else START + end * HOUR, event_type, description)
