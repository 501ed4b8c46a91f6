"""A figure that is read on any page: what is kept in a notebook meets light and dark themes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from matplotlib.colors import same_color, to_rgba
from matplotlib.figure import Figure

__all__ = ["without_ground"]

#: contrast 4.3 on white and on JupyterLab's dark page, as even as one tone can be
_INK = "#797979"
_SETTERS = ("color", "edgecolor", "facecolor")


def without_ground(figure: Figure) -> Figure:
    """Take the ground from a figure and draw its text and axes in a grey between black and white.

    Parameters
    ----------
    figure : Figure
        It is changed.

    Returns
    -------
    Figure
        The same.
    """
    inks, ground = _inks(figure), figure.get_facecolor()
    for artist in figure.findobj():
        for name in _SETTERS:
            get, put = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
            if get is None or put is None:
                continue
            with suppress(ValueError, TypeError):  # several colours at once: those of the data
                if name != "color" and same_color(get(), ground):
                    put("none")  # edges of bars, and what is hatched
                elif any(same_color(get(), ink) for ink in inks):
                    put(_INK)
    for ax in figure.axes:
        # after the colours: ticks made later, at drawing, take these
        ax.tick_params(which="both", color=_INK, labelcolor=_INK)
        ax.patch.set_visible(False)
        legend: Any = ax.get_legend()
        if legend is not None:
            legend.set_frame_on(False)
    figure.patch.set_visible(False)
    return figure


def _inks(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Colours of text and axes, as rcParams made them."""
    found = set()
    for ax in figure.axes:
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
            found.add(to_rgba(text.get_color()))
        found |= {to_rgba(spine.get_edgecolor()) for spine in ax.spines.values()}
    return [colour for colour in found if max(colour[:3]) - min(colour[:3]) < 0.1]
