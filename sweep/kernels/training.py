"""`train`: arrays of starts in, epochs out; blocks of neurons on a pool of threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError, check_choice
from sweep.kernels.block import trainer
from sweep.kernels.orbit import Orbit, Plane, build_orbit, choose_orbit, lookup_into
from sweep.kernels.pool import ORBIT_BLOCK, block_sizes, blocks, check_threads, run_blocks
from sweep.kernels.results import TrainResult, empty_results, rows
from sweep.neuron.optimizers import Optimizer
from sweep.neuron.own_costs import Cost
from sweep.neuron.problem import METHODS, Problem, check_dtype, check_step, make_problem, numbers

__all__ = ["train", "train_starts"]


def _floats(array: NDArray[Any], dtype: str = "float64") -> NDArray[Any]:
    with np.errstate(over="ignore"):  # of longdoubles
        return np.ascontiguousarray(array, dtype=dtype)


def train(
    w: ArrayLike,
    b: ArrayLike,
    *,
    learning_rate: ArrayLike,
    cost: str | Cost,
    x: ArrayLike,
    y: ArrayLike,
    tolerance: float,
    max_epochs: int,
    activation: str = "sigmoid",
    dtype: str = "float64",
    method: str = "auto",
    rule: str = "error",
    follow: int | None = None,
    optimizer: str | Optimizer = "gd",
    threads: int | None = None,
) -> TrainResult:
    """Train N independent neurons by batch gradient descent and count their epochs.

    Parameters
    ----------
    w : (N,) or (N, d) array
        Starting weights; (N,) for one input. A start that is not finite (NaN, None, or w·x + b
        overflows) gives that neuron the status non_finite and touches no other.
    b : (N,) array
        Starting biases.
    learning_rate : float or (N,) array
    cost : str or Cost
        A `Cost` of your own, or "quadratic", "cross_entropy" (with the sigmoid),
        "tanh_cross_entropy", "softsign_matching".
    x : scalar, (n,) or (n, d) array
        The samples, all of them in every epoch.
    y : scalar or (n,) array
        Targets within the activation's range.
    tolerance : float
        A neuron has converged when the mean of |y − a| is at most this, or what `rule` says.
    max_epochs : int
        Updates after which a neuron is given up.
    activation : "sigmoid", "tanh" or "softsign"
    dtype : "float64" or "float32"
    method : "auto", "train" or "orbit"
        "train" walks every epoch. "orbit" gives the same epochs from one backward orbit, and the
        rest to a relative 1e-9; where training takes more than 10⁵ epochs, to 1e-8, most of which
        is training's own rounding. It needs one sample, or many of one input, one learning rate,
        float64 and a map that does not fold. "auto" takes the orbit where that holds, from 16,384
        neurons on, and from 65,536 on if they are followed or there are many samples.
    rule : "error" or "gradient"
        What is compared with the tolerance: the mean of |y − a|, or the largest of |∂C/∂w_j| and
        |∂C/∂b|. Where classes overlap no error is small, but a gradient is. It is small on a
        plateau, too: a saturated start has "converged" under the quadratic cost at once.
    follow : int, optional
        Epochs to walk each neuron after its training, converged or not, to see what becomes of it:
        the result is a `FollowResult` with `outcome`, `period`, `lyapunov` and more. With gradient
        descent alone.
    optimizer : str or Optimizer
        "gd", gradient descent; "momentum", "nesterov" or "adam", or an `Optimizer` with other
        parameters than theirs. All but gradient descent are trained, whatever `method` "auto" is.
    threads : int, optional
        Default: the CPUs that this process may use. The results do not depend on it.

    Raises
    ------
    SpecError
        Names the argument, its value and what is allowed. It is a ValueError. Masked values,
        complex numbers and texts are refused.

    Notes
    -----
    In float64 epochs are those of exact arithmetic as long as steps do not overshoot: rounding
    then does not grow, and only an error within some units of its last place of the tolerance could
    be counted otherwise. Where they do (soft targets 0 < y < 1, a sigmoid and κ = η(|x|² + 1) above
    2/s with cross-entropy or 2/s² with the quadratic cost, s = y(1 − y)), orbits cycle or are
    chaotic, rounding grows from epoch to epoch, and no float64 counts exactly. Momentum and
    Nesterov's have other bounds (`Update.flip`); Adam, whose steps do not shrink with the gradient,
    has none, and swings about a target between the ends of the range.

    Examples
    --------
    The article's two starts, until the output is below 0.1:

    >>> import sweep
    >>> sweep.train([0.6, 2.0], [0.9, 2.0], learning_rate=0.15, cost="quadratic",
    ...             x=1.0, y=0.0, tolerance=0.1, max_epochs=10_000).epochs.tolist()
    [273, 469]
    """
    problem = make_problem(
        x=x, y=y, cost=cost, activation=activation, tolerance=tolerance, max_epochs=max_epochs,
        rule=rule, follow=follow, optimizer=optimizer,
    )  # fmt: skip
    dtype = check_dtype(dtype)
    check_choice("method", method, METHODS)
    threads = check_threads(threads)
    weights, biases = _starts(w, b, problem.x.shape[1])
    rates = np.atleast_1d(_floats(numbers("learning_rate", learning_rate)))
    if rates.shape not in {(1,), (len(biases),)}:
        raise SpecError(
            f"learning_rate: has shape {rates.shape}; must be one number or one for each of the "
            f"{len(biases)} neurons"
        )
    check_step(rates, problem.x, dtype, problem.optimizer)
    out = train_starts(
        problem, weights, biases, rates, dtype=dtype, method=method, threads=threads, weights=True
    )
    return replace(out, w=out.w[:, 0]) if np.ndim(w) < 2 else out


def train_starts(
    problem: Problem,
    w: NDArray[Any],
    b: NDArray[Any],
    rates: NDArray[np.float64],
    *,
    dtype: str = "float64",
    method: str,
    threads: int,
    weights: bool = False,
    stop: NDArray[np.uint8] | None = None,
) -> TrainResult:
    """Train w (N, d) and b (N,) as `train` does, whose arguments are checked.

    weights : bool
        Whether the result holds w and b.
    stop : (1,) uint8 array, optional
        The work is abandoned soon after it becomes 1.
    """
    out, abandoned = empty_results(len(b), w.shape[1], dtype, weights, problem.follow > 0), stop
    orbit: Orbit | Plane | None = None
    starts = None if method == "train" else _start_range(w, b)
    if starts and choose_orbit(method, problem, rates, len(b), dtype, *starts, threads):
        low, high = starts

        def build(first: int, last: int, stop: NDArray[np.uint8]) -> None:
            nonlocal orbit
            stop = stop if abandoned is None else abandoned
            orbit = build_orbit(problem, float(rates[0]), low, high, len(b), threads, stop)

        run_blocks(build, [(0, 1)], 1)  # on a thread, for Ctrl-C: with `follow` it may take long
    # A copy as float64 would cost a tenth of a short training.
    single = {w.dtype, b.dtype, np.dtype(dtype)} == {np.dtype("float32")}
    given = "float32" if single else "float64"
    train_block = trainer(problem, dtype, given)

    def block(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        here, stop = slice(first, last), stop if abandoned is None else abandoned
        given_starts = _floats(w[here], given), _floats(b[here], given)
        if orbit is None:
            part_rates = rates[here] if len(rates) > 1 else rates
            train_block(rows(out, here), *given_starts, part_rates, stop)
        else:
            rate = float(rates[0])
            lookup_into(rows(out, here), *given_starts, rate, problem, stop, orbit)

    n, d = problem.x.shape
    sizes = block_sizes(n, d + 1) if orbit is None else (ORBIT_BLOCK, ORBIT_BLOCK)
    run_blocks(block, blocks(len(b), threads, *sizes), threads)
    return out


def _starts(w: ArrayLike, b: ArrayLike, inputs: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights (N, d) and biases (N,), of any real type; raise SpecError if misshapen."""
    weights, biases = np.atleast_1d(numbers("w", w)), np.atleast_1d(numbers("b", b))
    weights = weights[:, None] if weights.ndim == 1 else weights
    if biases.ndim != 1 or weights.ndim != 2 or len(weights) != len(biases):
        raise SpecError(
            f"w and b: have shapes {np.shape(w)} and {np.shape(b)}; must be (N, d) and (N,), "
            "with one bias for each neuron"
        )
    if weights.shape[1] != inputs:
        raise SpecError(f"w: has {weights.shape[1]} weights for each neuron; x has {inputs} inputs")
    return weights, biases


def _start_range(
    w: NDArray[Any], b: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest finite value of each weight and of b, (d + 1,) each."""
    ends = np.zeros((2, w.shape[1] + 1))
    for k, values in enumerate((*w.T, b)):
        if len(values):
            ends[:, k] = values.min(), values.max()
        if not np.isfinite(ends[:, k]).all():
            finite = values[np.isfinite(values)]
            ends[:, k] = (finite.min(), finite.max()) if len(finite) else 0.0
    return ends[0], ends[1]
