"""The explorer in a notebook: `sweep.explore`, the same page as a widget."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from sweep.errors import SpecError, SweepError
from sweep.experiment.spec import ARTICLE, Spec
from sweep.explorer.about import about
from sweep.explorer.endpoints import ENDPOINTS, respond

__all__ = ["explore"]


def explore(spec: Spec | Mapping[str, Any] | None = None) -> Any:
    """Return the explorer of a spec as a widget for Jupyter.

    Epochs to converge over starting weight and bias, computed as you pan, zoom and move sliders,
    as on the page of ``sweep explore``.

    Parameters
    ----------
    spec : Spec or dict, optional
        Default: the article's.

    Raises
    ------
    SweepError
        anywidget is not installed.

    Examples
    --------
    >>> import sweep
    >>> widget = sweep.explore()            # the last expression of a notebook's cell
    >>> type(widget).__name__
    'Explorer'
    """
    try:
        from anywidget import AnyWidget
    except ModuleNotFoundError:
        raise SweepError("sweep.explore needs anywidget: pip install anywidget") from None
    chosen = Spec.load(ARTICLE) if spec is None else spec
    chosen = chosen if isinstance(chosen, Spec) else Spec(**chosen)
    page = files("sweep.explorer").joinpath("page")
    contents = {
        "_esm": page.joinpath("explore.js").read_text("utf-8"),
        "_css": page.joinpath("explore.css").read_text("utf-8"),
        "__doc__": "The explorer.",
    }
    widget: Any = type("Explorer", (AnyWidget,), contents)()
    widget.on_msg(lambda sender, message, buffers: sender.send(*reply(chosen, message)))
    return widget


def reply(spec: Spec, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the message, and its binary part, that replies to a message of the page."""
    stop = np.zeros(1, np.uint8)
    name, head = str(message.get("name")), {"id": message.get("id")}
    try:
        if name != "about" and name not in ENDPOINTS:
            raise SpecError(f"{name}: there is no such data")
        query = {key: str(value) for key, value in message.get("query", {}).items()}
        response, took = (about(spec), 0.0) if name == "about" else respond(spec, name, query, stop)
    except SweepError as error:
        return {**head, "error": str(error)}, []
    if isinstance(response, dict):
        return {**head, "response": response}, []
    return {**head, "took": 1000 * took}, [response.astype("<i4").tobytes()]
