"""`train`: arrays of starts in, epochs out; blocks of neurons on a pool of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError
from sweep.kernels.lanes import WIDTH, block_kernel
from sweep.kernels.threads import check_threads, run_blocks
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

# Neurons that a thread takes at a time: enough that refilling keeps the lanes busy (a block's
# last neurons train with lanes empty), few enough that threads finish together.
BLOCK = 8192


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


def _largest_sum(mean: float, n: int) -> float:
    """Return the largest float whose n-th part is at most mean, so that Σ|a−y|/n needs no test."""
    total = np.float64(mean) * n
    while total / n > mean:
        total = np.nextafter(total, -np.inf)
    while np.nextafter(total, np.inf) / n <= mean:
        total = np.nextafter(total, np.inf)
    return float(total)


def _padded(rows: int, count: int, dtype: Any) -> NDArray[Any]:
    return np.zeros((rows, -(-count // WIDTH) * WIDTH), dtype)


def train_into(
    out: Trained,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    learning_rate: NDArray[np.float64],
    ask: Problem,
    stop: NDArray[np.uint8],
) -> None:
    """Train one block of neurons on this thread and write the results into `out`.

    Parameters
    ----------
    out : Trained
        Of N neurons, `w` of shape (N, d); views into larger arrays will do.
    w, b, learning_rate : (N, d), (N,) and (N,) arrays
    stop : (1,) uint8 array
        The work is abandoned soon after it becomes 1.
    """
    size, dtype = len(b), out.b.dtype
    n, d = ask.x.shape
    with np.errstate(over="ignore", invalid="ignore"):  # such starts get status non_finite
        if n == 1:
            # Summed in this order and no other: BLAS picks one by shape and CPU.
            z = b
            for j in range(d):
                z = z + w[:, j] * ask.x[0, j]
            step = learning_rate * (sum(v * v for v in ask.x[0]) + 1.0)
            parameters = z[None]
            features = np.ones((1, 1), dtype)
        else:
            step = learning_rate / n
            parameters = np.vstack([w.T, b[None]])
            features = np.hstack([ask.x, np.ones((n, 1))])
            z = features @ parameters
        finite = np.isfinite(np.atleast_2d(z)).all(axis=0)
    start, total = (_padded(len(parameters), size, dtype) for _ in range(2))
    rate, initial, final = (_padded(1, size, dtype) for _ in range(3))
    count = _padded(1, size, np.int64)
    start[:, :size], rate[0, :size] = np.where(finite, parameters, 0.0), step
    block_kernel(ask.cost, ask.activation, "one" if n == 1 else "many", str(dtype))(
        *(start, rate, total, count, initial, final, (~finite).view(np.uint8)),
        *(features, ask.y, _largest_sum(ask.tolerance, n), ask.max_epochs, size, stop),
    )
    out.epochs[:] = count[0, :size]
    out.initial_error[:] = np.where(finite, initial[0, :size] / n, np.nan)
    out.final_error[:] = np.where(finite, final[0, :size] / n, np.nan)
    out.status[:] = np.where(out.final_error <= ask.tolerance, Status.converged, Status.max_epochs)
    out.status[~finite] = Status.non_finite
    if n == 1:
        moved = learning_rate * total[0, :size]
        out.w[:] = w - moved[:, None] * ask.x[0]
        out.b[:] = b - moved
    else:
        moved = step * total[:, :size]
        out.w[:] = w - moved[:-1].T
        out.b[:] = b - moved[-1]


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
    cost : "quadratic" or "cross_entropy"
    x : scalar, (n,) or (n, d) array
        The samples, all of them in every epoch.
    y : scalar or (n,) array
        Targets within the activation's range.
    tolerance : float
        A neuron has converged when the mean of |y − a| is at most this.
    max_epochs : int
        Updates after which a neuron is given up.
    activation : "sigmoid" or "tanh"
    dtype : "float64"
    method : "auto" or "train"
        "train" walks every epoch.
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
    rates = np.broadcast_to(rates, biases.shape)
    out = untrained(len(biases), weights.shape[1], dtype)

    def block(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        here = slice(first, last)
        part = Trained(*(getattr(out, name)[here] for name in Trained.__dataclass_fields__))
        train_into(part, weights[here], biases[here], rates[here], ask, stop)

    cuts = range(0, len(biases), BLOCK)
    run_blocks(block, [(i, min(i + BLOCK, len(biases))) for i in cuts], threads)
    return Trained(**{**vars(out), "w": out.w[:, 0]}) if flat else out
