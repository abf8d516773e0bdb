"""The stored cells of a result, as they are, under the cells that the page shows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.explorer.query import Cells, held_optimizer, held_parameters
from sweep.neuron.problem import Status
from sweep.result import Result

__all__ = ["NOT_STORED", "UNCONVERGED", "is_plane", "stored_cells"]

# In place of epochs: of a start that was given up, or that the result does not hold.
UNCONVERGED, NOT_STORED = -1, -2

MAX_STARTS = 2**24  # of one combination of the other axes: 64 MB


def is_plane(result: Result) -> bool:
    """Return whether the starts of a result are a grid over w and b."""
    return {"w", "b"} <= set(result.axes)


def stored_cells(result: Result, query: Cells) -> NDArray[np.int32]:
    """Return the epochs of the stored cell that each requested cell lies in, (rows, columns).

    Raises
    ------
    SpecError
        The result has drawn starts or several weights, too many starts, or not these values.
    """
    if not is_plane(result):
        raise SpecError("stored cells: are shown of a result over the axes w and b")
    spec, axes = result.spec, result.axes
    fixed: dict[str, object] = {
        "tolerance": spec.stop.tolerance,
        "max_epochs": spec.stop.max_epochs,
    }
    fixed |= {"activation": spec.task.activation, "x": spec.task.x, "y": spec.task.y}
    for name, value in fixed.items():
        shown = getattr(query, name)
        if name not in axes and shown is not None and shown != value:
            raise SpecError(f"{name} = {shown}: the stored cells have {name} = {value}")
    held = held_parameters(spec) | held_optimizer(spec)
    outer = {name: held[name] if name in held else getattr(query, name)
             for name in axes if name not in ("w", "b")}  # fmt: skip
    w, b, epochs = _panel(result, tuple(outer.items()))
    columns, rows = query.centres()
    i, j = _nearest(w, columns), _nearest(b, rows)
    found = epochs[np.ix_(i, j)].T.copy()
    found[j < 0] = NOT_STORED
    found[:, i < 0] = NOT_STORED
    return found


def _nearest(axis: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which value of a sorted axis is nearest, −1 beyond half a step from its ends."""
    middles = (axis[1:] + axis[:-1]) / 2
    first, last = (axis[1] - axis[0], axis[-1] - axis[-2]) if len(axis) > 1 else (0.0, 0.0)
    inside = (values >= axis[0] - first / 2) & (values <= axis[-1] + last / 2)
    return np.where(inside, np.searchsorted(middles, values), -1)


@lru_cache(maxsize=4)
def _panel(
    result: Result, outer: tuple[tuple[str, float | str], ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return sorted w and b, and the epochs or codes of their cells."""
    axes = result.axes
    count = len(axes["w"]) * len(axes["b"])
    if count > MAX_STARTS:
        raise SpecError(f"stored cells: {count:,} starts; at most {MAX_STARTS:,} are shown")
    where = [(name, "==", value) for name, value in outer]
    rows = result.load(columns=["w0", "b0", "epochs", "status"], where=where)
    (w, at_w), (b, at_b) = (
        np.unique(rows[name].to_numpy(), return_inverse=True) for name in ("w0", "b0")
    )
    epochs = np.full((len(w), len(b)), NOT_STORED, np.int32)
    met = rows["status"].to_numpy() == Status.converged.name
    epochs[at_w, at_b] = np.where(met, rows["epochs"].to_numpy(), UNCONVERGED)
    return w, b, epochs
