"""Quantiles of any number of values in bounded memory, by counting values of 12 significant bits.

A value is kept as the upper 23 bits of its float64 (the sign, always 0, the exponent and 11 stored
bits of the significand). These codes sort like the numbers, with infinity last. Whole numbers up
to 4096 lose nothing; anything else comes out at most 1/2048 (0.05 %) too low, never too high.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_DROPPED_BITS, _CODE_BITS = 41, 22
_MERGE_AT = 1 << 22

Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Increasing keys of (cell, value), and how often each was seen."""


def count(cell: npt.NDArray[np.intp], value: npt.NDArray[np.float64]) -> Counts:
    """Count how often each value (>= 0 or infinite) occurs in each cell; both of shape (N,)."""
    code = value.astype(np.float64).view(np.int64) >> _DROPPED_BITS
    keys, counts = np.unique(cell << _CODE_BITS | code, return_counts=True)
    return keys, counts


def merge(parts: Sequence[Counts]) -> Counts:
    """Add up counts that were made apart."""
    keys = np.concatenate([keys for keys, _ in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    counts = np.concatenate([counts for _, counts in parts])[order]
    return keys[first], np.add.reduceat(counts, first) if len(keys) else counts


def add(parts: list[Counts], more: Counts) -> None:
    """Append counts to a list of parts, and merge the list before it grows large."""
    parts.append(more)
    if sum(len(keys) for keys, _ in parts) > _MERGE_AT:
        parts[:] = [merge(parts)]


def quantile_name(share: float) -> str:
    """Return the column of a quantile: `median`, `q10`, `q99.9`."""
    return "median" if share == 0.5 else f"q{100 * share:g}"


def statistics(parts: Sequence[Counts], shares: Sequence[float]) -> pd.DataFrame:
    """Return one row for each cell that was counted, indexed by the cell.

    Columns: `count`, `finite` (how many of the values are), `min` and `max` of the finite ones
    (NaN if there are none), and each quantile, the smallest value with at least that share of all
    values at or below it (NumPy's `inverted_cdf`), infinite if it falls among the infinite.
    """
    keys, counts = merge(parts)
    value = ((keys & ((1 << _CODE_BITS) - 1)) << _DROPPED_BITS).view(np.float64)
    cell, first = np.unique(keys >> _CODE_BITS, return_index=True)
    last = np.append(first[1:], len(keys))[: len(first)] - 1
    running = np.cumsum(counts)
    total = running[last] - running[first] + counts[first]
    infinite = np.isinf(value[last])  # equal values share a key, so infinity is one key at most
    finite = total - np.where(infinite, counts[last], 0)
    columns: dict[str, npt.NDArray[Any]] = {
        "count": total,
        "finite": finite,
        "min": np.where(finite, value[first], np.nan),
        "max": np.where(finite, value[np.maximum(last - infinite, first)], np.nan),
    }
    for share in shares:
        # The rank is rounded up, but 0.7 * 10 = 7.000000000000001 is meant to be 7.
        rank = np.maximum(np.ceil(share * total * (1 - 1e-12)), 1).astype(np.int64)
        wanted = running[first] - counts[first] + rank
        columns[quantile_name(share)] = value[np.searchsorted(running, wanted)]
    return pd.DataFrame(columns, index=pd.Index(cell, name="cell"))
