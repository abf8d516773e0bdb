"""`train`: arrays of starts in, epochs out; blocks of neurons on a pool of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError
from sweep.kernels.lanes import COLUMNS, kernels
from sweep.kernels.orbit import answer, both_sides, choose_orbit
from sweep.kernels.staircase import Staircase
from sweep.kernels.threads import (
    LARGEST_BLOCK,
    ORBIT_BLOCK,
    blocks,
    check_threads,
    run_blocks,
)
from sweep.neuron.problem import (
    DTYPES,
    METHODS,
    Problem,
    Status,
    check_choice,
    check_step,
    problem,
)

__all__ = ["Trained", "train", "train_into", "untrained"]


@dataclass(frozen=True)
class Trained:
    """What became of N neurons.

    Attributes
    ----------
    epochs : (N,) int32 array
        Updates applied when the error first was at most the tolerance; max_epochs if it never was.
    status : (N,) int8 array
        A `sweep.Status` each: 0 converged, 1 max_epochs, 2 non_finite.
    initial_error, final_error : (N,) array
        Mean over the samples of |y − a| before the first update and at the stop; NaN where the
        start is not finite.
    w : (N,) or (N, d) array, as the starts
    b : (N,) array
        Weights and bias at the stop.
    """

    epochs: NDArray[np.int32]
    status: NDArray[np.int8]
    initial_error: NDArray[np.float64]
    final_error: NDArray[np.float64]
    w: NDArray[np.float64]
    b: NDArray[np.float64]


def untrained(count: int, inputs: int, dtype: str = "float64") -> Trained:
    """Return room for the results of `count` neurons."""
    return Trained(
        epochs=np.empty(count, np.int32),
        status=np.empty(count, np.int8),
        initial_error=np.empty(count, dtype),
        final_error=np.empty(count, dtype),
        w=np.empty((count, inputs), dtype),
        b=np.empty(count, dtype),
    )


def _largest_sum(mean: float, n: int, dtype: np.dtype[Any]) -> Any:
    """Return the largest float whose n-th part is at most mean: the bound for Σ|a − y|."""
    number = dtype.type
    total = number(mean) * number(n)
    while total / number(n) > mean:
        total = np.nextafter(total, number(-np.inf))
    while np.nextafter(total, number(np.inf)) / number(n) <= mean:
        total = np.nextafter(total, number(np.inf))
    return total


def _oriented(ask: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return signs (n,) of z and targets (n,) so that no target lies in the upper half."""
    act = ask.act
    mirrored = np.array([act.mirrors(y) for y in ask.y])
    return np.where(mirrored, -1.0, 1.0), np.where(mirrored, act.low + act.high - ask.y, ask.y)


def _weighted(
    w: NDArray[np.float64], b: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return w·x + b, summed in this order and no other: BLAS picks one by shape and CPU."""
    z: NDArray[np.float64] = w[:, 0] * x[0]
    for j in range(1, len(x)):
        z += w[:, j] * x[j]
    z += b
    return z


def _longest_first(queue: NDArray[np.intp], distance: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the queue by falling distance, roughly, so that its last neurons are quick ones.

    While the last of a block train, lanes stand empty. Useful lane-epochs on 65,536 neurons of the
    benchmark's sweep: 91 % in the grid's order, 99 % in this one (float32: 84 % and 99 %). Sorting
    16-bit keys takes 5 ns a neuron.
    """
    if len(queue) == 0:
        return queue.view(np.uint64)
    far = distance[queue]
    high, low = far.max(), far.min()
    scale = 65535.0 / (high - low) if high > low else 0.0
    keys = ((high - far) * scale).astype(np.uint16)
    return queue[np.argsort(keys, kind="stable")].view(np.uint64)


def train_into(
    out: Trained,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    learning_rate: NDArray[np.float64],
    ask: Problem,
    stop: NDArray[np.uint8],
    stairs: list[Staircase] | None = None,
) -> int:
    """Train one block of neurons on this thread and write the results into `out`.

    Parameters
    ----------
    out : Trained
        Of N neurons, `w` of shape (N, d); views into larger arrays will do.
    w, b, learning_rate : (N, d), (N,) and (N,) arrays
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.
    stairs : list of Staircase, optional
        Made for the one learning rate of all these neurons: what they decide is not trained.

    Returns
    -------
    int
        Lane-epochs walked, those of lanes without work too.
    """
    size, dtype = len(b), out.b.dtype
    n, d = ask.x.shape
    sign, y = _oriented(ask)
    padded = -(-size // COLUMNS) * COLUMNS
    p = 1 if n == 1 else d + 1
    start, total = np.zeros((p, padded), dtype), np.zeros((p, padded), dtype)
    rate, error = np.zeros((1, padded), dtype), np.zeros((1, padded), dtype)
    count = np.zeros((1, padded), np.int64 if dtype == np.float64 else np.int32)
    with np.errstate(over="ignore", invalid="ignore"):  # such starts get status non_finite
        if n == 1:
            start[0, :size] = sign[0] * _weighted(w, b, ask.x[0])
            rate[0, :size] = learning_rate * (sum(v * v for v in ask.x[0]) + 1.0)
            features = np.ones((1, 1), dtype)
            finite: NDArray[np.bool_] = np.isfinite(start[0, :size])
        else:
            start[:-1, :size], start[-1, :size] = w.T, b
            rate[0, :size] = learning_rate / n
            features = (np.hstack([ask.x, np.ones((n, 1))]) * sign[:, None]).astype(dtype)
            finite = np.all(np.isfinite(features @ start[:, :size]), axis=0)
    everywhere = bool(finite.all())
    if not everywhere:
        start[:, :size][:, ~finite] = 0.0
    limit = _largest_sum(ask.tolerance, n, dtype)
    one_or_many = "one" if n == 1 else "many"
    measure, train = kernels(ask.cost, ask.activation, one_or_many, str(dtype))
    y = y.astype(dtype)
    walked = 0
    measure(start, rate, total, features, y, error)
    np.divide(error[0, :size], n, out=out.initial_error)
    if ask.max_epochs > 0:
        unmet = np.flatnonzero((error[0, :size] > limit) & finite)
        queue = _longest_first(unmet, start[0] if n == 1 else error[0])
        if stairs is not None:
            queue = answer(stairs, start, queue, total, count, rate[0, 0], ask.max_epochs)
        walked = train(
            *(start, rate, queue, total, count, features, y, limit, ask.max_epochs, stop)
        )
        measure(start, rate, total, features, y, error)
    np.divide(error[0, :size], n, out=out.final_error)
    out.epochs[:] = count[0, :size]
    np.multiply(error[0, :size] > limit, Status.max_epochs, out=out.status, casting="unsafe")
    if n == 1:
        total[0] *= sign[0]
        moved = learning_rate * total[0, :size]
        for j in range(d):
            np.subtract(w[:, j], moved * ask.x[0, j], out=out.w[:, j])
        np.subtract(b, moved, out=out.b)
    else:
        moved = rate[0, :size] * total[:, :size]
        np.subtract(w, moved[:-1].T, out=out.w)
        np.subtract(b, moved[-1], out=out.b)
    if not everywhere:
        out.status[~finite] = Status.non_finite
        out.initial_error[~finite] = out.final_error[~finite] = np.nan
    return walked


def _starts(field: str, value: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise SpecError(f"{field}: must be an array of numbers") from None
    return np.atleast_1d(array)


def train(
    w: ArrayLike,
    b: ArrayLike,
    *,
    learning_rate: ArrayLike,
    cost: str,
    x: ArrayLike,
    y: ArrayLike,
    tolerance: float,
    max_epochs: int,
    activation: str = "sigmoid",
    dtype: str = "float64",
    method: str = "auto",
    threads: int | None = None,
) -> Trained:
    """Train N independent neurons by batch gradient descent and count their epochs.

    Parameters
    ----------
    w : (N,) or (N, d) array
        Starting weights; (N,) for one input. A start that is not finite gives that neuron the
        status non_finite and touches no other.
    b : (N,) array
        Starting biases.
    learning_rate : float or (N,) array
    cost : str
        "quadratic", "cross_entropy" (with the sigmoid), "tanh_cross_entropy", "softsign_matching".
    x : scalar, (n,) or (n, d) array
        The samples, all of them in every epoch.
    y : scalar or (n,) array
        Targets within the activation's range.
    tolerance : float
        A neuron has converged when the mean of |y − a| is at most this.
    max_epochs : int
        Updates after which a neuron is given up.
    activation : "sigmoid", "tanh" or "softsign"
    dtype : "float64" or "float32"
    method : "auto", "train" or "orbit"
        "train" walks every epoch. "orbit" gives the same epochs, and the rest to 1e-9, from one
        backward orbit; it needs one sample, one learning rate, float64 and a map that does not
        fold. "auto" takes the orbit where that holds and there are at least 32,768 neurons.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.

    Raises
    ------
    SpecError
        Names the argument, its value and what is allowed. It is a ValueError.

    Examples
    --------
    The article's two starts, until the output is below 0.1:

    >>> import sweep
    >>> sweep.train([0.6, 2.0], [0.9, 2.0], learning_rate=0.15, cost="quadratic",
    ...             x=1.0, y=0.0, tolerance=0.1, max_epochs=10_000).epochs.tolist()
    [273, 469]
    """
    ask = problem(
        x=x, y=y, cost=cost, activation=activation, tolerance=tolerance, max_epochs=max_epochs
    )
    check_choice("dtype", dtype, DTYPES)
    check_choice("method", method, METHODS)
    threads = check_threads(threads)
    weights, biases = _starts("w", w), _starts("b", b)
    flat = weights.ndim == 1
    weights = weights[:, None] if flat else weights
    if biases.ndim != 1 or weights.ndim != 2 or len(weights) != len(biases):
        raise SpecError(
            f"w and b: have shapes {np.shape(w)} and {np.shape(b)}; must be (N, d) and (N,), "
            "with one bias for each neuron"
        )
    if weights.shape[1] != ask.x.shape[1]:
        raise SpecError(
            f"w: has {weights.shape[1]} weights for each neuron; x has {ask.x.shape[1]} inputs"
        )
    rates = _starts("learning_rate", learning_rate)
    if rates.shape not in {(1,), (len(biases),)}:
        raise SpecError(
            f"learning_rate: has shape {rates.shape}; must be one number or one for each of the "
            f"{len(biases)} neurons"
        )
    check_step(rates, ask.x)
    out = untrained(len(biases), weights.shape[1], dtype)
    stairs = None
    if choose_orbit(method, ask, rates, len(biases), dtype):
        with np.errstate(over="ignore", invalid="ignore"):
            z = _weighted(weights, biases, ask.x[0])
        z = z[np.isfinite(z)]
        stairs = both_sides(ask, float(rates[0]), float(z.min(initial=0)), float(z.max(initial=0)))
    rates = np.broadcast_to(rates, biases.shape)

    def block(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        here = slice(first, last)
        part = Trained(*(getattr(out, name)[here] for name in Trained.__dataclass_fields__))
        train_into(part, weights[here], biases[here], rates[here], ask, stop, stairs)

    largest = LARGEST_BLOCK if stairs is None else ORBIT_BLOCK
    run_blocks(block, blocks(len(biases), threads, largest), threads)
    return Trained(**{**vars(out), "w": out.w[:, 0]}) if flat else out
