"""The tables of a spec: an axis, samples, when to stop, how long to follow, costs, starts."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from itertools import accumulate, repeat
from operator import mul
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from sweep.errors import SpecError, check_choice
from sweep.experiment.checks import MAX_CELLS, MAX_VALUES
from sweep.experiment.table import Table, is_table
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import MAX_EPOCHS

if TYPE_CHECKING:
    from sweep.experiment.samples import Samples

__all__ = [
    "STORED",
    "Axis",
    "Follow",
    "OwnCost",
    "Span",
    "Start",
    "Stop",
    "Task",
]


class Span(Table):
    """`num` values from start to stop, both included, evenly spaced, or evenly in the logarithm.

    Examples
    --------
    >>> import sweep
    >>> rates = sweep.Span(start=0.01, stop=1.0, num=3, scale="log")
    >>> sweep.Spec(axes={"w": [0], "b": [0], "learning_rate": rates}).values("learning_rate")
    array([0.01, 0.1 , 1.  ])
    """

    start: float = Field(description="first value")
    stop: float = Field(description="last value")
    num: int = Field(ge=1, le=MAX_VALUES, description="how many values")
    scale: Literal["linear", "log"] = Field(
        default="linear", description="evenly spaced, or evenly in the logarithm"
    )

    def values(self) -> NDArray[np.float64]:
        """Return the values, in order."""
        if self.scale == "linear":
            return np.linspace(self.start, self.stop, self.num)
        return _log_spaced(self.start, self.stop, self.num)

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        if self.scale == "log" and not (self.start > 0 and self.stop > 0):
            raise ValueError("with scale = 'log', start and stop must be greater than 0")
        if not np.isfinite(self.stop - self.start):
            raise ValueError("stop - start overflows")
        return self


@lru_cache(maxsize=64)  # 1.3 s for a million
def _log_spaced(start: float, stop: float, num: int) -> NDArray[np.float64]:
    """Return values evenly spaced in the logarithm, each correctly rounded.

    The logarithms and powers of NumPy and of the C library differ by an ulp between CPUs (2 of 50
    values from 0.01 to 1 with and without AVX-512); decimal arithmetic does not. In 100 digits a
    million products are right to 94.
    """
    with localcontext(Context(prec=100, traps=[])):
        first = Decimal(start)
        ratio = ((Decimal(stop) / first).ln() / max(num - 1, 1)).exp()
        powers = accumulate(repeat(ratio, num - 1), mul, initial=first)
        values = np.array([float(value) for value in powers])
    values.flags.writeable = False
    return values


def _kind(value: object) -> str:
    if isinstance(value, (dict, Span)):
        return "a table"
    names = isinstance(value, list) and any(isinstance(item, str) for item in value)
    return "names" if names else "numbers"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, (str, int, float)) else value


Axis = Annotated[
    Annotated[Span, Tag("a table")]
    | Annotated[list[float], Field(min_length=1, max_length=MAX_VALUES), Tag("numbers")]
    | Annotated[list[str], Field(min_length=1), Tag("names")],
    Discriminator(_kind),
    BeforeValidator(_as_list),
]


class Task(Table):
    """The samples that every neuron learns: one, n of one input, n of d inputs, or those of a file.

    Samples of a file, of a table (pandas, Polars, Arrow), of an array of more than 1,000 numbers,
    and those that are to be standardised are kept in `samples`; `x` and `y` are then the names of
    their columns, and `sha256` is a hash of their numbers. The folder of a result has them, too.

    Examples
    --------
    >>> import sweep
    >>> sweep.Task(x=[0.5, -1.0], y=[1.0, 0.0]).activation
    'sigmoid'
    >>> import pandas
    >>> table = pandas.DataFrame({"radius": [1.0, 3.0], "texture": [2.0, 2.5]})
    >>> task = sweep.Task(x=table, y=[False, True], standardize=True)
    >>> task.x, task.samples.means, task.samples.y
    (['radius', 'texture'], array([2.  , 2.25]), array([0., 1.]))
    """

    x: float | list[float] | list[list[float]] | list[str] = Field(
        default=1.0,
        description="input: of one sample, of n, or n rows of d inputs; or columns of data",
    )
    y: float | list[float] | str = Field(
        default=0.0,
        description="target of each sample, within the range of the activation; or its column",
    )
    activation: str = Field(default="sigmoid", description="of the output: a = act(w·x + b)")
    data: str | None = Field(
        default=None,
        description="CSV or Parquet file, a row for each sample, relative to the spec; or a URI",
    )
    standardize: bool = Field(
        default=False, description="whether each input is brought to mean 0 and deviation 1"
    )
    positive: str | None = Field(
        default=None, description="of targets that are two names, the one that is the upper end"
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of the samples' numbers; found there"
    )
    _samples: Any = PrivateAttr(default=None)

    @property
    def samples(self) -> Samples | None:
        """The samples of a file or table, or None where x and y are numbers."""
        found: Samples | None = self._samples
        return found

    @property
    def numbers(self) -> tuple[Any, Any]:
        """The inputs and the targets: x (n, d) and y (n,) of `samples`, or as they were given."""
        return (self.x, self.y) if self.samples is None else (self.samples.x, self.samples.y)

    @model_validator(mode="wrap")
    @classmethod
    def _with_samples(cls, fields: Any, build: Callable[[Any], Self]) -> Self:
        if not isinstance(fields, dict):
            return build(fields)
        samples = _samples_of(fields)
        if samples is not None:
            if fields.get("sha256") not in (None, samples.sha256):
                raise SpecError(
                    f"task.sha256 = {fields['sha256'][:16]}…: the samples are others, with "
                    f"{samples.sha256[:16]}…"
                )
            fields = fields | {"x": list(samples.names), "y": samples.target}
            fields["sha256"] = samples.sha256
        task = build(fields)
        if samples is None and (isinstance(task.y, str) or _has_names(task.x)):
            raise SpecError("task.data: missing; it has the columns that x and y name")
        task._samples = samples
        return task


# The samples of a result's folder, while its spec is parsed: their file may be gone.
STORED: ContextVar[Samples | None] = ContextVar("stored", default=None)


def _has_names(x: object) -> bool:
    return isinstance(x, list) and any(isinstance(name, str) for name in x)


def _samples_of(fields: dict[str, Any]) -> Samples | None:
    """Return the samples that the fields of a task name or hold, if they are not numbers in it."""
    x, y, data = fields.get("x"), fields.get("y"), fields.get("data")
    standardize, positive = fields.get("standardize", False), fields.get("positive")
    activation, digest = fields.get("activation", "sigmoid"), fields.get("sha256")
    given = x is not None and not isinstance(x, str) and not _has_names(x)
    needed = data is not None or is_table(x) or standardize is True or positive is not None
    types = ((data, str), (positive, str), (digest, str), (activation, str))
    if not isinstance(standardize, bool) or not all(
        value is None or isinstance(value, kind) for value, kind in types
    ):
        return None  # pydantic says what is wrong
    stored = STORED.get()
    if stored is not None and digest is not None:
        return stored
    if not needed:
        return None
    check_choice("task.activation", activation, ACTIVATIONS)
    from sweep.experiment import samples  # and pyarrow

    if data is None:
        if not given:
            raise SpecError("task.data: missing; it has the columns that x and y name")
        if y is None:
            raise SpecError("task.y: missing; each sample needs a target")
        return samples.samples_of(x, y, standardize, positive, activation)
    if given or not (y is None or isinstance(y, str)):
        raise SpecError("task.data: x and y must then name its columns")
    if y is None:
        raise SpecError("task.y: missing; it names the column of targets in task.data")
    return samples.read_samples(data, [x] if isinstance(x, str) else x, y, standardize, positive,
                                activation)  # fmt: skip


class Stop(Table):
    """When a neuron's training ends.

    Examples
    --------
    >>> import sweep
    >>> sweep.Stop(tolerance=0.05).max_epochs
    10000
    """

    tolerance: float = Field(
        default=0.1,
        description="error, the mean distance of y and a, at which a neuron has converged; above 0",
    )
    rule: str = Field(
        default="error",
        description="what is compared: error, or gradient, the largest component of ∂C/∂(w, b)",
    )
    max_epochs: int = Field(
        default=10_000, description="updates after which a neuron is given up; up to 2³¹ − 1"
    )


class Follow(Table):
    """How long each neuron is followed after its training, converged or not.

    A result then has the columns of a `FollowResult` too: outcome, period, lyapunov and so on.

    Examples
    --------
    >>> import sweep
    >>> sweep.Follow(epochs=2000).epochs
    2000
    """

    epochs: int = Field(
        ge=1, le=MAX_EPOCHS, description="epochs that each neuron is followed after its training"
    )


class OwnCost(Table):
    """A cost from a formula, and the values of its parameters; see `sweep.Cost`.

    A parameter that is missing here is an axis.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    value: str = Field(
        description="the cost of one sample, of a, y and parameters, whose numbers are beside it"
    )

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters that have their values here."""
        return dict(self.__pydantic_extra__)


class Start(Table):
    """Starts (w1 … wd, b) drawn at random or read from a file, in place of the w and b axes.

    Either `random` and `count` are given, or `file`, the path of a Parquet file with a row for each
    start and the columns w (or w1 … wd) and b, or w0 … as results have them. `count` and `sha256`,
    a hash of its numbers, are then the file's: a spec finds them, and a result is read without it.

    Examples
    --------
    >>> import sweep
    >>> start = sweep.Start(random="uniform", count=1000, scale=5.0)
    >>> spec = sweep.Spec(axes={"learning_rate": [0.1]}, start=start)
    >>> spec.start.seed
    0
    """

    random: Literal["normal", "uniform", "sobol"] | None = Field(
        default=None, description="how starts are drawn; sobol needs SciPy"
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_CELLS, description="how many starts; of a file: found there"
    )
    scale: float = Field(
        default=1.0,
        gt=0,
        le=1e300,
        description="standard deviation of normal draws; others lie between −scale and scale",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the random numbers")
    file: str | None = Field(
        default=None, description="Parquet file with a row for each start, relative to the spec"
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of a file's numbers; found there"
    )

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.random is None) == (self.file is None):
            raise SpecError("start: must have either random or file")
        of_other = ("scale", "seed") if self.random is None else ("sha256",)
        for name in of_other:
            if name in self.model_fields_set and getattr(self, name) is not None:
                kind = "file" if self.random is None else "random"
                raise SpecError(f"start.{name}: does not go with start.{kind}")
        if self.random is not None and self.count is None:
            raise SpecError("start.count: missing; it has no default")
        return self
