"""`trace`: learning curves of neurons, epoch by epoch, by the reference loop compiled."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError, short
from sweep.kernels import lane_math  # noqa: F401, what formulas call
from sweep.kernels.compile import compiled, once
from sweep.kernels.pool import blocks, check_threads, run_blocks
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.costs import COSTS, fused
from sweep.neuron.optimizers import OPTIMIZERS, Optimizer
from sweep.neuron.own_costs import Cost
from sweep.neuron.own_formulas import formulas_of
from sweep.neuron.problem import (
    MAX_EPOCHS,
    check_step,
    finite,
    make_problem,
    numbers,
    whole_number,
)
from sweep.resources import free_memory

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trace", "trace"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """One neuron, or N, at some epochs: those from 0 to E, or the E + 1 that were asked for.

    Of N neurons each array but `epoch` has N as its first dimension, ``len(curves)`` is N, and
    ``curves[k]`` is one neuron's trace, or a slice's. Of one neuron, ``len(curve)`` is E + 1. Two
    traces are equal if all their arrays are.

    Attributes
    ----------
    epoch : (E + 1,) int64 array
        Updates applied.
    output : (E + 1,) array, or (E + 1, n) with n samples
    cost, error : (E + 1,) arrays
        Means over the samples.
    w : (E + 1,) array, or (E + 1, d) with d inputs
    b : (E + 1,) array

    Examples
    --------
    >>> import sweep
    >>> kwargs = {"learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0, "epochs": 300}
    >>> curve = sweep.trace(0.6, 0.9, **kwargs)
    >>> curve
    Trace(epochs 0 to 300: error 0.818 to 0.094)
    >>> len(curve), curve == curve, list(curve.to_pandas())
    (301, True, ['epoch', 'output', 'cost', 'error', 'w', 'b'])
    >>> curves = sweep.trace([0.6, 2.0], [0.9, 2.0], **kwargs)
    >>> curves, curves[0] == curve, curves.error.shape
    (Trace(2 neurons, epochs 0 to 300), True, (2, 301))
    """

    epoch: NDArray[np.int64]
    output: Floats
    cost: Floats
    error: Floats
    w: Floats
    b: Floats

    def __len__(self) -> int:
        return len(self.error)

    def __getitem__(self, key: Any) -> Trace:
        if self.error.ndim == 1:
            raise TypeError("a trace of one neuron has no further neurons to choose from")
        columns = {name: values[key] for name, values in vars(self).items() if name != "epoch"}
        return Trace(epoch=self.epoch, **columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # its arrays can be changed

    def __repr__(self) -> str:
        if not len(self.epoch):
            return "Trace(no epochs)"
        many = f"{len(self):,} neurons, " if self.error.ndim > 1 else ""
        span = f"epochs {self.epoch[0]:,} to {self.epoch[-1]:,}"
        ends = "" if many else ": error {:.3g} to {:.3g}".format(*self.error[[0, -1]])
        return f"Trace({many}{span}{ends})"

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each epoch (and neuron); of samples or inputs a column each, from 1."""
        import pandas as pd

        several = self.error.ndim > 1
        shape = self.error.shape
        columns = {"neuron": np.repeat(np.arange(shape[0]), shape[1])} if several else {}
        columns["epoch"] = np.tile(self.epoch, shape[0] if several else 1)
        for name, values in list(vars(self).items())[1:]:
            if values.ndim == self.error.ndim:
                columns[name] = values.ravel()
            else:
                rows = values.reshape(-1, values.shape[-1])
                columns |= {f"{name}_{j}": column for j, column in enumerate(rows.T, 1)}
        return pd.DataFrame(columns)


def trace(
    w: ArrayLike,
    b: ArrayLike,
    *,
    learning_rate: ArrayLike,
    cost: str | Cost,
    x: ArrayLike,
    y: ArrayLike,
    epochs: ArrayLike,
    activation: str = "sigmoid",
    optimizer: str | Optimizer = "gd",
    threads: int | None = None,
) -> Trace:
    """Follow one neuron, or N, for a number of epochs.

    The loop is that of `sweep.neuron.reference`, compiled: the same numbers to the last bit, but
    for softsign, and optimisers with moments, where an fma rounds once.

    Parameters
    ----------
    w : float or (d,) array; of N neurons (N,) or (N, d)
    b : float; of N neurons (N,)
    learning_rate : float or (N,) array
    cost : str or Cost
    x : scalar, (n,) or (n, d) array
    y : scalar or (n,) array
    epochs : int or (E + 1,) array
        How many updates to apply, or after how many of them to look, in rising order.
    optimizer : str or Optimizer
    threads : int, optional
        Default: the CPUs that this process may use.

    Raises
    ------
    SpecError
        Names the argument, its value and what is allowed.

    Examples
    --------
    >>> import sweep
    >>> curve = sweep.trace(2.0, 2.0, learning_rate=0.15, cost="quadratic", x=1, y=0, epochs=301)
    >>> curve.output[[0, 301]].round(6).tolist()
    [0.982014, 0.201262]
    >>> sweep.trace([0.6, 2.0], [0.9, 2.0], learning_rate=0.15, cost="cross_entropy", x=1, y=0,
    ...             epochs=[0, 300]).output.round(4).tolist()
    [[0.8176, 0.0116], [0.982, 0.012]]
    """
    at = _epochs(epochs)
    problem = make_problem(
        x=x, y=y, cost=cost, activation=activation, tolerance=1.0, max_epochs=int(at[-1]),
        optimizer=optimizer,
    )  # fmt: skip  # a learning curve does not stop at a tolerance
    n, d = problem.x.shape
    weights, biases = finite("w", w, 2), finite("b", b, 1)
    one = biases.ndim == 0
    shape = () if one else (len(biases),)
    if weights.shape not in ({(*shape, d)} | ({shape} if d == 1 else set())):
        raise SpecError(
            f"w = {short(w)}: has shape {weights.shape}, b {biases.shape}; must be one weight for "
            f"each of {d} inputs{'' if one else ', for each of the neurons'}"
        )
    per_input, weights = weights.shape == (*shape, d), weights.reshape(-1, d)
    biases = np.atleast_1d(biases)
    rates = finite("learning_rate", learning_rate, 0 if one else 1)
    if rates.shape not in {(), shape}:
        raise SpecError(
            f"learning_rate: has shape {rates.shape}; must be one number or one for each neuron"
        )
    check_step(np.atleast_1d(rates), problem.x, optimizer=problem.optimizer)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(weights @ problem.x.T + biases[:, None]).all():
            raise SpecError(f"w = {short(w)}, b = {short(b)}: w·x + b overflows")
    count, size = len(biases), len(at)
    needed = 8.0 * count * size * (n + d + 3)
    if needed > free_memory():
        raise SpecError(
            f"epochs: {size:,} of {count:,} neurons take {needed / 2**30:.3g} GiB, more than is "
            "free; give those to look at, epochs=[0, 10, 100]"
        )
    epoch = np.arange(size) if isinstance(at, range) else np.array(at)
    out = Trace(
        epoch=epoch,
        output=np.empty((count, size, n)),
        cost=np.empty((count, size)),
        error=np.empty((count, size)),
        w=np.empty((count, size, d)),
        b=np.empty((count, size)),
    )
    act = problem.act
    mirrored = problem.mirrored
    sides = np.where(mirrored, act.low + act.high - problem.y, problem.y)
    rates = np.full(biases.shape, rates)
    record = _compile_record(problem.cost, problem.activation, problem.optimizer.name)
    constants = np.array(problem.optimizer.constants)

    def block(first: int, last: int, stop: NDArray[np.uint8]) -> None:
        k = slice(first, last)
        samples = (problem.x, problem.y, sides, mirrored, problem.constants)
        columns = (out.output[k], out.cost[k], out.error[k], out.w[k], out.b[k])
        record(weights[k], biases[k], rates[k], *samples, constants, epoch, *columns, stop)

    threads = check_threads(threads)
    run_blocks(block, blocks(count, threads, NEURONS, NEURONS), threads)
    if n == 1:
        out = replace(out, output=out.output[..., 0])
    if not per_input:
        out = replace(out, w=out.w[..., 0])
    return out[0] if one else out


NEURONS = 16  # in a block


def _epochs(given: ArrayLike) -> range | NDArray[np.int64]:
    """Return the epochs to look at, from a number of updates or a rising list of such numbers."""
    at = numbers("epochs", given)
    if not at.ndim:
        return range(whole_number("epochs", at[()], 0, MAX_EPOCHS) + 1)
    if at.ndim > 1 or at.dtype.kind not in "iu" or not len(at) or (at[1:] <= at[:-1]).any():
        raise SpecError(f"epochs = {short(given)}: must be a whole number or a rising list of such")
    for end in at[[0, -1]].tolist():
        whole_number("epochs", end, 0, MAX_EPOCHS)
    return at.astype(np.int64)


def _sample(cost, activation, z, y, side, mirrored, c):
    """Return a − y, δ and C of one sample; in compiled code only."""


def _output(activation, z):
    """Return act(z); in compiled code only."""


# Overloads and not closures over compiled functions: see `sweep.kernels.descent`.


@overload(_sample, prefer_literal=True)
def _overload_sample(cost, activation, z, y, side, mirrored, c):
    if not isinstance(cost, types.StringLiteral):
        return None
    act = ACTIVATIONS[activation.literal_value]
    if cost.literal_value not in COSTS:
        found = formulas_of(cost.literal_value, act.name)
        own, own_cost = register_jitable(found.sample), register_jitable(found.cost)
        ratio = register_jitable(exp_ratio)

        def formula(cost, activation, z, y, side, mirrored, c):
            residual, delta = own(z, y, c, ratio, 1.0)
            return residual, delta, own_cost(z, y, c, ratio, 1.0)[0]

        return formula
    formulas = fused(cost.literal_value, act.name)
    forward, ratio = register_jitable(act.forward), register_jitable(exp_ratio)
    delta, value = register_jitable(formulas.delta), register_jitable(formulas.value)

    def sample(cost, activation, z, y, side, mirrored, c):
        if mirrored:
            residual, slope = forward(-z, side, ratio)
            residual = -residual
        else:
            residual, slope = forward(z, side, ratio)
        return residual, delta(residual, slope), value(z, residual, y)

    return sample


@overload(_output, prefer_literal=True)
def _overload_output(activation, z):
    if not isinstance(activation, types.StringLiteral):
        return None
    value = register_jitable(ACTIVATIONS[activation.literal_value].value)
    return lambda activation, z: value(z)


@once
def _compile_record(cost: str, activation: str, optimizer: str) -> Callable[..., None]:
    """Compile the reference loop of a cost with an activation and an optimiser."""
    update = OPTIMIZERS[optimizer]
    next_moments, step = register_jitable(update.moments), register_jitable(update.step)
    vector, matrix = types.float64[::1], types.float64[:, ::1]
    cube = types.float64[:, :, ::1]
    samples = (matrix, vector, vector, types.boolean[::1], vector, vector)
    columns = (cube, matrix, matrix, cube, matrix)

    @compiled(
        types.void(matrix, vector, vector, *samples, types.int64[::1], *columns, types.uint8[::1])
    )
    def record(
        w0, b0, rate, xs, ys, side, mirrored, c, of_update, epochs, output, cost_, error_, w_, b_,
        stop,
    ):  # fmt: skip
        n, d = xs.shape
        w, gradient, m, v = np.empty(d), np.empty(d), np.empty(d + 1), np.empty(d + 1)
        p, q, r = of_update[0], of_update[1], of_update[2]
        for k in range(len(b0)):
            w[:], b = w0[k], b0[k]
            m[:] = v[:] = m1 = v1 = 0.0
            epoch = 0
            for row in range(len(epochs)):
                while True:
                    looked_at = epoch == epochs[row]
                    error = total = slope = 0.0
                    gradient[:] = 0.0
                    for i in range(n):
                        z = 0.0
                        for j in range(d):
                            z += w[j] * xs[i, j]
                        z += b
                        residual, delta, value = _sample(
                            cost, activation, z, ys[i], side[i], mirrored[i], c
                        )
                        error += abs(residual)
                        total += value
                        for j in range(d):
                            gradient[j] += delta * xs[i, j] / n
                        slope += delta / n
                        if looked_at:
                            output[k, row, i] = _output(activation, z)
                    if looked_at:
                        error_[k, row], cost_[k, row] = error / n, total / n
                        w_[k, row], b_[k, row] = w, b
                        break
                    m1, v1 = next_moments(1.0, m1, v1, p, q)
                    root1 = math.sqrt(v1)
                    for j in range(d):
                        m[j], v[j] = next_moments(gradient[j], m[j], v[j], p, q)
                        root = math.sqrt(v[j])
                        w[j] -= rate[k] * step(gradient[j], m[j], root, m1, root1, p, q, r)
                    m[d], v[d] = next_moments(slope, m[d], v[d], p, q)
                    root = math.sqrt(v[d])
                    b -= rate[k] * step(slope, m[d], root, m1, root1, p, q, r)
                    epoch += 1
                    if stop[0] != 0:
                        return

    return record
