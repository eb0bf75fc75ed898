"""The colours of the page's lines, computed for people who see colours otherwise."""

import re
from importlib.resources import files
from itertools import combinations

import pytest

_LIGHT_DARK = re.compile(r"--(c\d|card): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
# Machado, Oliveira and Fernandes 2009, severity 1.0: what is seen of linear red, green and blue.
SIGHTS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
CLEAR = 0.1
"""Of Oklab, in which 0.02 is just seen."""
CONTRAST = 3
"""WCAG 2.2, 1.4.11: graphical objects."""


def _palette(scheme):
    css = files("collector.serve.dashboard").joinpath("page.css").read_text("utf-8")
    return {name: light if scheme == "light" else dark for name, light, dark in _LIGHT_DARK.findall(css)}


def _linear(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def _times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _oklab(linear):
    return _times(_LAB, [max(0.0, value) ** (1 / 3) for value in _times(_LMS, linear)])


def _luminance(colour):
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), _linear(colour), strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colours_can_be_told_apart(scheme, sight):
    colours = {name: value for name, value in _palette(scheme).items() if name != "card"}
    assert len(colours) == 8
    seen = {name: _oklab(_times(SIGHTS[sight], _linear(value))) for name, value in colours.items()}
    for one, other in combinations(seen, 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
        assert distance >= CLEAR, (one, other, distance)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_stands_out_from_its_ground(scheme):
    palette = _palette(scheme)
    ground = _luminance(palette.pop("card"))
    for name, value in palette.items():
        high, low = sorted((_luminance(value), ground), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= CONTRAST, name
