"""What a folder of results holds, as data and in a few lines: the first half of `sweep info`."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.analysis.row_groups import ResultRows, pooled
from sweep.errors import printable
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.experiment.labels import labels
from sweep.experiment.samples import Samples
from sweep.experiment.tables import Task
from sweep.store.folder import files
from sweep.store.parts import part_name, read_metadata
from sweep.store.schema import methods_of, methods_text

LISTED = 6
"""Of an axis of more values, the first and the last are printed."""


def contents(result: ResultRows) -> dict[str, Any]:
    """Return the spec, the files and how they were written, ready for JSON."""
    grid = result.grid
    spec = grid.spec.fields()
    listing = files(result.folder)
    parts = [listing[part_name(grid, part)] for part in result.parts]
    metadata = read_metadata(result.folder, parts[0].base_name)
    names = (part.base_name for part in parts)
    methods = pooled(lambda name: methods_of(read_metadata(result.folder, name)["method"]), names)
    written = sorted(part.mtime_ns / 1e9 for part in parts)
    return {
        "folder": str(result.folder),
        "name": grid.spec.name,
        "id": grid.spec.id,
        "neurons": grid.size,
        "rows": result.rows,
        "axes": {name: _axis(values) for name, values in grid.values.items()},
        "start": spec.get("start"),
        "fixed": spec["task"] | spec["stop"] | spec.get("optimizer", {}),
        "parts": len(result.parts),
        "parts_in_all": grid.parts,
        "left_out": list(result.left_out),
        "bytes": sum(part.size for part in parts),
        "written": [
            datetime.fromtimestamp(when).astimezone().isoformat("T", "seconds")
            for when in (written[0], written[-1])
        ],
        "seconds": written[-1] - written[0],
        "method": methods_text(set().union(*methods)),
        "versions": metadata["versions"],
    }


def _axis(values: NDArray[Any]) -> dict[str, Any]:
    if len(values) <= LISTED:
        return {"num": len(values), "values": values.tolist()}
    return {"num": len(values), "first": values[0].item(), "last": values[-1].item()}


def _labels(name: str, values: NDArray[Any]) -> list[str]:
    texts: list[str] = values.tolist() if name in CHOICES else labels(values, 6)
    return texts if len(values) <= LISTED else [f"{texts[0]} … {texts[-1]}"]


def _brief(value: Any) -> str:
    """Return x or y of the samples, which may be thousands, in a few words."""
    if not isinstance(value, list) or len(str(value)) <= 60:
        return str(value)
    inputs = f" × {len(value[0])} inputs" if isinstance(value[0], list) else ""
    numbers = np.array(value)
    return f"{len(value):,} samples{inputs}, {numbers.min():g} … {numbers.max():g}"


def _samples_text(samples: Samples, task: Task) -> str:
    """Return what the samples of a file or a table are in a line."""
    inputs = len(samples.names)
    listed = [*samples.names[:LISTED], *(["…"] if inputs > LISTED else [])]
    origin = f" from {Path(task.data.partition('?')[0]).name}" if task.data else ""
    scaled = ", standardised" if samples.means is not None else ""
    return (
        f"{len(samples):,} samples × {inputs} input{'s' if inputs > 1 else ''}{origin}: "
        f"{', '.join(map(printable, listed))}{scaled}; target {printable(samples.target)}"
    )


def axis_lines(grid: Grid) -> list[tuple[str, str]]:
    """Return what a sweep consists of, as lines of a name and a text."""
    spec = grid.spec.fields()
    lines = []
    for name, values in grid.values.items():
        count = f"{len(values):>6,} value{'s' if len(values) > 1 else ''}"
        lines.append((name, f"{count}: {', '.join(_labels(name, values))}"))
    start = spec.get("start", {})
    if "file" in start:
        lines.append(("starts", f"{start['count']:,}, from {printable(start['file'])}"))
    elif start:
        drawn = ", ".join(f"{name} {value}" for name, value in start.items())
        lines.append(("starts", f"drawn: {drawn}"))
    samples = grid.spec.task.samples
    if samples is not None:
        lines.append(("samples", _samples_text(samples, grid.spec.task)))
        spec["task"] = {"activation": grid.spec.task.activation}
    held = spec["task"] | spec["stop"] | spec.get("optimizer", {})
    fixed = [f"{name} = {_brief(value)}" for name, value in held.items()]
    return [*lines, ("fixed", ", ".join(fixed))]


def format_contents(contents: dict[str, Any], grid: Grid) -> str:
    """Return contents as a few lines of text."""
    lines = [f"sweep {contents['name']!r}, {contents['neurons']:,} neurons, id {contents['id']}"]
    lines += [f"{name:14} {text}" for name, text in axis_lines(grid)]
    left = f"; left out: {', '.join(contents['left_out'])}" if contents["left_out"] else ""
    lines.append(
        f"{'parts':14} {contents['parts']:>6} of {contents['parts_in_all']}, "
        f"{contents['rows']:,} rows, {_size(contents['bytes'])}{left}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in contents["versions"].items())
    lines.append(
        f"{'method':14} {contents['method']}; written {contents['written'][1]}, from the first "
        f"part to the last in {contents['seconds']:,.1f} s ({versions})"
    )
    return "\n  ".join(lines)


def _size(count: int) -> str:
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
