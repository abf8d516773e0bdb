"""What the page requests, checked and bounded: a problem, and a rectangle of starts or one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from sweep.errors import SpecError, short
from sweep.experiment.checks import optimizer_of, optimizers_of
from sweep.experiment.own import cost_of, parameter_axes
from sweep.experiment.spec import Spec
from sweep.experiment.table import Table
from sweep.neuron.own_costs import Cost
from sweep.neuron.problem import Problem, check_step, make_problem

__all__ = ["Cells", "Parameters", "Point", "View", "held_optimizer", "held_parameters", "own_cost",
           "parsed"]  # fmt: skip

MAX_EPOCHS = 10_000_000
FARTHEST = 1e4  # of a start, in w and b

# Cells are powers of two wide and lie on multiples of it, so that their centres are exact: a spec
# copied from the page has the same numbers.
SMALLEST, LARGEST = 2.0**-30, 2.0**10


def _number(text: object) -> object:
    """Return the number that a part of a query says; pydantic says what is wrong with others."""
    try:
        return float(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _whole(text: object) -> object:
    number = _number(text)
    return int(number) if isinstance(number, float) and number.is_integer() else number


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole)]
Place = Annotated[Number, Field(ge=-FARTHEST, le=FARTHEST)]


def held_parameters(spec: Spec) -> dict[str, float]:
    """Return the middle value of each parameter of own costs that is an axis."""
    axes = {name: spec.values(name) for name in parameter_axes(spec)}
    return {name: float(values[len(values) // 2]) for name, values in axes.items()}


def held_optimizer(spec: Spec) -> dict[str, str]:
    """Return the optimiser that the page shows, the first, if the spec has an axis of them."""
    return {"optimizer": optimizers_of(spec)[0]} if "optimizer" in spec.axes else {}


def own_cost(spec: Spec, name: str) -> dict[str, Any]:
    """Return an own cost of a spec as the table of another one."""
    cost = cost_of(spec, name, held_parameters(spec))
    assert isinstance(cost, Cost)
    return {"value": cost.value, **cost.parameters}


class Parameters(Table):
    """The problem, without the samples where a spec has several: x and y are of one sample."""

    cost: str
    learning_rate: Number
    tolerance: Number
    max_epochs: Annotated[Whole, Field(ge=0, le=MAX_EPOCHS)]
    activation: str
    x: Number | None = None
    y: Number | None = None

    def problem(self, spec: Spec) -> Problem:
        """Return the problem: of the sample in the query, or of the samples of the spec."""
        x, y = spec.task.numbers
        if self.x is not None and self.y is not None and np.size(y) == 1 and spec.inputs == 1:
            x, y = self.x, self.y
        cost = cost_of(spec, self.cost, held_parameters(spec))
        problem = make_problem(
            x=x, y=y, cost=cost, activation=self.activation, tolerance=self.tolerance,
            max_epochs=self.max_epochs, rule=spec.stop.rule,
            optimizer=optimizer_of(spec, optimizers_of(spec)[0]),
        )  # fmt: skip
        check_step(np.array([self.learning_rate]), problem.x, optimizer=problem.optimizer)
        return problem


class Point(Parameters):
    """One start."""

    w: Place
    b: Place


class Cells(Parameters):
    """A rectangle of cells: the first one's centre, how wide a cell is, and how many there are.

    With `stored` 1, of those that a result's folder holds, not computed.
    """

    w: Place
    b: Place
    cell: Annotated[Number, Field(ge=SMALLEST, le=LARGEST)]
    columns: Annotated[Whole, Field(ge=1, le=512)]
    rows: Annotated[Whole, Field(ge=1, le=512)]
    stored: Annotated[Whole, Field(ge=0, le=1)] = 0

    def centres(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the w of each column and the b of each row."""
        return (
            self.w + self.cell * np.arange(self.columns),
            self.b + self.cell * np.arange(self.rows),
        )


class View(Cells):
    """What is in view: of the left panel, and how the right one differs from it."""

    columns: Annotated[Whole, Field(ge=1, le=8192)]
    rows: Annotated[Whole, Field(ge=1, le=8192)]
    other_cost: str
    other_learning_rate: Number

    def panels(self) -> tuple[Parameters, Parameters]:
        """Return the parameters of both panels."""
        other = {"cost": self.other_cost, "learning_rate": self.other_learning_rate}
        return self, self.model_copy(update=other)


def parsed(kind: type[Any], query: Mapping[str, str]) -> Any:
    """Return a Point or Cells from a query; raise SpecError, one line, if something is wrong."""
    unknown = sorted(set(query) - set(kind.model_fields))
    if unknown:
        raise SpecError(
            f"{short(unknown[0])}: is no part of a query; {', '.join(kind.model_fields)} are"
        )
    return kind(**query)
