"""What a folder of results holds, as data and in a few lines: the first half of `sweep info`."""

from datetime import datetime
from typing import Any

from sweep.report.stream import Result
from sweep.store.dataset import part_name, read_about
from sweep.store.folder import files

LISTED = 6
"""Of an axis of more values, the first and the last are said."""


def contents(result: Result) -> dict[str, Any]:
    """Return what was asked and what is there, ready for JSON."""
    grid = result.grid
    spec = grid.spec.model_dump(exclude_none=True)
    there = files(result.folder)
    parts = [there[part_name(grid, part)] for part in result.parts]
    about = read_about(result.folder, parts[0].base_name)
    written = sorted(part.mtime_ns / 1e9 for part in parts)
    given = [(table, name) for table in ("task", "stop") for name in spec[table]]
    return {
        "folder": str(result.folder),
        "name": grid.spec.name,
        "id": grid.spec.id,
        "neurons": grid.size,
        "rows": result.rows,
        "axes": {
            name: {"num": len(values), "values": values.tolist()}
            if len(values) <= LISTED
            else {"num": len(values), "first": values[0].item(), "last": values[-1].item()}
            for name, values in grid.values.items()
        },
        "start": spec.get("start"),
        "fixed": {name: spec[table][name] for table, name in given if name not in grid.values},
        "parts": len(result.parts),
        "parts_in_all": grid.parts,
        "left_out": list(result.left_out),
        "bytes": sum(part.size for part in parts),
        "written": [
            datetime.fromtimestamp(when).astimezone().isoformat("T", "seconds")
            for when in (written[0], written[-1])
        ],
        "seconds": written[-1] - written[0],
        "method": about["method"],
        "versions": about["versions"],
    }


def told(found: dict[str, Any]) -> str:
    """Put contents into a few lines of text."""
    lines = [f"sweep {found['name']!r}, {found['neurons']:,} neurons, id {found['id']}"]
    for name, axis in found["axes"].items():
        texts = [v if isinstance(v, str) else f"{v:.6g}" for v in axis.get("values", ())]
        said = ", ".join(texts) or f"{axis['first']:.6g} … {axis['last']:.6g}"
        lines.append(f"{name:14} {axis['num']:>6} value{'s' if axis['num'] > 1 else ''}: {said}")
    if found["start"]:
        how = ", ".join(f"{name} {value}" for name, value in found["start"].items())
        lines.append(f"{'starts':14} drawn: {how}")
    lines.append(f"{'fixed':14} " + ", ".join(f"{k} = {v}" for k, v in found["fixed"].items()))
    left = f"; left out: {', '.join(found['left_out'])}" if found["left_out"] else ""
    lines.append(
        f"{'parts':14} {found['parts']:>6} of {found['parts_in_all']}, {found['rows']:,} rows, "
        f"{_size(found['bytes'])}{left}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines.append(
        f"{'method':14} {found['method']}; written {found['written'][1]}, from the first part to "
        f"the last in {found['seconds']:,.1f} s ({versions})"
    )
    return "\n  ".join(lines)


def _size(count: int) -> str:
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
