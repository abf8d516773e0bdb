"""The tables of a spec: an axis, the samples, when to stop, starts; the text of their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from sweep.errors import SpecError, printable, short
from sweep.experiment.checks import MAX_CELLS, MAX_VALUES, known_names
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import MAX_EPOCHS, check_choice

if TYPE_CHECKING:
    from sweep.experiment.samples import Samples

__all__ = [
    "MAX_DEPTH",
    "STORED",
    "Axis",
    "Follow",
    "Span",
    "Start",
    "Stop",
    "Table",
    "Task",
    "plain",
]

MAX_DEPTH = 32  # tables in tables, lists in lists

INLINE = 1000  # numbers of an array up to which the samples are in the text of a spec


def _is_table(value: object) -> bool:
    """Return whether x is a table, or an array that is too large for the text of a spec."""
    return hasattr(value, "columns") or getattr(value, "size", 0) > INLINE


def plain(value: Any, levels: int, in_task: bool = False) -> Any:
    """Return what NumPy, pandas or a tuple holds as Python's own numbers and lists.

    Samples in a table or in a large array are left as they are.
    """
    if levels < 0:
        raise SpecError(f"a spec: has tables or lists nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping) and in_task and _is_table(value.get("x")):
        return {k: v if k in ("x", "y") else plain(v, levels - 1) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {key: plain(each, levels - 1, key == "task") for key, each in value.items()}
    if isinstance(value, (list, tuple, range)):
        if len(value) > MAX_VALUES:
            raise SpecError(f"a spec: has a list of {len(value):,} values; at most {MAX_VALUES:,}")
        return [plain(v, levels - 1) for v in value]
    return float(value) if isinstance(value, (Decimal, Fraction)) else value


class Table(BaseModel):
    """A table of the TOML file, whose faults are one line."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # editors see the fields

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**plain(fields, MAX_DEPTH, type(self).__name__ == "Task"))
            except ValidationError as error:
                raise SpecError(_one_line(type(self), error.errors(include_url=False))) from None

        # For a table in a table pydantic's own is called, which knows the path to the fault.
        __init__.__pydantic_base_init__ = True


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

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        if self.scale == "log" and not (self.start > 0 and self.stop > 0):
            raise ValueError("with scale = 'log', start and stop must be greater than 0")
        if not np.isfinite(self.stop - self.start):
            raise ValueError("stop - start overflows")
        return self


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
    needed = data is not None or _is_table(x) or standardize is True or positive is not None
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


# --- errors ---------------------------------------------------------------------------------

# What is allowed, by the type of pydantic's error.
_ALLOWED = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} values",
    "too_short": "must not be empty",
    "value_error": "{error}",
}


def _one_line(model: type[BaseModel], errors: list[ErrorDetails]) -> str:
    """Return the first of pydantic's errors as «field = value: what is allowed»."""
    # A misspelt key is also a missing one: the former says more.
    error = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    context = error.get("ctx", {})
    if isinstance(context.get("error"), SpecError):  # a check of ours, which names its field
        return str(context["error"])
    # The third of an axis' path, and of that of x and y, is which of several types was tried.
    whole = error["loc"]
    path = whole[:2] + whole[3:] if whole[0] in ("axes", "task") else whole
    keys = [printable(key)[:60] for key in path]
    field = ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown key; {known_names(keys[-1], _keys(model, keys[:-1]))}"
    if error["type"] == "missing":
        return f"{field}: missing; it has no default"
    numbers = {
        key: f"{value:,}" if isinstance(value, int) else f"{value:g}"
        for key, value in context.items()
        if isinstance(value, (int, float))
    }
    template = _ALLOWED.get(error["type"])
    allowed = template.format(**context | numbers) if template else error["msg"]
    if path[-1] == "num" and isinstance(error["input"], int) and error["input"] > MAX_VALUES:
        rows = Decimal(error["input"])  # of any number of digits
        allowed = f"{allowed} (so many rows take {8 * rows / 10**9:.3g} GB for this axis alone)"
    return f"{field} = {short(error['input'])}: {allowed}"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys of the table at a path of a model: itself, a table of it, or an axis."""
    tables: dict[str, type[BaseModel]] = {
        "task": Task, "stop": Stop, "start": Start, "follow": Follow
    }  # fmt: skip
    return list((tables.get(path[0], Span) if path else model).model_fields)
