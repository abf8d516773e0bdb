"""The lookup: starts in, epochs and ends out of the tables; those that are uncertain are left."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.block import FEW_NEURONS, trainer
from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.plane.cut import CutOff
from sweep.kernels.orbit.plane.ends import find_ends
from sweep.kernels.orbit.plane.jumps import after_epochs
from sweep.kernels.orbit.plane.rest import walk_rest
from sweep.kernels.orbit.plane.squares import Known
from sweep.kernels.orbit.plane.stencil import ERROR, B, W
from sweep.kernels.orbit.plane.survey import Task
from sweep.kernels.orbit.plane.tables import (
    LANES,
    NOTHING,
    TABLE,
    Lattice,
    evaluate,
    find,
    trees,
)
from sweep.kernels.orbit.plane.walking import Jumps
from sweep.kernels.pool import ORBIT_BLOCK
from sweep.kernels.results import TrainResult, empty_results, rows
from sweep.neuron.problem import Problem, Status

__all__ = ["Plane", "lookup_plane_into"]

Floats = NDArray[np.float64]

# Starts that are looked up together.
CHUNK = 128

# Starts on no square that are walked together.
WALKED_TOGETHER = 4096

CONVERGED, UNMET = int(Status.converged), int(Status.max_epochs)


class Plane(NamedTuple):
    """What starts of one problem and learning rate are looked up in.

    Attributes
    ----------
    known : Known
        A, and where starts end.
    bound : (P,) array
        A nearer to a whole number than this is uncertain.
    cut : CutOff
        Where starts are that max_epochs cuts off.
    task, jumps
        For starts on no square: they are walked.
    walks : bool
        Whether they are; if hardly any squares are smooth they are trained.
    """

    known: Known
    bound: Floats
    cut: CutOff
    task: Task
    jumps: Jumps
    walks: bool


@once
def _compile_lookup() -> Callable[..., tuple[int, int]]:
    """Compile lookup(w, b, …, late, uncertain), which leaves some starts, and returns how many.

    It cuts off those of numbers `late`, but does not know where they end; it knows nothing of those
    of numbers `uncertain`.

    w, b : (N,) arrays
    roots, children
        Those of both tables, of A and of what max_epochs cuts off.
    known, polynomials, bound; cut, cut_bound
        The tables, where starts end, and how far A and the error may be off.
    status, epochs, error, out_w, out_b : (N,) arrays
        Are set, out_w and out_b if they are not empty; starts whose status is not max_epochs are
        passed over.
    """
    vector, matrix = types.Array(types.float64, 1, "A"), types.float64[:, ::1]
    known_vector = types.Array(types.float64, 1, "C", readonly=True)
    strided = [types.Array(number, 1, "A") for number in (types.int8, types.int32)]

    @compiled(
        types.UniTuple(types.int64, 2)(
            known_vector, known_vector, types.int64[:, :, ::1], types.int64[:, ::1], TABLE, matrix,
            types.float64[::1], TABLE, types.float64[::1], types.float64, types.int64, *strided,
            vector, vector, vector, types.int64[::1], types.int64[::1],
        )
    )  # fmt: skip
    def lookup(
        w, b, roots, children, known, polynomials, bound, cut, cut_bound, tolerance, max_epochs,
        status, epochs, error, out_w, out_b, late, uncertain,
    ):  # fmt: skip
        work = np.zeros((3, max(known.packed.shape[1], cut.packed.shape[1])))
        some, squares = np.empty(CHUNK, np.int64), np.empty((2, CHUNK), np.int64)
        met, of_end, first_end = some.copy(), np.zeros((3, LANES)), W if len(out_b) else ERROR
        values, ends = np.empty((3, CHUNK)), np.empty((3, CHUNK))
        just_above, cut_late, left = np.nextafter(tolerance, np.inf), 0, 0
        # Step by step for some starts at a time: the steps of one start wait for one another.
        for first in range(0, len(b), CHUNK):
            count = 0
            for i in range(first, min(first + CHUNK, len(b))):
                if status[i] == UNMET:
                    some[count] = i
                    count += 1
            find(w, b, some[:count], known, roots, children, squares)
            evaluate(w, b, some[:count], squares[0], known, work, values)
            before, count, done = count, 0, 0
            for j in range(before):
                i, p, time, place = some[j], squares[0, j], values[0, j], values[1, j]
                whole = np.ceil(time)
                known_time = p != NOTHING and time > 0.0 and whole <= max_epochs
                if not known_time or not abs(time - np.rint(time)) > bound[p]:
                    if p != NOTHING and time - bound[p] > max_epochs and squares[1, j] == NOTHING:
                        late[cut_late] = i
                        cut_late += 1
                    else:
                        some[count], squares[1, count] = i, squares[1, j]
                        count += 1
                    continue
                status[i], epochs[i] = CONVERGED, whole
                met[done], squares[0, done] = i, p
                values[1, done], values[2, done] = place, 2.0 * (whole - time) - 1.0
                done += 1
            at = squares[0, :done]
            find_ends(polynomials, at, values[1], values[2], first_end, of_end, ends)
            for j in range(done):
                i = met[j]
                error[i] = min(ends[ERROR, j], tolerance)
                if len(out_b) > 0:
                    out_w[i], out_b[i] = ends[W, j], ends[B, j]
            evaluate(w, b, some[:count], squares[1], cut, work, values)
            for j in range(count):
                i, p = some[j], squares[1, j]
                if p == NOTHING or not values[ERROR, j] - cut_bound[p] > tolerance:
                    uncertain[left] = i
                    left += 1
                    continue
                epochs[i], error[i] = max_epochs, max(values[ERROR, j], just_above)
                if len(out_b) > 0:
                    out_w[i], out_b[i] = values[W, j], values[B, j]
        return cut_late, left

    return lookup


def lookup_plane_into(
    out: TrainResult,
    w: Floats,
    b: Floats,
    rate: float,
    problem: Problem,
    stop: NDArray[np.uint8],
    plane: Plane,
) -> None:
    """Write the results of a block of starts w (N, 1), b into `out`.

    Those on no square are walked, and what is then uncertain is trained.
    """
    rates, starting = np.array([rate]), trainer(replace(problem, max_epochs=0), "float64")
    known, cut, task = plane.known, plane.cut, plane.task._replace(threads=1, stop=stop)
    both, lookup = trees([known.table, cut.table]), _compile_lookup()
    found = np.empty((2, min(len(b), ORBIT_BLOCK)), np.int64)
    surely_late, left = [found[0, :0]], [found[0, :0]]
    for first in range(0, len(b), ORBIT_BLOCK):
        chunk = slice(first, first + ORBIT_BLOCK)
        part = rows(out, chunk)
        starting(part, w[chunk], b[chunk], rates, stop)
        if problem.max_epochs:
            counts = lookup(
                np.ascontiguousarray(w[chunk, 0]), b[chunk], *both, known.table,
                known.ends.polynomials.reshape(-1, LANES), plane.bound, cut.table, cut.bound,
                problem.tolerance, problem.max_epochs, part.status, part.epochs, part.final_error,
                part.w[:, 0], part.b, *found,
            )  # fmt: skip
            for kept, numbers, count in zip((surely_late, left), found, counts, strict=True):
                kept.append(first + numbers[:count])
    just_above = np.nextafter(problem.tolerance, np.inf)

    def write(here: NDArray[np.int64], epochs: Floats | int, ends: Floats) -> None:
        out.epochs[here], out.final_error[here] = epochs, ends[ERROR]
        if len(out.b):
            out.w[here, 0], out.b[here] = ends[:ERROR]

    uncertain = np.concatenate(left)
    # Beyond the roots rounding is not bounded.
    near = plane.walks & _is_on(task.roots, w[uncertain, 0], b[uncertain])
    trained, uncertain = [uncertain[~near]], uncertain[near]
    for first in range(0, len(uncertain), WALKED_TOGETHER):
        here = uncertain[first : first + WALKED_TOGETHER]
        theta = np.array([w[here, 0], b[here]])
        met, cut_off, beyond, epochs, ends = walk_rest(task, theta, known, plane.bound, plane.jumps)
        ends[ERROR, cut_off] = np.maximum(ends[ERROR, cut_off], just_above)
        out.status[here[met]] = CONVERGED
        write(here[met], epochs[met], ends[:, met])
        write(here[cut_off], problem.max_epochs, ends[:, cut_off])
        surely_late.append(here[beyond])
        trained.append(here[~(met | cut_off | beyond)])
    here = np.concatenate(surely_late)
    if len(here):
        theta = np.array([w[here, 0], b[here]])
        ends = after_epochs(task, problem.max_epochs, theta, plane.jumps)
        ends[ERROR] = np.maximum(ends[ERROR], just_above)
        write(here, problem.max_epochs, ends)
    here = np.concatenate(trained)
    if len(here):
        rest = empty_results(len(here), 1, weights=len(out.b) > 0)
        train = trainer(problem, "float64", few=len(here) <= FEW_NEURONS)
        train(rest, w[here], b[here], rates, stop)
        for name, values in vars(rest).items():
            if len(values):
                getattr(out, name)[here] = values


def _is_on(roots: Lattice, w: Floats, b: Floats) -> NDArray[np.bool_]:
    """Say of points (N,) whether they lie on the roots."""
    inside = np.ones(len(w), np.bool_)
    for values, side, first, count in zip((w, b), *roots, strict=True):
        inside &= (first * side <= values) & (values <= (first + count) * side)
    return inside
