"""`trace`: one neuron's learning curve, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError, short
from sweep.neuron.problem import check_step, finite, make_problem
from sweep.neuron.reference import descend

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trace", "trace"]


@dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """One neuron at the epochs 0 … E: before the first update, after one, … after E.

    ``len(curve)`` is E + 1. Two traces are equal if all their arrays are.

    Attributes
    ----------
    epoch : (E + 1,) int64 array
    output : (E + 1,) array, or (E + 1, n) with n samples
    cost, error : (E + 1,) arrays
        Means over the samples.
    w : (E + 1,) array, or (E + 1, d) with d inputs
    b : (E + 1,) array

    Examples
    --------
    >>> import sweep
    >>> curve = sweep.trace(0.6, 0.9, learning_rate=0.15, cost="quadratic", x=1, y=0, epochs=300)
    >>> curve
    Trace(300 epochs: error 0.818 to 0.094)
    >>> len(curve), curve == curve, list(curve.to_pandas())
    (301, True, ['epoch', 'output', 'cost', 'error', 'w', 'b'])
    """

    epoch: NDArray[np.int64]
    output: NDArray[np.float64]
    cost: NDArray[np.float64]
    error: NDArray[np.float64]
    w: NDArray[np.float64]
    b: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.epoch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # its arrays can be changed

    def __repr__(self) -> str:
        first, last = self.error[[0, -1]]
        return f"Trace({len(self) - 1:,} epochs: error {first:.3g} to {last:.3g})"

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each epoch; of several samples or inputs a column each, from 1 on."""
        import pandas as pd

        columns = {}
        for name, values in vars(self).items():
            if values.ndim == 1:
                columns[name] = values
            else:
                columns |= {f"{name}_{j}": column for j, column in enumerate(values.T, 1)}
        return pd.DataFrame(columns)


def trace(
    w: ArrayLike,
    b: float,
    *,
    learning_rate: float,
    cost: str,
    x: ArrayLike,
    y: ArrayLike,
    epochs: int,
    activation: str = "sigmoid",
) -> Trace:
    """Follow one neuron for a number of epochs.

    Parameters
    ----------
    w : float or (d,) array
    b, learning_rate : float
    x : scalar, (n,) or (n, d) array
    y : scalar or (n,) array
    epochs : int

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
    """
    problem = make_problem(
        x=x, y=y, cost=cost, activation=activation, tolerance=1.0, max_epochs=epochs
    )  # a learning curve does not stop at a tolerance
    weights, bias = np.atleast_1d(finite("w", w, 1)), float(finite("b", b, 0))
    rate = finite("learning_rate", learning_rate, 0)
    if weights.shape != (problem.x.shape[1],):
        raise SpecError(
            f"w = {short(w)}: must be one weight for each of {problem.x.shape[1]} inputs"
        )
    check_step(np.atleast_1d(rate), problem.x)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite((weights * problem.x).sum(axis=1) + bias).all():
            raise SpecError(f"w = {short(w)}, b = {short(b)}: w·x + b overflows")
    states = list(
        islice(descend(weights.tolist(), bias, float(rate), problem), problem.max_epochs + 1)
    )
    outputs = np.array([[problem.act.value(z) for z in state.z] for state in states])
    weights_then = np.array([state.w for state in states])
    return Trace(
        epoch=np.arange(problem.max_epochs + 1),
        output=outputs[:, 0] if len(problem.x) == 1 else outputs,
        cost=np.array([state.cost for state in states]),
        error=np.array([state.error for state in states]),
        w=weights_then[:, 0] if np.ndim(w) == 0 else weights_then,
        b=np.array([state.b for state in states]),
    )
