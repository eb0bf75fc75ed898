"""Medians and ratios of what was measured, as one table or as JSON. Pure."""

import json
from dataclasses import asdict, fields
from statistics import median

from tests.bench.run import Measured, Results

_MIB = 1 << 20
_HEAD = """
store | series a | requests | wall s | floor | ratio | cpu s | floor | ratio | peak | floor | bytes   | floor | rows  | floor | repeat
      | request  |          |        |       |       |       |       |       | MiB  |       | a point |       | again |       | cpu s
""".strip("\n").splitlines()  # noqa: E501 - a table is read across


def summary(results: Results) -> list[dict[str, object]]:
    """Give per case the medians of the collector and of the floor, the ratios of both, and every single run."""
    return [
        {
            "backend": case.backend,
            "series_a_request": case.positions,
            "collector": asdict(medians(runs["collector"])),
            "floor": asdict(medians(runs["floor"])),
            "ratio": ratios(medians(runs["collector"]), medians(runs["floor"])),
            "runs": {kind: [asdict(one) for one in measured] for kind, measured in runs.items()},
        }
        for case, runs in results.items()
    ]


def medians(runs: list[Measured]) -> Measured:
    """Take the median of each figure by itself."""
    return Measured(*(median(getattr(one, field.name) for one in runs) for field in fields(Measured)))


def ratios(collector: Measured, floor: Measured) -> dict[str, float]:
    """Divide the collector's seconds and bytes by the floor's."""
    names = ("wall", "cpu", "peak", "bytes_a_point")
    return {name: getattr(collector, name) / getattr(floor, name) for name in names}


def as_json(results: Results) -> str:
    """Write everything that was measured."""
    return json.dumps(summary(results), indent=2)


def as_table(results: Results) -> str:
    """Write one line per case, numbers to the right."""
    lines = [tuple(map(str.strip, line.split("|"))) for line in _HEAD]
    for case, runs in results.items():
        ours, floor = medians(runs["collector"]), medians(runs["floor"])
        lines.append((case.backend, str(case.positions), f"{ours.requests:.0f}", *_figures(ours, floor)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in lines)


def _figures(ours: Measured, floor: Measured) -> tuple[str, ...]:
    ratio = ratios(ours, floor)
    return (
        *(f"{ours.wall:.2f}", f"{floor.wall:.2f}", f"{ratio['wall']:.2f}"),
        *(f"{ours.cpu:.2f}", f"{floor.cpu:.2f}", f"{ratio['cpu']:.2f}"),
        *(f"{ours.peak / _MIB:.0f}", f"{floor.peak / _MIB:.0f}"),
        *(f"{ours.bytes_a_point:.1f}", f"{floor.bytes_a_point:.1f}"),
        *(f"{ours.rewritten:.0f}", f"{floor.rewritten:.0f}"),
        f"{ours.repeat_cpu:.2f}",
    )


def _aligned(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
