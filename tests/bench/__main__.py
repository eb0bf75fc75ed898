"""`python -m tests.bench COMMAND`: what the collector costs beside the least that is possible."""

import click

from tests.bench import answer as answering
from tests.bench import commands as processes
from tests.bench import decode as decoding
from tests.bench import growth as growing
from tests.bench import live as living
from tests.bench import memory as resting
from tests.bench import peers as others
from tests.bench import questions as questioning
from tests.bench import report, run
from tests.bench import requests as asking
from tests.bench import serve as serving

BACKENDS = ("sqlite", "postgresql")


@click.group()
def main() -> None:
    """Measure the collector. Every figure is a median, and says something only beside the floor's."""


@main.command()
@click.option("--series", default=20, show_default=True, help="Series.")
@click.option("--windows", default=50, show_default=True, help="Weekly windows of each series, at 15m.")
@click.option("--runs", default=5, show_default=True, help="Runs of floor and collector each, by turns.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
@click.option("--format", "output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.option("--peers", is_flag=True, help="On SQLite, beside the official SDK with pandas, and dlt's REST source.")
def load(backends: tuple[str, ...], output: str, *, peers: bool, **size: int) -> None:
    """Load a history from a local server that serves rendered bodies, one series a request and all in one."""
    if peers:
        installed = [kind for kind in run.PEERS if not others.lacking(kind)]
        click.echo(others.table(run.load(("sqlite",), peers=installed, **size), report.medians))
        return
    results = run.load(backends or BACKENDS, size["series"], size["windows"], size["runs"])
    click.echo(report.as_json(results) if output == "json" else report.as_table(results))


@main.command()
@click.option("--runs", default=5, show_default=True, help="Runs of floor and collector each, by turns.")
@click.option("--answers", default=200, show_default=True, help="Answers a run.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
def answer(runs: int, answers: int, backends: tuple[str, ...]) -> None:
    """Answer 7 days of 15m as the API does, beside the bare read of the rows plus JSON encoding."""
    click.echo(answering.table(answering.measure(backends or BACKENDS, runs, answers)))


@main.command()
@click.option("--series", "counts", default=(50, 1), show_default=True, multiple=True, help="Series of a store.")
@click.option("--days", default=31, show_default=True, help="Simulated days.")
@click.option("--until", type=int, help="Extrapolate to this day from the days after the hundredth.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
def live(counts: tuple[int, ...], days: int, until: int | None, backends: tuple[str, ...]) -> None:
    """Simulate fires at 15m, and give the bytes a point by table. A year: --days 120 --until 365."""
    if until and days <= living.STEADY:
        raise click.BadParameter(f"--until takes more than {living.STEADY} days", param_hint="--days")
    for live in living.measure_all(backends or BACKENDS, counts, days, until):
        click.echo(living.table([live]))


@main.command()
@click.option("--runs", default=100, show_default=True, help="Runs of floor and collector each, by turns.")
def decode(runs: int) -> None:
    """Read bodies of several forms, beside `orjson.loads` of the same body. CPU time, the least of all runs."""
    click.echo(decoding.table(decoding.measure(runs)))


@main.command()
@click.option("--runs", default=30, show_default=True, help="Answers of floor and collector each, by turns.")
@click.option("--clients", default=32, show_default=True, help="Clients that ask at once.")
@click.option("--seconds", default=10.0, show_default=True, help="How long they ask.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
def serve(runs: int, clients: int, seconds: float, backends: tuple[str, ...]) -> None:
    """Answer over both APIs, beside the bare read of the rows plus JSON encoding, and for many clients at once."""
    for ratio in serving.ratios(backends or BACKENDS, runs):
        click.echo(serving.ratio_line(ratio))
    for load in serving.loads(backends or BACKENDS, clients, seconds):
        click.echo(serving.load_line(load))


@main.command()
def requests() -> None:
    """Count the requests of a year of 15m for 50 series under every limit that Radar may hide, beside the fewest."""
    for line in asking.table(asking.CELLS):
        click.echo(line)


@main.command()
@click.option("--runs", default=5, show_default=True, help="Runs of each process, by turns.")
def commands(runs: int) -> None:
    """Measure the CPU of commands as whole processes on an empty store, beside Python that does nothing."""
    click.echo(processes.table(processes.measure(runs)))


@main.command()
@click.option("--series", default=1000, show_default=True, help="Series of the one profile, at 15m.")
@click.option("--days", default=4, show_default=True, help="Days to catch up with.")
@click.option("--runs", default=3, show_default=True, help="Services, one after another.")
def memory(series: int, days: int, runs: int) -> None:
    """Measure the resident memory of a service that has caught up and waits for the next bucket."""
    click.echo(resting.table(resting.measure(series, days, runs)))


@main.command()
@click.option("--series", default=100, show_default=True, help="Series of each store, at 1h.")
@click.option("--days", default=365, show_default=True, help="Days of each series.")
@click.option("--runs", default=9, show_default=True, help="Answers to each question, by turns.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
def questions(series: int, days: int, runs: int, backends: tuple[str, ...]) -> None:
    """Ask for shares, ranks, growth, medians and the past. CPU time is of this process, without Postgres."""
    click.echo(questioning.table(questioning.measure(backends or BACKENDS, series, days, runs)))


@main.command()
@click.option("--series", default=1000, show_default=True, help="Series of each store.")
@click.option("--points", default=(10**5, 10**6), show_default=True, multiple=True, help="Points of a store.")
@click.option("--runs", default=5, show_default=True, help="Runs of each piece of work.")
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="One store only.")
def growth(series: int, points: tuple[int, ...], runs: int, backends: tuple[str, ...]) -> None:
    """Measure fires, reads, status, gaps, healing and upkeep in stores of several sizes, and how the cost grows."""
    click.echo(growing.table(growing.measure(backends or BACKENDS, series, points, runs)))


if __name__ == "__main__":
    main()
