"""The JSON Schema of a spec, for editors: names, types and ranges as they are typed."""

from __future__ import annotations

from typing import Any

from sweep.experiment.checks import MAX_VALUES
from sweep.experiment.spec import Spec
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS
from sweep.neuron.optimizers import OPTIMIZERS
from sweep.neuron.problem import DTYPES, METHODS, RULES

__all__ = ["json_schema"]

AXES = {
    "w": "weight at the start, of one input",
    "b": "bias at the start",
    "learning_rate": "learning rate η of gradient descent, above 0",
    "cost": "what training descends; default: quadratic, and the activation's matching cost",
    "optimizer": "how gradients become steps; default: gd, gradient descent, and no column",
    "x": "input of the one sample",
    "y": "target of the one sample",
    "tolerance": "error at which a neuron has converged, above 0",
}

# Of optimisers' parameters.
MEANINGS = {
    "beta": "share of the velocity that an epoch keeps",
    "beta1": "share of the mean gradient that an epoch keeps",
    "beta2": "share of the mean square that an epoch keeps",
    "epsilon": "added to the root of the mean square",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec's TOML file.

    What goes with what, a cost with an activation for one, is checked by `sweep.Spec` alone.

    Examples
    --------
    >>> from sweep.experiment.json_schema import json_schema
    >>> json_schema()["properties"]["dtype"]["enum"]
    ['float64', 'float32']
    """
    schema = Spec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A spec of sweep"
    tables = schema["$defs"]
    for name, table in (*tables.items(), ("Spec", schema)):
        table["description"] = (table.get("description") or name).partition("\n")[0]
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MAX_VALUES}
    axis = {"anyOf": [{"type": "number"}, numbers, {"$ref": "#/$defs/Span"}]}

    def names(kind: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1}]}

    choices = {"cost": names({"type": "string"}), "optimizer": names({"enum": [*OPTIMIZERS]})}
    schema["properties"]["axes"] |= {
        "properties": {
            name: {"description": text, **choices.get(name, axis)} for name, text in AXES.items()
        },
        "patternProperties": {"^w[1-9][0-9]*$": {"description": AXES["w"], **axis}},
        "additionalProperties": axis,
        "required": ["learning_rate"],
    }
    # Without costs of its own, a spec has no other names of costs, and no parameters as axes.
    known = f"^({'|'.join(AXES)}|w[1-9][0-9]*)$"
    plain = {"propertyNames": {"pattern": known}, "properties": {"cost": names({"enum": [*COSTS]})}}
    schema["if"] = {"not": {"required": ["costs"]}}
    schema["then"] = {"properties": {"axes": plain}}
    tables["Task"]["properties"]["activation"]["enum"] = list(ACTIVATIONS)
    tables["Stop"]["properties"]["rule"]["enum"] = list(RULES)
    schema["properties"]["optimizer"] |= {
        "properties": _optimizer_parameters(),
        "additionalProperties": False,
    }
    schema["properties"]["method"]["enum"] = list(METHODS)
    schema["properties"]["dtype"]["enum"] = list(DTYPES)
    return schema


def _optimizer_parameters() -> dict[str, Any]:
    takers: dict[str, list[str]] = {}
    usual: dict[str, float] = {}
    for name, update in OPTIMIZERS.items():
        for key, value in update.parameters.items():
            takers.setdefault(key, []).append(name)
            usual[key] = value
    above = {"exclusiveMinimum": 0}, "above 0"
    share = {"minimum": 0, "exclusiveMaximum": 1}, "at least 0 and below 1"
    fields = {}
    for key, names in takers.items():
        limits, text = above if key == "epsilon" else share
        about = f"{MEANINGS.get(key, key)}, of {' and '.join(names)}; {text}"
        fields[key] = {"type": "number", "default": usual[key], "description": about, **limits}
    return fields
