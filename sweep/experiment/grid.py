"""The cells of a sweep in their order, cut into parts without ever holding the whole grid.

Cells are numbered in C order over (cost, learning_rate, x, y, tolerance, starts), those axes
that there are; starts are the crossed axes w (or w1 … wd) and b, or the drawn points.
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

from sweep.errors import SpecError
from sweep.experiment.spec import PART_ROWS, Spec, Start
from sweep.neuron.problem import Problem, make_problem

__all__ = ["Grid", "Segment"]

# A part is the unit of resuming and of memory: ~100 MB of results in flight at the most, and at
# least 16 parts, so that an interrupted small sweep goes on from the middle too.
FEWEST_PARTS = 16

# Drawn starts come in chunks, each from its own stream, so that any of them can be had alone.
DRAWN_AT_A_TIME = 2**16


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
        order = ["cost", "learning_rate", "x", "y", "tolerance", *self.start_names]
        return {name: self.spec.values(name) for name in order if name in self.spec.axes}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each axis' numbers, and of the first drawn starts, as 16 hexadecimal digits.

        They stand in every part: two machines that disagree on a value do not fill one folder.
        """
        numbers = {name: values for name, values in self.values.items() if name != "cost"}
        if self.spec.start is not None:
            numbers["start"] = self.starts(0, min(self.starts_count, DRAWN_AT_A_TIME))
        return {
            name: hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:16]
            for name, values in numbers.items()
        }

    @cached_property
    def start_names(self) -> list[str]:
        """The names of a start's numbers: w (or w1 … wd) and b."""
        d = self.spec.inputs
        return [*(["w"] if d == 1 else [f"w{j}" for j in range(1, d + 1)]), "b"]

    @cached_property
    def outer_names(self) -> list[str]:
        """The names of the axes other than the starts."""
        return [name for name in self.values if name not in self.start_names]

    @cached_property
    def starts_count(self) -> int:
        """How many starts there are for each combination of the outer axes."""
        if self.spec.start is not None:
            return self.spec.start.count
        return prod(len(self.values[name]) for name in self.start_names)

    @property
    def size(self) -> int:
        """The number of cells."""
        return self.starts_count * prod(len(self.values[name]) for name in self.outer_names)

    @property
    def part_rows(self) -> int:
        """The number of cells in a part (the last may have fewer)."""
        fair = -(-self.size // FEWEST_PARTS)
        return self.spec.part_rows or min(fair, PART_ROWS)

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

    def _starts(self, first: int, last: int) -> dict[str, NDArray[np.float64]]:
        """Return a range of starts, each number of them as an array of its own."""
        if self.spec.start is not None:
            drawn = _drawn(self.spec.start, len(self.start_names), first, last)
            return dict(zip(self.start_names, np.ascontiguousarray(drawn.T), strict=True))
        found, run = {}, self.starts_count
        for name in self.start_names:
            values = self.values[name]
            run //= len(values)  # how many neighbours share a value of this axis
            low, high = first // run, -(-last // run)
            turns = _over_and_over(values.tobytes(), -(-(high - low) // len(values)) + 1)
            turns = turns[low % len(values) :][: high - low]
            spread = np.repeat(turns, run) if run > 1 else turns
            found[name] = spread[first - low * run : last - low * run]
        return found

    def columns(self, cells: range) -> dict[str, NDArray[Any]]:
        """Return the value of each axis, outermost first, in each of a range of cells.

        Costs by their number among those of the axis, as int8. The arrays are not to be written.
        """
        found = []
        for segment in self.segments(cells):
            first, last = segment.first, segment.last
            outer = {
                name: _constant(
                    np.int8(index) if name == "cost" else self.values[name][index], last - first
                )
                for name, index in segment.outer.items()
            }
            found.append(outer | self._starts(first, last))
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def reach(self, x: NDArray[np.float64]) -> tuple[float, float]:
        """Return the least and the greatest z₀ = w·x + b of all starts, for one sample x (d,).

        For normal draws, six standard deviations.
        """
        size = np.append(abs(x), 1.0)
        if self.spec.start is not None:
            spread = 6.0 if self.spec.start.random == "normal" else 1.0
            far = float(spread * self.spec.start.scale * size.sum())
            return -far, far
        ends = [
            factor * np.array([self.values[name].min(), self.values[name].max()])
            for name, factor in zip(self.start_names, np.append(x, 1.0), strict=True)
        ]
        return float(sum(e.min() for e in ends)), float(sum(e.max() for e in ends))

    def problem(self, outer: dict[str, int]) -> tuple[Problem, float]:
        """Return what the neurons of a segment are asked, and their learning rate."""
        spec = self.spec
        given = {name: self.values[name][i] for name, i in outer.items()}
        return make_problem(
            x=given.get("x", spec.task.x),
            y=given.get("y", spec.task.y),
            cost=str(given["cost"]),
            activation=spec.task.activation,
            tolerance=float(given.get("tolerance", spec.stop.tolerance)),
            max_epochs=spec.stop.max_epochs,
        ), float(given["learning_rate"])


# Neighbouring parts share the greater part of their axes: made anew, with memory that is touched
# for the first time, they took 4 ms a part of 2^20 rows, a tenth of all its time; kept 0.3.


@lru_cache(maxsize=8, typed=True)
def _constant(value: Any, count: int) -> NDArray[Any]:
    """Return an array of one value, shared by all who ask."""
    found = np.full(count, value)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=8)
def _over_and_over(values: bytes, turns: int) -> NDArray[np.float64]:
    """Return an array of values over and over, shared by all who ask."""
    found = np.tile(np.frombuffer(values), turns)
    found.flags.writeable = False
    return found


def _drawn(how: Start, columns: int, first: int, last: int) -> NDArray[np.float64]:
    chunks = []
    for chunk in range(first // DRAWN_AT_A_TIME, -(-last // DRAWN_AT_A_TIME)):
        begin = chunk * DRAWN_AT_A_TIME
        points = _chunk(how, columns, chunk)
        chunks.append(points[max(first - begin, 0) : last - begin])
    return how.scale * np.concatenate(chunks)


def _chunk(how: Start, columns: int, chunk: int) -> NDArray[np.float64]:
    shape = (DRAWN_AT_A_TIME, columns)
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence([how.seed, chunk])))
    if how.random == "normal":
        found = stream.standard_normal(shape)
        # NumPy takes the tail from the C library's log1p, which rounds 2 of 100,000 otherwise where
        # a CPU has no fused multiply-add. 2^-30 is far above that, and below what any figure shows.
        tail = abs(found) > 3.65
        found[tail] = np.rint(found[tail] * 2.0**30) / 2.0**30
        return found
    if how.random == "uniform":
        return stream.uniform(-1.0, 1.0, shape)
    try:
        from scipy.stats.qmc import Sobol
    except ImportError:
        raise SpecError(
            "start.random = 'sobol': needs SciPy; pip install 'neuron-sweep[sobol]'"
        ) from None
    sobol = Sobol(columns, rng=how.seed)
    if chunk > 0:  # SciPy 1.17 fails on fast_forward(0)
        sobol.fast_forward(chunk * DRAWN_AT_A_TIME)
    points: NDArray[np.float64] = sobol.random(DRAWN_AT_A_TIME)
    return 2.0 * points - 1.0
