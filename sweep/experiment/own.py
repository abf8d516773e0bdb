"""The costs that a spec defines by formulas: checked, and with the parameters that are axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.errors import SpecError, printable, short
from sweep.kernels.results import COLUMNS, FOLLOWED
from sweep.neuron.costs import COSTS
from sweep.neuron.formula_check import check_formula
from sweep.neuron.formula_text import canonical, parse
from sweep.neuron.own_costs import TAKEN, Cost
from sweep.neuron.own_formulas import parameters_of

if TYPE_CHECKING:
    from sweep.experiment.spec import Spec
    from sweep.experiment.tables import OwnCost

__all__ = ["canonical_costs", "check_parameters", "cost_of", "parameter_axes"]

# Columns of results, and of the tables that are made of them: no name of a parameter on an axis.
RESERVED = {
    *COLUMNS, *FOLLOWED, "already", "bin", "converged", "count", "epoch", "error", "error_high",
    "error_low", "finite", "flip", "flow", "kappa", "label", "largest", "least", "max",
    "max_epochs", "mean", "median", "min", "mirror", "neither", "neuron", "non_finite", "output",
    "over_fewer", "pairs", "ratio", "reached", "settled", "share", "share_unconverged", "start",
    "starts", "tied", "unconverged", "under_fewer", "z0",
}  # fmt: skip

# Of the values of parameters on axes, so many combinations are checked, evenly spread.
CHECKED = 64


def canonical_costs(spec: Spec) -> dict[str, OwnCost]:
    """Return the costs of a spec with their formulas in one form; raise SpecError if one is none.

    A parameter has its value beside the formula or on an axis.
    """
    costs = {}
    for name, table in spec.costs.items():
        field = f"costs.{printable(name)[:60]}"
        if name in COSTS:
            raise SpecError(f"{field}: is the name of a cost that there is; choose another")
        given = table.parameters
        for parameter in filter(_is_taken, given):
            raise SpecError(f"{field}.{parameter}: cannot be a parameter's name")
        on_axes = {axis for axis in spec.axes if not _is_taken(axis)}
        try:
            text = canonical(parse(table.value, {"a", "y", *given, *on_axes}))
        except SpecError as error:
            raise SpecError(f"{field}.value = {short(table.value)}: {error}") from None
        for parameter in given.keys() & spec.axes.keys():
            raise SpecError(
                f"axes.{parameter} and {field}.{parameter}: only one of them may be given"
            )
        placed = {key: float(spec.values(key)[0]) for key in parameters_of(text) if key in on_axes}
        Cost(name, text, spec.task.activation, **given, **placed)
        costs[name] = table.model_copy(update={"value": text})
    return costs


def _is_taken(name: str) -> bool:
    return name in TAKEN or re.fullmatch(r"w[0-9]+", name) is not None


def parameter_axes(spec: Spec) -> list[str]:
    """Return the names of the parameters of a spec's own costs that are axes."""
    found = set[str]()
    for name in spec.values("cost").tolist():
        if name in spec.costs:
            table = spec.costs[name]
            found |= set(parameters_of(table.value)) - table.parameters.keys()
    for name in sorted(found):
        if name in RESERVED or re.fullmatch(r"b0|[wq]0?_?[0-9]+", name):
            raise SpecError(f"axes.{name}: tables have a column of this name; choose another")
    return sorted(found)


def cost_of(spec: Spec, name: str, values: Mapping[str, Any]) -> str | Cost:
    """Return a cost as `train` takes it, with the parameters that the axes have there."""
    if name not in spec.costs:
        return name
    table = spec.costs[name]
    given = table.parameters
    parameters = {key: float(given[key] if key in given else values[key])
                  for key in parameters_of(table.value)}  # fmt: skip
    # Checked when the spec was made: another value may be one of very many on an axis.
    return Cost.known(name, table.value, parameters, spec.task.activation)


def check_parameters(spec: Spec) -> None:
    """Raise SpecError where a formula is not exact for the parameters on the axes."""
    axes = {name: spec.values(name).tolist() for name in parameter_axes(spec)}
    combinations = list(product(*axes.values()))
    some = np.unique(np.linspace(0, len(combinations) - 1, CHECKED).round().astype(int))
    for name in spec.values("cost").tolist():
        for k in some if name in spec.costs else ():
            cost = cost_of(spec, name, dict(zip(axes, combinations[k], strict=True)))
            assert isinstance(cost, Cost)
            try:
                check_formula(cost.value, tuple(cost.parameters.values()), spec.task.activation)
            except SpecError as error:
                given = ", ".join(f"{key} = {value:g}" for key, value in cost.parameters.items())
                raise SpecError(f"costs.{name}.value with {given}: {error}") from None
