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
    parameters = sorted({key for update in OPTIMIZERS.values() for key in update.parameters})
    schema["properties"]["optimizer"]["propertyNames"] = {"enum": parameters}
    schema["properties"]["method"]["enum"] = list(METHODS)
    schema["properties"]["dtype"]["enum"] = list(DTYPES)
    return schema
