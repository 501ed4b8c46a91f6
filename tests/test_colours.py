"""States can be told apart by eyes that miss one kind of cone, in both themes.

The simulation is that of Machado, Oliveira and Fernandes (2009) at full severity, on linear RGB;
distances are those of CIE Lab (CIE76), where 2.3 is what an eye just notices.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parent.parent / "kit" / "views" / "style.css"
Triple = tuple[float, float, float]
EYES: dict[str, tuple[Triple, Triple, Triple]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
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
#: filled bars; timed out has the colour of failed, and a sign of its own
SOLID = ("completed", "running", "failed", "cancelled")
SURFACE = {"light": "#ffffff", "dark": "#212121"}


def palette(theme: str) -> dict[str, str]:
    light, dark = CSS.read_text(encoding="utf-8").split('.kit-card[data-kit-theme="dark"] {', 1)
    colours = dict(re.findall(r"--kit-([\w-]+): (#[0-9a-f]{6})", light))
    if theme == "dark":
        colours |= dict(re.findall(r"--kit-([\w-]+): (#[0-9a-f]{6})", dark.split("}", 1)[0]))
    return colours


def lab(colour: str, eye: str) -> Triple:
    """A colour as an eye sees it, in CIE Lab (D65)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear, strict=True))))
        for row in EYES[eye]
    )
    x, y, z = (
        part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116
        for part in (
            (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047,
            0.2126 * red + 0.7152 * green + 0.0722 * blue,
            (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883,
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, eye: str) -> float:
    return math.dist(lab(one, eye), lab(other, eye))


@pytest.mark.parametrize("theme", SURFACE)
@pytest.mark.parametrize("eye", EYES)
def test_states_are_apart(theme: str, eye: str) -> None:
    colours = palette(theme)
    for one, other in itertools.combinations(SOLID, 2):
        distance = apart(colours[one], colours[other], eye)
        assert distance >= 16, f"{one} and {other}: {distance:.1f}"
    for one in SOLID:  # lost is striped besides
        assert apart(colours[one], colours["lost"], eye) >= 12, one


@pytest.mark.parametrize("theme", SURFACE)
@pytest.mark.parametrize("eye", EYES)
def test_lines_and_bars_are_apart_from_each_other_and_the_ground(theme: str, eye: str) -> None:
    colours = palette(theme)
    assert apart(colours["memory"], colours["torch"], eye) >= 60
    for name in (*SOLID, "lost", "wait", "memory", "torch", "span", "finding"):
        assert apart(colours[name], SURFACE[theme], eye) >= 30, name


def test_the_measure_knows_what_it_is_for() -> None:
    # red and green of one lightness are far apart, and the same to an eye without the second cone
    assert apart("#c85a00", "#6f8a00", "all cones") > 50
    assert apart("#c85a00", "#6f8a00", "deuteranopia") < 16
    # blue and violet, which this card once had for running and cancelled
    assert apart("#2f7fd1", "#8a5fc0", "protanopia") < 16


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_and_reports_have_the_colours_of_the_live_view(theme: str) -> None:
    from kit.views.plots import look

    live = palette(theme)
    drawn = look._LIGHT if theme == "light" else look._DARK
    named = {"IN_PROGRESS": "running", "IN_QUEUE": "wait", "TIMED_OUT": "failed"}
    for state, colour in drawn.items():
        assert colour == live[named.get(state.value, state.value.lower())], state
    report = (CSS.parent / "report" / "report.css").read_text(encoding="utf-8")
    for state in (*SOLID, "lost"):
        tones = re.findall(rf"--{state}: (#[0-9a-f]{{6}})", report)
        assert tones == [palette("light")[state], palette("dark")[state]], state
