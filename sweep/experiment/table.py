"""What the tables of a spec are made of: plain values in, and a fault as one line out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from sweep.errors import SpecError, printable, short
from sweep.experiment.checks import MAX_VALUES, known_names
from sweep.neuron.own_costs import Cost

__all__ = ["MAX_DEPTH", "Table", "is_table", "plain"]

MAX_DEPTH = 32  # tables in tables, lists in lists

INLINE = 1000  # numbers of an array up to which the samples are in the text of a spec


def is_table(value: object) -> bool:
    """Return whether x is a table, or an array that is too large for the text of a spec."""
    return hasattr(value, "columns") or getattr(value, "size", 0) > INLINE


def plain(value: Any, levels: int, in_task: bool = False) -> Any:
    """Return what NumPy, pandas or a tuple holds as Python's own numbers and lists.

    Samples in a table or in a large array are left as they are.
    """
    if levels < 0:
        raise SpecError(f"a spec: has tables or lists nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping) and in_task and is_table(value.get("x")):
        return {k: v if k in ("x", "y") else plain(v, levels - 1) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        value = _named_costs(value)
        return {key: plain(each, levels - 1, key == "task") for key, each in value.items()}
    if isinstance(value, (list, tuple, range)):
        if len(value) > MAX_VALUES:
            raise SpecError(f"a spec: has a list of {len(value):,} values; at most {MAX_VALUES:,}")
        return [plain(v, levels - 1) for v in value]
    return float(value) if isinstance(value, (Decimal, Fraction)) else value


def _named_costs(fields: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return fields whose axis of costs has names; the `Cost`s that it had are under costs."""
    axes = fields.get("axes")
    given = axes.get("cost") if isinstance(axes, Mapping) else None
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    own = {cost.name: {"value": cost.value, **cost.parameters}
           for cost in several if isinstance(cost, Cost)}  # fmt: skip
    tables = fields.get("costs", {})
    if not own or not isinstance(tables, Mapping):
        return fields
    if len(own) < sum(isinstance(cost, Cost) for cost in several) or own.keys() & tables.keys():
        raise SpecError("axes.cost: holds two costs of one name")
    names = [cost.name if isinstance(cost, Cost) else cost for cost in several]
    assert isinstance(axes, Mapping)
    return {**fields, "axes": {**axes, "cost": names}, "costs": {**tables, **own}}


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
    table = _table_in(model.model_fields[path[0]].annotation) if path else model
    return list((table or model).model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first table that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
