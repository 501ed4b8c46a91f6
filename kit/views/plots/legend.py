"""A legend above an axes, in as many rows as its width asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.legend_handler import HandlerTuple

from kit.views.plots.timeaxis import text_pt, width_pt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = "x-small"


def legend_above(ax: Axes, handles: Sequence[Any], names: Sequence[str]) -> float:
    """Draw it, read in rows from the left; returns its height in points, 0 if it is empty."""
    if not handles:
        return 0.0
    # all columns are as wide as the widest name
    column_pt = (max(map(len, names)) * 0.5 + 3.4) * text_pt(_SIZE)
    rows = -(-len(names) // max(1, int(width_pt(ax) / column_pt)))
    columns = -(-len(names) // rows)
    # matplotlib fills columns; a person reads rows
    order = [i for column in range(columns) for i in range(column, len(names), columns)]
    ax.legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        handler_map={tuple: HandlerTuple(ndivide=1)},
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=_SIZE,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.3,
        borderpad=0.2,
        borderaxespad=0.2,
    )
    return rows * 1.45 * text_pt(_SIZE)
