"""The cells of a sweep in their order, cut into parts without ever holding the whole grid.

Cells are numbered in C order over the axes cost, learning_rate, optimizer, x, y, tolerance and
parameters of costs (those that the spec has) and the starts: the axes w (or w1 … wd) and b crossed,
random points, or a file's rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError, printable
from sweep.experiment.checks import CHOICES, PART_ROWS, optimizer_of, start_names
from sweep.experiment.own import cost_of
from sweep.experiment.random_starts import CHUNK, random_starts
from sweep.experiment.spec import Spec
from sweep.experiment.start_file import file_starts
from sweep.neuron.problem import Problem, make_problem

__all__ = ["GOLDEN", "OUTER_AXES", "Grid", "Segment"]

# Steps of this share of a range are even over it, and in step with none of the axes.
GOLDEN = (5**0.5 - 1) / 2

# The axes other than the starts, outermost first.
OUTER_AXES = ("cost", "learning_rate", "optimizer", "x", "y", "tolerance")

# Resuming is by parts, and memory too: ~100 MB of results in flight at the most. A small sweep has
# 16 parts, so that it need not begin again when interrupted.
MIN_PARTS = 16


@dataclass(frozen=True)
class Segment:
    """Neighbouring cells that differ only in their starts.

    Attributes
    ----------
    outer : dict
        Index of each outer axis' value (cost, learning_rate, …) in `Grid.values`.
    first, last : int
        The range of starts.
    """

    outer: dict[str, int]
    first: int
    last: int


@dataclass(frozen=True)
class Grid:
    """The cells of a spec."""

    spec: Spec

    @cached_property
    def values(self) -> dict[str, NDArray[Any]]:
        """The values of each axis, outermost first."""
        # Not `parameter_axes`: where some costs are selected, those of others stay axes.
        parameters = sorted(self.spec.axes.keys() - {*OUTER_AXES, *self.start_names})
        order = [*OUTER_AXES, *parameters, *self.start_names]
        return {name: self.spec.values(name) for name in order if name in self.spec.axes}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each axis' numbers, and of the first random starts, as 16 hexadecimal digits.

        Every part holds them: two machines that disagree on a value do not fill one folder.
        """
        numbers = {name: values for name, values in self.values.items() if name not in CHOICES}
        start = self.spec.start
        if start is not None and start.random is not None:
            numbers["start"] = self.starts(0, min(self.starts_count, CHUNK))
        known = {} if start is None or start.sha256 is None else {"start": start.sha256[:16]}
        return known | {
            name: hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:16]
            for name, values in numbers.items()
        }

    @cached_property
    def start_names(self) -> list[str]:
        """The names of a start's numbers: w (or w1 … wd) and b."""
        return [*start_names(self.spec.inputs)]

    @cached_property
    def outer_names(self) -> list[str]:
        """The names of the axes other than the starts."""
        return [name for name in self.values if name not in self.start_names]

    @cached_property
    def outer_values(self) -> dict[str, NDArray[Any]]:
        """The values of the outer axes, and the one of the optimizer, x, y and tolerance else."""
        task = self.spec.task
        x, y = task.numbers
        single = {"x": x, "y": y, "tolerance": self.spec.stop.tolerance}
        known = {"optimizer": np.array(["gd"])}
        known |= {name: self.values[name] for name in self.outer_names}
        known |= {
            name: np.array([float(value)])
            for name, value in single.items()
            if name not in known and np.ndim(value) == 0
        }
        return {name: known[name] for name in [*OUTER_AXES, *self.outer_names] if name in known}

    @cached_property
    def starts_count(self) -> int:
        """How many starts there are for each combination of the outer axes."""
        if self.spec.start is not None and self.spec.start.count is not None:
            return self.spec.start.count
        return prod(len(self.values[name]) for name in self.start_names)

    @property
    def size(self) -> int:
        """The number of cells."""
        return self.starts_count * prod(len(self.values[name]) for name in self.outer_names)

    @property
    def part_rows(self) -> int:
        """The number of cells in a part (the last may have fewer)."""
        share = -(-self.size // MIN_PARTS)
        return self.spec.part_rows or min(share, PART_ROWS)

    @property
    def parts(self) -> int:
        """The number of parts."""
        return -(-self.size // self.part_rows)

    def part(self, index: int) -> range:
        """Return the numbers of the cells in a part."""
        first = index * self.part_rows
        return range(first, min(first + self.part_rows, self.size))

    def segments(self, cells: range) -> Iterator[Segment]:
        """Cut a range of cells where an outer axis changes."""
        shape = [len(self.values[name]) for name in self.outer_names]
        first = cells.start
        while first < cells.stop:
            panel, start = divmod(first, self.starts_count)
            last = min(cells.stop - panel * self.starts_count, self.starts_count)
            index = (int(i) for i in np.unravel_index(panel, shape))
            yield Segment(dict(zip(self.outer_names, index, strict=True)), start, last)
            first = panel * self.starts_count + last

    def starts(self, first: int, last: int) -> NDArray[np.float64]:
        """Return a range of starts, shape (last − first, d + 1): w1 … wd, b."""
        return np.column_stack(list(self._starts(first, last).values()))

    def spread_starts(self, count: int) -> NDArray[np.float64]:
        """Return `count` starts, evenly spread over all; the first ones, where they are drawn."""
        start = self.spec.start
        if (start is not None and start.random is not None) or count >= self.starts_count:
            return self.starts(0, min(count, self.starts_count))
        number = (np.arange(count) * GOLDEN % 1 * self.starts_count).astype(np.int64)
        if start is not None:
            return self._file_starts[number]
        shape = [len(self.values[name]) for name in self.start_names]
        index = np.unravel_index(number, shape)
        columns = [self.values[n][i] for n, i in zip(self.start_names, index, strict=True)]
        return np.column_stack(columns)

    @property
    def _file_starts(self) -> NDArray[np.float64]:
        """All starts of the spec's file.

        Raises
        ------
        SpecError
            It cannot be read, or is no longer the one that the spec was made with.
        """
        start = self.spec.start
        assert start is not None
        assert start.file is not None
        starts, digest = file_starts(start.file, tuple(self.start_names))
        if (len(starts), digest) != (start.count, start.sha256):
            raise SpecError(
                f"start.file = {printable(start.file)}: holds other starts than it did when this "
                f"sweep began: sha256 {digest[:16]}…, then {str(start.sha256)[:16]}…"
            )
        return starts

    def _starts(self, first: int, last: int) -> dict[str, NDArray[np.float64]]:
        """Return a range of starts, an array for each of w1 … wd, b."""
        start = self.spec.start
        if start is not None:
            if start.random is None:
                points = self._file_starts[first:last]
            else:
                points = random_starts(start, len(self.start_names), first, last)
            return dict(zip(self.start_names, np.ascontiguousarray(points.T), strict=True))
        columns, repeats = {}, self.starts_count
        for name in self.start_names:
            values = self.values[name]
            repeats //= len(values)  # how many neighbours share a value of this axis
            low, high = first // repeats, -(-last // repeats)
            cycle = _tiled(values.tobytes(), -(-(high - low) // len(values)) + 1)
            cycle = cycle[low % len(values) :][: high - low]
            column = np.repeat(cycle, repeats) if repeats > 1 else cycle
            columns[name] = column[first - low * repeats : last - low * repeats]
        return columns

    def columns(self, cells: range) -> dict[str, NDArray[Any]]:
        """Return the value of each axis, outermost first, in each of a range of cells.

        A name is its index on the axis, as int8. The arrays are shared: do not write to them.
        """
        pieces = []
        for segment in self.segments(cells):
            first, last = segment.first, segment.last
            outer = {
                name: _constant(
                    np.int8(index) if name in CHOICES else self.values[name][index], last - first
                )
                for name, index in segment.outer.items()
            }
            pieces.append(outer | self._starts(first, last))
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def start_range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and the greatest of each weight and of b over all starts, (d + 1,) each.

        For normal draws, six standard deviations.
        """
        start = self.spec.start
        if start is not None and start.random is not None:
            reach = (6.0 if start.random == "normal" else 1.0) * start.scale
            high = np.full(self.spec.inputs + 1, reach)
            return -high, high
        columns = self._file_starts.T if start else [self.values[n] for n in self.start_names]
        ends = np.array([[column.min(), column.max()] for column in columns], np.float64)
        return ends[:, 0], ends[:, 1]

    def problem(self, outer: dict[str, int]) -> tuple[Problem, float]:
        """Return the problem of a segment's neurons, and their learning rate."""
        spec = self.spec
        values = {name: self.values[name][i] for name, i in outer.items()}
        x, y = spec.task.numbers
        problem = make_problem(
            x=values.get("x", x),
            y=values.get("y", y),
            cost=cost_of(spec, str(values["cost"]), values),
            activation=spec.task.activation,
            tolerance=float(values.get("tolerance", spec.stop.tolerance)),
            max_epochs=spec.stop.max_epochs,
            rule=spec.stop.rule,
            follow=spec.follow.epochs if spec.follow else None,
            optimizer=optimizer_of(spec, str(values.get("optimizer", "gd"))),
        )
        return problem, float(values["learning_rate"])


# Neighbouring parts share most of their axes' columns. Made for each part, in memory that the
# system clears first, they took 4 ms a part of 2^20 rows, a tenth of its time; kept, 0.3.


@lru_cache(maxsize=8, typed=True)
def _constant(value: Any, count: int) -> NDArray[Any]:
    """Return an array of one value; shared, so it cannot be written."""
    column = np.full(count, value)
    column.flags.writeable = False
    return column


@lru_cache(maxsize=8)
def _tiled(values: bytes, times: int) -> NDArray[np.float64]:
    """Return an array that repeats float64 values; shared, so it cannot be written."""
    column = np.tile(np.frombuffer(values), times)
    column.flags.writeable = False
    return column
