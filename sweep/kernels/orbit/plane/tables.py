"""Functions of (w, b) as polynomials on squares that are halved where they need it; their lookup.

The squares are those of a quadtree: roots of one size, each cut into four as often as it needs.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.abel import cosines
from sweep.kernels.orbit.plane.coefficients import nodes_of
from sweep.kernels.simd import aligned_zeros, load, load_like, register_of, store, width_of
from sweep.neuron.arithmetic import fma

__all__ = [
    "CHECKED",
    "DEEPEST",
    "EDGES",
    "INSIDE",
    "LANES",
    "NODES",
    "NOTHING",
    "ON_EDGE",
    "ORDERS",
    "TABLE",
    "Lattice",
    "Square",
    "Table",
    "aligned",
    "empty_table",
    "evaluate",
    "evaluate_on",
    "find",
    "find_squares",
    "lattice",
    "packed",
    "points_of",
    "polynomials_of",
    "rows_of",
    "size_of",
    "steepest_of",
    "table_of",
    "trees",
]

Floats = NDArray[np.float64]

# Coefficients in each direction. With the samples of the benchmark, cross-entropy and the quadratic
# cost, 12 take 53,000 and 114,000 nodes, 16 take 51,000 and 123,000 of half as many squares, and
# leave a tenth of the area unresolved that 12 leave.
ORDERS = 16

NODES = nodes_of(ORDERS)

# Where the miss of a polynomial is measured, in each direction: midway between nodes, and the ends.
CHECKS = cosines(np.arange(0, ORDERS + 1, 4) / ORDERS)


def _grid(u: Floats, v: Floats) -> Floats:
    return np.array([np.repeat(u, len(v)), np.tile(v, len(u))])


# Places of a square, (2, m): the nodes; the nodes and checks of its four edges; checks inside.
ON_EDGE, SIDES = np.concatenate([NODES, CHECKS]), np.array([-1.0, 1.0])
INSIDE = _grid(NODES, NODES)
EDGES = np.concatenate([_grid(SIDES, ON_EDGE), _grid(SIDES, ON_EDGE)[::-1]], axis=1)
CHECKED = _grid(CHECKS[1:-1], CHECKS[1:-1])

WIDTH = width_of(types.float64)
REGISTER = WIDTH // 4

# Lanes on every CPU are a part of so many.
LANES = 32

# How often a square may be halved.
DEEPEST = 6

# By how much z varies on a root, at least. With the quadratic cost the tables of a box of 0.2 × 0.2
# take 0.07 s for 16 samples and 0.7 s for 569 patients; with roots of a 16th of the box 2.5 s and
# 16 to 38 s.
NARROWEST = 0.5

# In `Table.roots` and `.children`: no square; what is below is a number of children.
NOTHING = -1


class Lattice(NamedTuple):
    """The roots that cover a box of starts: their number, and that of the first, in each direction.

    Root (i, j) goes from ((first_w + i) side_w, (first_b + j) side_b) to the next.
    """

    side: tuple[float, float]
    first: tuple[int, int]
    shape: tuple[int, int]


class Square(NamedTuple):
    """Square (i, j) of the grid of squares whose side is the 2^level-th part of a root's."""

    level: int
    i: int
    j: int

    def children(self) -> list[Square]:
        """Return its four quarters."""
        return [
            Square(self.level + 1, 2 * self.i + di, 2 * self.j + dj)
            for di in (0, 1)
            for dj in (0, 1)
        ]


class Table(NamedTuple):
    """P polynomials of C values each, on squares.

    Attributes
    ----------
    origin, per_root : (2,) arrays
        Where root (0, 0) begins, and roots per unit of w and b.
    roots : (R_w, R_b) array
        The polynomial's number, NOTHING, or −2 − k if the root is cut into children[k].
    children : (Q, 4) array
        The same, of the quarters: the second and fourth are above the middle in b.
    middle, per_half : (P, 2) arrays
        The middle of each square, and 2/side.
    base : (P, C) array
        What is added to each polynomial.
    packed : (P · ORDERS, columns) array
        As `packed` returns them.
    """

    origin: Floats
    per_root: Floats
    roots: NDArray[np.int64]
    children: NDArray[np.int64]
    middle: Floats
    per_half: Floats
    base: Floats
    packed: Floats


def lattice(low: Floats, high: Floats, most: int, x: float) -> Lattice:
    """Return roots that cover a box, some `most` or fewer each way; their sides are powers of 2.

    As wide in w as in b, as far as they move z, where `x` is a typical input, and no less than
    NARROWEST: orbits leave a box of starts that is thin or small.
    """
    sides, firsts, counts = [], [], []
    extent = max(*((high - low) * [x, 1.0]).tolist(), NARROWEST * most)
    for begin, end, scale in zip(low.tolist(), high.tolist(), (x, 1.0), strict=True):
        least = 2.0**-40 * max(abs(begin), abs(end), 1.0)
        _, exponent = np.frexp(max(extent / (most * scale), least))
        side = float(2.0**exponent)
        first = int(np.floor(begin / side))
        sides.append(side)
        firsts.append(first)
        counts.append(max(int(np.ceil(end / side)) - first, 1))
    return Lattice((sides[0], sides[1]), (firsts[0], firsts[1]), (counts[0], counts[1]))


def points_of(roots: Lattice, squares: list[Square], places: Floats) -> Floats:
    """Return the points (2, S, m) of squares at places (2, m), numbers from −1 to 1."""
    out = np.empty((2, len(squares), places.shape[1]))
    cells = np.array(squares, np.float64).reshape(-1, 3)
    for axis in (0, 1):
        side = roots.side[axis] * 0.5 ** cells[:, :1]
        begin = roots.first[axis] * roots.side[axis] + cells[:, 1 + axis, None] * side
        out[axis] = begin + side * (0.5 * (places[axis] + 1.0))
    return out


def table_of(roots: Lattice, squares: list[Square], base: Floats, rows: Floats) -> Table:
    """Return the table of `packed` polynomials (P, ORDERS, columns); of equal squares the last."""
    top, children = [NOTHING] * math.prod(roots.shape), list[list[int]]()
    for number, (level, i, j) in enumerate(squares):
        row, at = top, (i >> level) * roots.shape[1] + (j >> level)
        for depth in range(level - 1, -1, -1):
            if row[at] == NOTHING:
                row[at] = -2 - len(children)
                children.append([NOTHING] * 4)
            row, at = children[-2 - row[at]], 2 * ((i >> depth) & 1) + ((j >> depth) & 1)
        row[at] = number
    cells = np.array(squares, np.float64).reshape(-1, 3)
    side, first = np.array(roots.side), np.array(roots.first)
    sides = side * 0.5 ** cells[:, :1]
    return Table(
        origin=first * side,
        per_root=1.0 / side,
        roots=np.array(top, np.int64).reshape(roots.shape),
        children=np.array(children, np.int64).reshape(-1, 4),
        middle=first * side + (cells[:, 1:] + 0.5) * sides,
        per_half=2.0 / sides,
        base=base,
        packed=rows.reshape(-1, rows.shape[2]),
    )


def empty_table(roots: Lattice, values: int) -> Table:
    """Return the table of no squares, of so many values."""
    no_rows = packed(np.empty((0, values, ORDERS, ORDERS)))
    return table_of(roots, [], np.empty((0, values)), no_rows)


def trees(tables: list[Table]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the roots (T, R_w, R_b) of tables of one lattice, and the children of all."""
    before = np.cumsum([0, *(len(each.children) for each in tables)]).tolist()
    shifted = [
        [np.where(rows < NOTHING, rows - first, rows) for rows in (each.roots, each.children)]
        for each, first in zip(tables, before[:-1], strict=True)
    ]
    roots, children = zip(*shifted, strict=True)
    return np.stack(roots), np.concatenate(children)


def packed(polynomials: Floats) -> Floats:
    """Return rows (P, ORDERS, columns) of polynomials (P, C, ORDERS, ORDERS).

    Coefficients are of powers of the places in w and in b, from −1 to 1, highest first. In each row
    are those of a power of the place in w, filled up to whole lanes on every CPU.
    """
    count, values = polynomials.shape[:2]
    out = np.zeros((count, ORDERS, -(-values * ORDERS // LANES) * LANES))
    by_value = out[:, :, : values * ORDERS].reshape(count, ORDERS, values, ORDERS)
    by_value[...] = polynomials.swapaxes(1, 2)
    return out


def aligned(parts: list[Floats]) -> Floats:
    """Return (A, …), (B, …), … in one array whose registers do not lie across two cache lines."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    out: Floats = aligned_zeros(math.prod(shape), "float64").reshape(shape)
    return np.concatenate(parts, out=out)


def rows_of(table: Table) -> Floats:
    """Return what was packed into a table, (P, ORDERS, columns)."""
    return table.packed.reshape(-1, ORDERS, table.packed.shape[1])


def polynomials_of(table: Table) -> Floats:
    """Return the polynomials (P, C, ORDERS, ORDERS) of a table."""
    count, values = table.base.shape
    rows = rows_of(table)[:, :, : values * ORDERS]
    return rows.reshape(count, ORDERS, values, ORDERS).swapaxes(1, 2)


_NO_TABLE = Table(
    *(np.zeros(1), np.zeros(1)),
    *(np.zeros((1, 1), np.int64),) * 2,
    *(np.zeros((1, 1)),) * 4,
)


TABLE = typeof(_NO_TABLE)
_VECTOR = types.Array(types.float64, 1, "C", readonly=True)


@register_jitable
def find(w, b, some, table, roots, children, squares):
    """Set squares (T, n) to those of T tables that points of numbers `some` (n,) lie on.

    w, b : (N,) arrays
    table : Table
        Any one of them.
    roots, children
        As `trees` returns them.
    """
    origin_w, origin_b, rows = table.origin[0], table.origin[1], roots.shape[1]
    per_w, per_b, columns = table.per_root[0], table.per_root[1], roots.shape[2]
    known_w, low, high = np.nan, 0.0, 0.0
    for j in range(len(some)):
        at_w, at_b = (w[some[j]] - origin_w) * per_w, (b[some[j]] - origin_b) * per_b
        if at_w == known_w and low <= at_b < high:
            # On a grid, neighbours share w, and mostly their squares.
            for t in range(len(roots)):
                squares[t, j] = squares[t, j - 1]
            continue
        squares[:, j], known_w = NOTHING, np.nan
        if not (0.0 <= at_w <= rows and 0.0 <= at_b <= columns):
            continue
        k, m = min(np.int64(at_w), rows - 1), min(np.int64(at_b), columns - 1)
        known_w, low, high = at_w, 1.0 * m, 1.0 * (m + 1)
        for t in range(len(roots)):
            u, v, number, side = at_w - k, at_b - m, roots[t, k, m], 1.0
            while number < NOTHING:
                u, v, side = 2.0 * u, 2.0 * v, 0.5 * side
                above_w, above_b = np.int64(u >= 1.0), np.int64(v >= 1.0)
                u, v = u - above_w, v - above_b
                number = children[-2 - number, 2 * above_w + above_b]
            squares[t, j] = number
            # Exact: v·side is what at_b has beyond a multiple of the side.
            low, high = max(low, at_b - v * side), min(high, at_b - v * side + side)


@register_jitable
def evaluate(w, b, some, square, table, work, values):
    """Set values (C, n) of points of numbers `some` (n,) on squares (n,), but for NOTHING.

    work : (3, columns of table.packed) array
    """
    middle, per_half, base, packed = table.middle, table.per_half, table.base, table.packed
    begin, nothing = 0, register_of(work)
    while begin < len(some):
        p, at_w, end = square[begin], w[some[begin]], begin + 1
        if p == NOTHING:
            begin = end
            continue
        t = (at_w - middle[p, 0]) * per_half[p, 0]
        for column in range(0, packed.shape[1], WIDTH):
            value = load(packed, ORDERS * p, column)
            for row in range(ORDERS * p + 1, ORDERS * (p + 1)):
                value = fma(value, t, load(packed, row, column))
            store(work, 0, column, value)
        # On a grid, neighbours share w: what is left is a polynomial in b.
        while end < len(some) and square[end] == p and w[some[end]] == at_w:
            end += 1
        for first in range(begin, end, REGISTER):
            last = min(first + REGISTER, end)
            for j in range(first, last):
                work[1, j - first] = (b[some[j]] - middle[p, 1]) * per_half[p, 1]
            t = load_like(nothing, work, 1, 0)
            for c in range(base.shape[1]):
                total = nothing + work[0, ORDERS * c]
                for m in range(ORDERS * c + 1, ORDERS * (c + 1)):
                    total = fma(total, t, work[0, m])
                store(work, 2, 0, total + base[p, c])
                for j in range(first, last):
                    values[c, j] = work[2, j - first]
        begin = end


@once
def _compile_on() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compile find(w, b, table, roots, children, squares), evaluate(w, b, square, table, values).

    They are the above for all of N points.
    """
    whole, matrix = types.int64, types.Array(types.float64, 2, "C")

    @compiled(types.void(_VECTOR, _VECTOR, TABLE, whole[:, :, ::1], whole[:, ::1], whole[:, ::1]))
    def find_all(w, b, table, roots, children, squares):
        find(w, b, np.arange(len(b)), table, roots, children, squares)

    @compiled(types.void(_VECTOR, _VECTOR, whole[::1], TABLE, matrix))
    def evaluate_all(w, b, square, table, values):
        work = np.zeros((3, table.packed.shape[1]))
        evaluate(w, b, np.arange(len(b)), square, table, work, values)

    return find_all, evaluate_all


def find_squares(table: Table, w: Floats, b: Floats) -> NDArray[np.int64]:
    """Return the numbers (N,) of the squares that points lie on, NOTHING for none."""
    squares = np.empty((1, len(b)), np.int64)
    points = np.ascontiguousarray(w), np.ascontiguousarray(b)
    _compile_on()[0](*points, table, *trees([table]), squares)
    found: NDArray[np.int64] = squares[0]
    return found


def evaluate_on(table: Table, square: NDArray[np.int64], w: Floats, b: Floats) -> Floats:
    """Return values (C, N) at points on squares of these numbers."""
    values = np.empty((table.base.shape[1], len(b)))
    points = np.ascontiguousarray(w), np.ascontiguousarray(b)
    _compile_on()[1](*points, square, table, values)
    return values


def size_of(polynomials: Floats) -> Floats:
    """Return the sums (…,) of the sizes of all coefficients (…, ORDERS, ORDERS), in their order."""
    each = np.abs(polynomials, order="C").reshape(*polynomials.shape[:-2], ORDERS * ORDERS)
    total: Floats = np.add.accumulate(each, axis=-1)[..., -1]
    return total


def steepest_of(table: Table, count: int) -> Floats:
    """Return bounds (P,) of |∂/∂w| + |∂/∂b| of the first `count` values, by their coefficients."""
    powers = np.arange(ORDERS - 1.0, -1.0, -1.0)
    made = polynomials_of(table)[:, :count]
    in_w, in_b = size_of(made * powers[:, None]), size_of(made * powers)
    steep: Floats = in_w * table.per_half[:, :1] + in_b * table.per_half[:, 1:]
    greatest: Floats = steep.max(axis=1)
    return greatest
