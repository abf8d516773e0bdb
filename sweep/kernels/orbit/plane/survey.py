"""What a few starts do, before anything is built: which squares come first, where orbits lead."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.block import FEW_NEURONS, trainer
from sweep.kernels.orbit.plane.tables import Lattice, Square, points_of
from sweep.kernels.pool import run_strided
from sweep.kernels.results import TrainResult, empty_results
from sweep.neuron.problem import Problem, Status

__all__ = ["Survey", "Task", "survey"]

Floats = NDArray[np.float64]

# The middle of a root and those of its quarters.
SURVEYED = np.array([[0.0, -0.5, -0.5, 0.5, 0.5], [0.0, -0.5, 0.5, -0.5, 0.5]])

# Roots beyond the starts are built if so many orbits stop there, as a share of all orbits, and if
# they are not farther than so many times the starts' extent.
FREQUENT, MOST_FARTHER = 0.05, 2

# Updates by single samples in a call of a survey, at most; and those that are left to one thread.
SURVEY_UPDATES, SHARED = 2**28, 2**20


class Task(NamedTuple):
    """What all steps of the building share.

    Attributes
    ----------
    roots : Lattice
        The squares that cover the starts.
    longest : int
        Epochs after which a point is given up.
    rounding : float
        How far training rounds w and b in an epoch, at most.
    deepest : int
        How often a square may be halved.
    threads : int
    stop : (1,) uint8 array
        The building is abandoned soon after it becomes 1.
    """

    problem: Problem
    rate: float
    roots: Lattice
    longest: int
    rounding: float
    deepest: int
    threads: int
    stop: NDArray[np.uint8]


class Survey(NamedTuple):
    """What a few starts of each root do.

    Attributes
    ----------
    epochs : (S,) array
        Of the starts; NaN for those that do not converge within `longest`.
    roots : Lattice
        The roots that cover the starts and what they pass through.
    times : dict
        Epochs from some points on each root of a start, or passed through, to convergence.
    often : set
        The roots of starts, and those that many pass through.
    low, high : (2,) arrays
        The least and greatest w and b on their way.
    """

    epochs: Floats
    roots: Lattice
    times: dict[Square, Floats]
    often: set[Square]
    low: Floats
    high: Floats


def every_root(roots: Lattice) -> list[Square]:
    """Return all roots of a lattice."""
    return [Square(0, i, j) for i in range(roots.shape[0]) for j in range(roots.shape[1])]


def _trained(task: Task, state: Floats, epochs: int) -> TrainResult:
    """Train starts (2, N) for so many epochs at most."""
    out, rates = empty_results(state.shape[1], 1), np.array([task.rate])
    few = state.shape[1] <= FEW_NEURONS
    train = trainer(replace(task.problem, max_epochs=epochs), "float64", few=few)

    def part(here: slice) -> None:
        w, b = state[:, here]
        some = empty_results(len(b), 1)
        train(some, w[:, None].copy(), b.copy(), rates, task.stop)
        for name, values in vars(some).items():
            getattr(out, name)[here] = values

    least = SHARED // (epochs * len(task.problem.x)) + 1
    run_strided(part, state.shape[1], task.threads, least)
    return out


def survey(task: Task) -> Survey:
    """Train a few starts of each root, and see where they come."""
    roots = task.roots
    state = points_of(roots, every_root(roots), SURVEYED).reshape(2, -1)
    epochs, left, walked = np.full(state.shape[1], np.nan), np.arange(state.shape[1]), 0
    low, high = state.min(axis=1), state.max(axis=1)
    side = np.array(roots.side)[:, None]
    passed = [(left, walked, np.floor(state / side))]
    # No call takes long: between two of them Ctrl-C is heard.
    most = max(SURVEY_UPDATES // (state.shape[1] * len(task.problem.x)), 1)
    while len(left) and walked < task.longest and not task.stop[0]:
        chunk = min(max(8, walked // 8), most, task.longest - walked)
        trained = _trained(task, state, chunk)
        state = np.array([trained.w[:, 0], trained.b])
        low, high = np.minimum(low, state.min(axis=1)), np.maximum(high, state.max(axis=1))
        met = trained.status == Status.converged
        epochs[left[met]] = walked + trained.epochs[met]
        left, state, walked = left[~met], state[:, ~met], walked + chunk
        passed.append((left, walked, np.floor(state / side)))
    cells = np.concatenate([cell for _, _, cell in passed], axis=1)
    first, last = np.array(roots.first), np.array(roots.first) + roots.shape
    farther = MOST_FARTHER * (last - first)
    begin = np.maximum(np.minimum(cells.min(axis=1) - 1, first), first - farther)
    end = np.minimum(np.maximum(cells.max(axis=1) + 2, last), last + farther)
    (i, j), (rows, columns) = begin.astype(int).tolist(), (end - begin).astype(int).tolist()
    there = ((begin[:, None] <= cells) & (cells < end[:, None])).all(axis=0)
    after = np.concatenate([epochs[which] - walked for which, walked, _ in passed])[there]
    place = (cells[:, there] - begin[:, None]).astype(int)
    numbers, number = np.unique(place[0] * columns + place[1], return_inverse=True)
    by_root = np.split(after[number.argsort(kind="stable")], np.bincount(number).cumsum()[:-1])
    keys = [Square(0, *divmod(k, columns)) for k in numbers.tolist()]
    times = dict(zip(keys, by_root, strict=True))
    found = Lattice(roots.side, (i, j), (rows, columns))
    starts = {Square(0, first[0] - i + k, first[1] - j + m) for _, k, m in every_root(roots)}
    many = FREQUENT * len(epochs)
    passed_often = {square for square, after in times.items() if len(after) > many}
    return Survey(epochs, found, times, starts | passed_often, low, high)
