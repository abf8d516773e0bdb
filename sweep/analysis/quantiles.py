"""Quantiles of any number of values in bounded memory, by counting values of 12 significant bits.

A value is kept as the upper 23 bits of its float64 (the sign, always 0, the exponent and 11 stored
bits of the significand). These codes sort like the numbers, with infinity last. Whole numbers up
to 4096 lose nothing; anything else comes out at most 1/2048 (0.05 %) too low, never too high.

Where even so too many different values would have to be kept, all are coarsened by a bit, as often
as it takes; `Tally.precision` says what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_DROPPED_BITS, _CODE_BITS = 41, 22
_CODES = (1 << _CODE_BITS) - 1
_INFINITE = 0x7FF << 11
_MERGE_AT = 1 << 23  # keys and counts: 128 MB
_MAX_KEPT = 1 << 22

Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Increasing keys of (cell, value), and how often each was seen."""


def count(cell: npt.NDArray[np.intp], value: npt.NDArray[np.float64]) -> Counts:
    """Count how often each value (>= 0 or infinite) occurs in each cell; both of shape (N,)."""
    code = value.astype(np.float64, copy=False).view(np.int64) >> _DROPPED_BITS
    if not len(code):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # A row group meets few cells and few octaves, so that counting in an array is three times as
    # fast as sorting. The array has a slot for 0, for each code from the lowest, and for infinity.
    lowest = np.min(code, initial=_INFINITE, where=code > 0)
    highest = np.max(code, initial=lowest, where=code < _INFINITE)
    slots, least = int(highest - lowest) + 3, cell.min()
    if int(cell.max() - least + 1) * slots > 4 * len(code):
        keys, counts = np.unique(cell << _CODE_BITS | code, return_counts=True)
        return keys, counts
    seen = np.bincount((cell - least) * slots + np.clip(code - (lowest - 1), 0, slots - 1))
    met = np.flatnonzero(seen)
    cell, slot = np.divmod(met, slots)
    code = np.where(slot == slots - 1, _INFINITE, slot + (lowest - 1))
    return cell + least << _CODE_BITS | np.where(slot == 0, 0, code), seen[met]


@dataclass
class Tally:
    """Counts that are added up, in bounded memory."""

    parts: list[Counts] = field(default_factory=list)
    dropped: int = 0  # bits, beyond _DROPPED_BITS

    @property
    def precision(self) -> float:
        """How much too low a quantile above 4096 may be, as a share of it."""
        return 2.0 ** (self.dropped - 11)

    def add(self, more: Counts) -> None:
        """Add counts up, and merge them before they grow large."""
        self.parts.append(more)
        if sum(len(keys) for keys, _ in self.parts) > _MERGE_AT:
            self.merged()

    def merged(self) -> Counts:
        """Return all counts as one, coarsened if they are too many."""
        self.parts = [_merge(self.parts, self.dropped)]
        while len(self.parts[0][0]) > _MAX_KEPT and self.dropped < 11:
            self.dropped += 1
            self.parts = [_merge(self.parts, self.dropped)]
        return self.parts[0]

    def positive(self) -> "Tally":
        """Return the counts of the values that are not 0."""
        keys, counts = self.merged()
        kept = (keys & _CODES) > 0
        return Tally([(keys[kept], counts[kept])], self.dropped)

    def moved(self, cell: npt.NDArray[np.int64]) -> "Tally":
        """Return the counts with each cell put into (and pooled with others in) `cell[old]`."""
        keys, counts = self.merged()
        return Tally(
            [(cell[keys >> _CODE_BITS] << _CODE_BITS | keys & _CODES, counts)], self.dropped
        )


def _merge(parts: Sequence[Counts], dropped: int) -> Counts:
    # Codes keep their places when their lowest bits are cleared, and infinity stays itself.
    keys = np.concatenate([np.zeros(0, np.int64), *(keys for keys, _ in parts)])
    keys = keys >> dropped << dropped
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    counts = np.concatenate([np.zeros(0, np.int64), *(counts for _, counts in parts)])[order]
    return keys[first], np.add.reduceat(counts, first) if len(keys) else counts


def quantile_name(share: float) -> str:
    """Return the column of a quantile: `median`, `q10`, `q99.9`."""
    return "median" if share == 0.5 else f"q{100 * share:g}"


def cumulative(
    tally: Tally, points: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the cells, and for each how many values are at most each of the increasing points."""
    keys, counts = tally.merged()
    cells, first = np.unique(keys >> _CODE_BITS, return_index=True)
    running = np.append(0, np.cumsum(counts))
    # The keys of a cell are sorted by value, so those up to a point end where its own key would.
    code = points.astype(np.float64).view(np.int64) >> _DROPPED_BITS
    ends = np.searchsorted(keys, cells[:, None] << _CODE_BITS | code, side="right")
    return cells, running[ends] - running[first][:, None]


def statistics(tally: Tally, shares: Sequence[float]) -> pd.DataFrame:
    """Return one row for each cell that was counted, indexed by the cell.

    Columns: `count`, `finite` (how many of the values are), `min` and `max` of the finite ones
    (NaN if there are none), and each quantile, the smallest value with at least that share of all
    values at or below it (NumPy's `inverted_cdf`), infinite if it falls among the infinite.
    """
    keys, counts = tally.merged()
    value = _value(keys)
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


def _value(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return ((keys & _CODES) << _DROPPED_BITS).view(np.float64)
