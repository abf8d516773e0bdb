"""Whether the fields of a spec fit together: the names of its axes, its size, its values."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from sweep.errors import SpecError, check_choice, did_you_mean, printable, short
from sweep.experiment.own import check_parameters, cost_of, parameter_axes
from sweep.neuron.costs import COSTS
from sweep.neuron.optimizers import OPTIMIZERS, Optimizer
from sweep.neuron.problem import check_step, check_targets, make_problem

if TYPE_CHECKING:
    from sweep.experiment.spec import Spec

__all__ = [
    "CHOICES",
    "MAX_CELLS",
    "MAX_PART_ROWS",
    "MAX_VALUES",
    "PART_ROWS",
    "canonical_optimizer",
    "check_axes",
    "check_size",
    "check_values",
    "known_names",
    "optimizer_of",
    "optimizers_of",
    "start_names",
]

# The axes whose values are names, and what these are of.
CHOICES = {"cost": "costs", "optimizer": "optimisers"}

# Limits, checked before anything is computed or written. A part is one file, held in memory.
MAX_VALUES = 10**6  # of an axis
MAX_PANELS = 10**5  # combinations of the axes other than the starts
MAX_CELLS, MAX_PARTS = 10**12, 10**6
MAX_PART_ROWS, PART_ROWS = 2**24, 2**20


def known_names(name: str, known: list[str]) -> str:
    """Return the names that are known, for a message on one that is not."""
    return f"known here: {', '.join(known)}{did_you_mean(name, known)}"


def start_names(inputs: int) -> tuple[str, ...]:
    """Return the names of a start's numbers: w (or w1 … wd) and b."""
    return (*(["w"] if inputs == 1 else [f"w{j}" for j in range(1, inputs + 1)]), "b")


def check_axes(spec: Spec) -> list[str]:
    """Return the names of the start's axes; raise SpecError where axes and tables do not fit."""
    drawn = spec.start is not None
    numbers = start_names(spec.inputs)
    starts = [] if drawn else [*numbers]
    one_sample = not isinstance(spec.task.x, list)
    optional = ["x", "y", "tolerance"] if one_sample else ["tolerance"]
    known = [*starts, "learning_rate", *CHOICES, *optional, *parameter_axes(spec)]
    for name, axis in spec.axes.items():
        if name not in known:
            why = " ([start] has the starts)" if drawn and name in numbers else ""
            shown = printable(name)[:60]
            raise SpecError(f"axes.{shown}: unknown axis{why}; {known_names(name, known)}")
        names = isinstance(axis, list) and isinstance(axis[0], str)
        if names != (name in CHOICES):
            wanted = f"names of {CHOICES[name]}" if name in CHOICES else "numbers"
            raise SpecError(f"axes.{name} = {short(axis)}: must be {wanted}")
    for name in (*starts, "learning_rate", *parameter_axes(spec)):
        if name not in spec.axes:
            raise SpecError(f"axes.{name}: missing; it has no default")
    for key, table in (("task", spec.task), ("stop", spec.stop)):
        for name in table.model_fields_set & spec.axes.keys():
            raise SpecError(f"axes.{name} and {key}.{name}: only one of them may be given")
    return starts


def canonical_optimizer(spec: Spec) -> dict[str, float]:
    """Return the parameters of all optimisers on the axis; raise SpecError for others."""
    names = optimizers_of(spec)
    usual: dict[str, float] = {}
    for name in names:
        check_choice("axes.optimizer", name, OPTIMIZERS)
        usual |= OPTIMIZERS[name].parameters
    for key in spec.optimizer:
        if key not in usual:
            takers = [name for name, update in OPTIMIZERS.items() if key in update.parameters]
            why = f"goes with {' and '.join(takers)}" if takers else "is no optimiser's parameter"
            here = f"; axes.optimizer has {', '.join(names)}"
            hint = "" if takers else did_you_mean(key, usual)
            raise SpecError(f"optimizer.{printable(key)[:60]}: {why}{here}{hint}")
    return usual | spec.optimizer


def optimizers_of(spec: Spec) -> list[str]:
    """Return the names of the optimisers of a spec: gd where there is no axis."""
    return spec.values("optimizer").tolist() if "optimizer" in spec.axes else ["gd"]


def optimizer_of(spec: Spec, name: str) -> Optimizer:
    """Return an optimiser of a spec with the parameters that it has there."""
    return Optimizer(name, **{key: spec.optimizer[key] for key in OPTIMIZERS[name].parameters})


def check_size(spec: Spec, starts: list[str]) -> None:
    """Raise SpecError if there is more than can be held; says how much."""
    counts = {name: spec.count(name) for name in spec.axes}
    panels = prod(count for name, count in counts.items() if name not in starts)
    if panels > MAX_PANELS:
        raise SpecError(
            f"axes: {panels:,} combinations of the axes other than the starts; at most "
            f"{MAX_PANELS:,} are allowed"
        )
    count = spec.start.count if spec.start else None
    cells = panels * (count or prod(counts[name] for name in starts))
    parts = -(-cells // (spec.part_rows or PART_ROWS))
    if cells > MAX_CELLS:
        raise SpecError(
            f"axes: {cells:,} neurons, which take some {cells / 1e12:,.0f} TB; at most "
            f"{MAX_CELLS:,} are allowed"
        )
    if parts > MAX_PARTS:
        raise SpecError(
            f"part_rows = {spec.part_rows}: makes {parts:,} parts; at most {MAX_PARTS:,} are "
            "allowed"
        )


def check_values(spec: Spec) -> None:
    """Raise SpecError where a value repeats on an axis, or no neuron can be trained with it."""
    for name in spec.axes:
        values = spec.values(name)
        if len(np.unique(values)) != len(values):
            raise SpecError(f"axes.{name} = {short(spec.axes[name])}: holds a value twice")
    tolerances, rates = (
        spec.values(name) if name in spec.axes else np.array([spec.stop.tolerance])
        for name in ("tolerance", "learning_rate")
    )
    x, y = spec.task.numbers
    check_parameters(spec)
    first = {name: float(spec.values(name)[0]) for name in parameter_axes(spec)}
    inputs = spec.values("x")[:, None] if "x" in spec.axes else None
    for cost, name in product(spec.values("cost").tolist(), optimizers_of(spec)):
        check_choice("cost", cost, [*COSTS, *spec.costs])
        problem = make_problem(
            x=x,
            y=y,
            cost=cost_of(spec, cost, first),
            activation=spec.task.activation,
            tolerance=float(tolerances.min()),
            max_epochs=spec.stop.max_epochs,
            rule=spec.stop.rule,
            follow=spec.follow.epochs if spec.follow else None,
            optimizer=optimizer_of(spec, name),
        )
        check_step(rates, problem.x if inputs is None else inputs, spec.dtype, problem.optimizer)
    if "y" in spec.axes:
        check_targets(spec.values("y"), spec.task.activation)
