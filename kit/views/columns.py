"""Typed columns of a table: the same under pandas 2 and 3, <NA> or NaT where a value is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd


def text(values: Iterable[str | None]) -> Any:
    """Words."""
    return pd.array(list(values), dtype="string")


def whole(values: Iterable[int | None]) -> Any:
    """Whole numbers."""
    return pd.array(list(values), dtype="Int64")


def real(values: Iterable[float | None]) -> Any:
    """Numbers."""
    return pd.array(list(values), dtype="Float64")


def category(values: Iterable[str | None], known: Sequence[str] | None = None) -> Any:
    """One of a few words."""
    return pd.Categorical(list(values), categories=known)


def truth(values: Iterable[bool | None]) -> Any:
    """True or False."""
    return pd.array(list(values), dtype="boolean")


def objects(values: Iterable[Any]) -> Any:
    """Python values as they are: a list in a cell stays a list."""
    return pd.Series(list(values), dtype=object)


def times(values: Iterable[float | None]) -> Any:
    """UTC seconds as moments."""
    # as whole microseconds, which is what seconds in a float hold; to_datetime would give another
    # unit under pandas 2 than under 3
    ticks = [_NOT_A_TIME if value is None else round(value * 1e6) for value in values]
    return pd.Series(ticks, dtype="int64").astype("datetime64[us]").dt.tz_localize("UTC")


#: the number that pandas and numpy read as NaT
_NOT_A_TIME = -(2**63)
