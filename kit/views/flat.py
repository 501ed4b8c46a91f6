"""Outputs of jobs as columns: one for each value inside them, typed, with a name that cannot collide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

#: columns; an output with a key for every word would make a table nobody can use
_MOST = 1000
_WHOLE = 2**63


def flattened(frame: pd.DataFrame) -> pd.DataFrame:
    """The table of jobs with a column for each value inside its outputs.

    ``{"box": {"x": 1}, "tags": ["a"]}`` gives ``output.box.x`` and ``output.tags``; lists stay lists.
    A key that is empty or holds a dot or a quote is written as JSON, ``output."a.b"``, so that it
    is not taken for ``b`` inside ``a``. The column ``output`` stays; of more than 1,000 columns the
    first are made.

    A column's type follows from its values alone, however many are missing: ``boolean``, ``Int64``,
    ``Float64`` (whole numbers and others together), ``string``, or ``object`` for what is mixed.
    """
    rows = [dict(_leaves("output", value)) for value in frame["output"]]
    names = list(dict.fromkeys(name for row in rows for name in row))[:_MOST]
    columns = {name: _typed([row.get(name) for row in rows]) for name in names}
    added = pd.DataFrame(columns, index=frame.index)
    whole: pd.DataFrame = pd.concat([frame, added], axis=1)
    return whole


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        plain = key and not set(key) & set('."')
        below = f"{name}.{key if plain else json.dumps(key, ensure_ascii=False)}"
        if isinstance(inner, dict) and inner:
            yield from _leaves(below, inner)
        else:
            yield below, inner


def _typed(values: Sequence[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(list(values), dtype="boolean")
    if kinds == {str}:
        return pd.array(list(values), dtype="string")
    if kinds and kinds <= {int, float}:
        if kinds == {int} and all(v is None or -_WHOLE <= v < _WHOLE for v in values):
            return pd.array(list(values), dtype="Int64")
        if all(not isinstance(v, int) or abs(v) <= 2**53 for v in values):
            return pd.array([None if v is None else float(v) for v in values], dtype="Float64")
    return pd.Series(list(values), dtype=object)
