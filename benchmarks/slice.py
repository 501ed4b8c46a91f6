"""What slicing costs: many cells sliced and rendered, a long history, and the record of a run.

Beside ``ast.parse`` of the same cells, which any tool that reads them has to do.
"""

from __future__ import annotations

import ast
import time

from benchmarks.measure import Figure, p50, repeat
from kit.export.render import render_handler
from kit.handler import HandlerKind, HandlerVersion
from kit.source.record import Cell, Record
from kit.source.slice import slice_cells

CELL = """\
def f{n}(x):
    # as in the cell before
    return x + {n} + K{m}

K{n} = {n}
d{n} = [f{m}(K{m}), len(d{m})]
d{n}.append(1)
print(d{n})
d{n}
"""
#: as people write them: the same imports again, a docstring, comments, names that are used again
LONGER = '''\
import os
import json
import numpy as np
from pathlib import Path

# part {n}
def load_{n}(path, *, limit=10):
    """Load rows.

    They are "parsed" by hand.
    """
    rows = []  # what was read
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if row.get("color") == "#fff" and len(rows) < limit:
                rows.append({{**row, "n": {n}}})
    return rows

config = {{"path": Path("data") / "part-{n}.json", "limit": int(os.environ.get("LIMIT", "3"))}}
rows = load_{n}(**config)
totals.append(len(rows))
frame = np.array([r["n"] for r in rows])
print(frame.mean(), f"{{len(rows)}} rows of part {n}")
frame
'''
FIRST = "K0, d0 = 0, []\n\ndef f0(x): return x\n"
HISTORY = 2_000
CELLS = 360
RUNS = 5_000


def history(count: int, cell: str = CELL) -> tuple[tuple[Cell, ...], HandlerVersion]:
    """Cells of which every one needs the one before, and a handler that reads every tenth and the last."""
    first, call = (FIRST, "f{n}(1), d{n}") if cell is CELL else ("totals = []", "load_{n}, totals")
    record = Record()
    for n in range(count):
        source = cell.format(n=n, m=n - 1) if n else first
        record.add(Cell(n + 1, str(n), source, True, float(n)))
    reads = ", ".join(call.format(n=n) for n in range(9, count, 10))
    source = f"%%handler\ndef handler(job): return [{reads}]"
    record.add(Cell(count + 1, "handler", source, True, float(count)))
    version = HandlerVersion(
        name="handler", version=1, kind=HandlerKind.SYNC, expression="handler", options=(),
        source=source, cell=count + 1, line=2, lines_changed=None, example="{}",
        registered_at=float(count),
    )  # fmt: skip
    return record.cells(), version


def sliced(count: int, cell: str = CELL) -> float:
    cells, version = history(count, cell)
    started = time.perf_counter()
    text = render_handler(slice_cells(cells, version), version, "measured").text
    took = time.perf_counter() - started
    last = ".append(1)" if cell is CELL else "totals.append("
    assert text.count(last) == count - 1, "the slice is not what it should be"
    return took


def parsed(count: int, cell: str = CELL) -> float:
    cells, _ = history(count, cell)
    sources = [cell.source.replace("%%handler", "") for cell in cells]
    started = time.perf_counter()
    for source in sources:
        ast.parse(source)
    return time.perf_counter() - started


def recorded(cell_id: str | None) -> float:
    """Seconds a run adds, in a record that already holds a long history."""
    record = Record()
    cells = [
        Cell(n, cell_id and f"{cell_id}{n % HISTORY}", CELL.format(n=n, m=n), True, float(n))
        for n in range(RUNS)
    ]
    started = time.perf_counter()
    for cell in cells:
        record.add(cell)
    return (time.perf_counter() - started) / RUNS


def main() -> list[Figure]:
    short = p50(repeat(5, lambda: sliced(CELLS)))
    long = p50(repeat(3, lambda: sliced(HISTORY)))
    bare = p50(repeat(5, lambda: parsed(CELLS)))
    longer = p50(repeat(3, lambda: sliced(CELLS, LONGER)))
    longer_bare = p50(repeat(3, lambda: parsed(CELLS, LONGER)))
    add = p50(repeat(3, lambda: recorded("a")))
    return [
        Figure(f"{CELLS} cells sliced and rendered, p50", short * 1e3, "ms", 200),
        Figure("  ast.parse of the same cells alone", bare * 1e3, "ms"),
        Figure("  the slice, times the parse", short / bare, "x"),
        Figure(f"a history of {HISTORY:,} cells, p50", long * 1e3, "ms", 1_500),
        Figure(f"{CELLS} longer cells with imports and docstrings, p50", longer * 1e3, "ms"),
        Figure("  the slice, times ast.parse of the same", longer / longer_bare, "x"),
        Figure("recording the run of a cell", add * 1e6, "us", 1_000),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
