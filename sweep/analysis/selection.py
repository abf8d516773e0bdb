"""Rows of a result selected by the values of its axes, and several results put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.analysis.cell_index import lengths
from sweep.analysis.row_groups import ResultRows, Run
from sweep.errors import SpecError, check_choice, did_you_mean, short
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.experiment.labels import labels
from sweep.experiment.spec import Spec, differences
from sweep.neuron.problem import finite

__all__ = ["combine", "select"]


def select(result: ResultRows, where: Mapping[str, Any]) -> tuple[ResultRows, list[str]]:
    """Return the rows at some values of the axes other than the starts.

    Parameters
    ----------
    result : ResultRows
    where : mapping
        For an axis a value or several. Of numbers the nearest on the axis is taken.

    Returns
    -------
    (ResultRows, notes)
        A note for each number that the axis has only a near one of.

    Raises
    ------
    SpecError
        An axis or a name is not known, or a number is none.
    """
    grid, notes = result.grid, list[str]()
    if not isinstance(where, Mapping):
        raise SpecError(f"where = {short(where)}: must name axes and values, as in {{'y': 0.1}}")
    chosen = {name: np.arange(len(grid.values[name])) for name in grid.outer_names}
    for name, wanted in where.items():
        if name not in chosen:
            raise SpecError(
                f"where: {short(name)} is no axis that can be selected; known: "
                f"{', '.join(chosen)}{did_you_mean(str(name), chosen)}"
            )
        several = isinstance(wanted, (list, tuple, np.ndarray))
        indices = [_index(grid, name, each, notes) for each in (wanted if several else [wanted])]
        if not indices:
            raise SpecError(f"where: {name} = {short(wanted)}: names no value")
        chosen[name] = np.array(sorted(set(indices)))
    axes = {
        name: grid.values[name][chosen[name]].tolist() if name in where else given
        for name, given in grid.spec.axes.items()
    }
    selected = Grid(grid.spec.model_copy(update={"axes": axes}))
    shape = lengths(grid, grid.outer_names)
    panels = np.ravel_multi_index(np.ix_(*chosen.values()), shape).ravel()
    runs = _runs(np.zeros_like(panels), panels, [result])
    return ResultRows(result.folder, selected, runs=tuple(runs)), notes


def _index(grid: Grid, name: str, wanted: Any, notes: list[str]) -> int:
    values = grid.values[name]
    if name in CHOICES:
        check_choice(f"where: {name}", wanted, values.tolist())
        return int(np.flatnonzero(values == wanted)[0])
    number = float(finite(f"where: {name}", wanted, 0))
    with np.errstate(over="ignore"):
        index = int(np.abs(values - number).argmin())
    text = labels(values)[index]
    if values[index] != number and float(text) != number:
        notes.append(f"{name} {number!r} is not on the axis; the nearest is {text}")
    return index


def combine(results: Sequence[ResultRows]) -> ResultRows:
    """Return the rows of several results as those of one sweep.

    Their specs may differ in the values of the axes other than the starts, and in the optimiser, x
    and y of one sample and the tolerance, which become axes. Together they must fill a grid, each
    cell once.

    Raises
    ------
    SpecError
        The results do not fit together.
    """
    first, *others = results
    if not others:
        return first
    for other in others:
        different = differences(_common(first.grid.spec), _common(other.grid.spec))
        if different:
            raise SpecError(
                f"{other.folder}: does not go with {first.folder}: {'; '.join(different)}"
            )
    each = [
        {name: values.tolist() for name, values in result.grid.outer_values.items()}
        for result in results
    ]
    union: dict[str, list[Any]] = {}
    for name in each[0]:
        met = [value for values in each for value in values[name]]
        union[name] = list(dict.fromkeys(met)) if name in CHOICES else sorted(set(met))
    axes = first.grid.spec.axes | {
        name: values
        for name, values in union.items()
        if len(values) > 1 or any(name in result.grid.values for result in results)
    }
    tables = {"costs": _all_of("costs", results), "optimizer": _all_of("optimizer", results)}
    grid = Grid(first.grid.spec.model_copy(update={"axes": axes, **tables}))
    source, panel = _places(results, each, union)
    return ResultRows(first.folder, grid, runs=tuple(_runs(source, panel, results)))


def _all_of(table: str, results: Sequence[ResultRows]) -> dict[str, Any]:
    """Return the costs, or the optimisers' parameters, of all; raise SpecError if two differ."""
    found: dict[str, Any] = {}
    for result in results:
        for name, value in getattr(result.grid.spec, table).items():
            if found.setdefault(name, value) != value:
                raise SpecError(f"{result.folder}: has another {table}.{name} than the others")
    return found


def _common(spec: Spec) -> Spec:
    """Return a spec without what may differ between results that are put together."""
    starts = Grid(spec).start_names
    axes = {name: spec.values(name).tolist() for name in spec.axes if name in starts}
    plain: dict[str, Any] = {"axes": axes, "method": "auto", "part_rows": None, "costs": {},
                             "optimizer": {}}  # fmt: skip
    if not isinstance(spec.task.x, list):
        plain["task"] = spec.task.model_copy(update={"x": 0.0, "y": 0.0})
    plain["stop"] = spec.stop.model_copy(update={"tolerance": 0.0})
    return spec.model_copy(update=plain)


def _places(
    results: Sequence[ResultRows],
    each: Sequence[dict[str, list[Any]]],
    union: dict[str, list[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each combination of the outer axes, its result and its place there."""
    shape = [len(values) for values in union.values()]
    source, panel = np.full(prod(shape), -1), np.zeros(prod(shape), np.int64)
    for number, values in enumerate(each):
        index = [[union[name].index(value) for value in values[name]] for name in union]
        here = np.ravel_multi_index(np.ix_(*index), shape).ravel()
        if (source[here] >= 0).any():
            at = here[source[here] >= 0][0]
            twice = results[source[at]].folder, results[number].folder
            raise SpecError(f"{twice[0]} and {twice[1]}: both hold {_named(union, shape, at)}")
        source[here], panel[here] = number, np.arange(len(here))
    if (source < 0).any():
        missing = _named(union, shape, np.flatnonzero(source < 0)[0])
        raise SpecError(
            f"{', '.join(str(result.folder) for result in results)}: do not fill a grid together: "
            f"{missing} is in none of them"
        )
    return source, panel


def _named(union: dict[str, list[Any]], shape: list[int], at: np.int64) -> str:
    place = np.unravel_index(at, shape)
    return ", ".join(
        f"{name} = {values[k]}" for (name, values), k in zip(union.items(), place, strict=True)
    )


def _runs(
    source: NDArray[np.int64], panel: NDArray[np.int64], results: Sequence[ResultRows]
) -> Iterator[Run]:
    """Yield runs of cells: neighbouring combinations that are neighbours in one source too."""
    each = results[0].grid.starts_count
    breaks = np.flatnonzero((np.diff(source) != 0) | (np.diff(panel) != 1)) + 1
    for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(panel)], strict=True):
        cells = range(first * each, last * each)
        yield Run(cells, results[source[first]], int(panel[first]) * each)
