"""What each command does: from its arguments to an exit code."""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError, SweepError, printable

if TYPE_CHECKING:
    from sweep.experiment.samples import Samples
    from sweep.experiment.spec import Spec
    from sweep.running.run import RunResult
    from sweep.store.folder import Folder

__all__ = [
    "article",
    "bench",
    "check",
    "completion",
    "explore",
    "export",
    "info",
    "plot",
    "run",
    "schema",
]

# A run draws its figures if the result is at most this large; `sweep plot` draws any.
DRAWN_AT_ONCE = 10_000_000
DRAWN_BY_RUN = ("heatmap", "error", "slowdown")


def _start_matplotlib() -> None:
    """Import matplotlib, whatever backend the user asks for; its settings are not ours."""
    if "matplotlib" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        raise SpecError(f"matplotlib cannot read its settings: {printable(error)}") from None


def run(arguments: Namespace) -> int:
    """Train a sweep, say what was done and found, and draw it."""
    # Or Arrow gives memory back between two parts, and the system clears it for the next: a
    # fifteenth of the time of 10⁸ starts of 16 samples.
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "-1")
    from sweep.experiment.spec import Spec

    text, out, base, samples = _spec_of(arguments)
    settings = [*arguments.set, *([f"method={arguments.method}"] if arguments.method else [])]
    origin = printable(arguments.spec or "the article's spec")
    spec = Spec.overridden(text, settings, origin, base, samples)
    if arguments.print_spec:
        changed = spec.toml() if settings else text
        # The article's is there to be copied: under its name a run would go to the same folder.
        print(re.sub(r'^name = "article"$', 'name = "mine"', changed, flags=re.M), end="")
        return 0
    from sweep.experiment.grid import Grid
    from sweep.running.run import run as compute
    from sweep.store.folder import open_folder
    from sweep.store.parts import foreign_files

    folder = open_folder(Path("results") / spec.name if out is None else out)
    if arguments.dry_run:
        print(f"{spec.name}, into {folder}:\n{spec.estimate(arguments.threads)}")
        return 0
    if arguments.verbose:
        print(spec.estimate(arguments.threads))
    if not arguments.yes:
        _ask(spec, folder)
    if arguments.dask is None:
        done = compute(
            spec, folder, threads=arguments.threads, shard=arguments.shard, quiet=arguments.quiet
        )
    else:
        from sweep.running.cluster import connected

        with connected(arguments.dask, arguments.threads) as client:
            done = compute(
                spec, folder, shard=arguments.shard, client=client, quiet=arguments.quiet
            )
    for name in foreign_files(done.folder, Grid(spec)):
        print(f"sweep: {done.folder / name}: is no part of this sweep; move it away, or it is "
              "read too by those who read the folder as one table", file=sys.stderr)  # fmt: skip
    if arguments.quiet:
        return 0
    print(_summary(done))
    if done.missing:
        print(f"{done.missing} of {done.parts} parts belong to other shards")
        return 0
    _show(done)
    return 0


def _spec_of(arguments: Namespace) -> tuple[str, str | None, Path, Samples | None]:
    """Return the text of the spec to run, where to if that is said, and where its paths begin.

    Last the samples, if a folder has them.
    """
    from sweep.experiment.spec import ARTICLE, read_text
    from sweep.store.folder import open_folder
    from sweep.store.spec_file import read_spec

    given = arguments.spec
    if given is not None and ("://" in given or Path(given).is_dir()):
        there = read_spec(open_folder(given))
        return there.toml(), arguments.out or given, Path(), there.task.samples
    path = Path(given or ARTICLE)
    return read_text(path), arguments.out, path.parent, None


def _ask(spec: Spec, folder: Folder) -> None:
    """Ask whether a sweep is to run that is huge, or may not fit onto the disk."""
    from sweep.running.estimate import concern

    reason = concern(spec, folder)
    if reason is None:
        return
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"sweep: {reason}; go on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise SpecError(f"{reason}; --yes runs it all the same")


def _show(done: RunResult) -> None:
    """Print what a complete result shows, and draw it."""
    from sweep.store.folder import figures_folder, files

    if done.cells > DRAWN_AT_ONCE:
        print(f"figures: sweep plot {done.folder}")
        return
    _start_matplotlib()
    from sweep.analysis.findings import findings, format_findings
    from sweep.analysis.row_groups import open_result
    from sweep.figures.draw import draw

    result = open_result(done.folder)
    print(format_findings(findings(result), result.grid))
    try:
        to = figures_folder(done.folder)
    except SpecError:  # a bucket
        print(f"figures: sweep plot {done.folder} -o DIR")
        return
    names = [f"{name}.png" for name in DRAWN_BY_RUN]
    figures = [to / name for name in names]
    if done.computed or not files(to).keys() >= set(names):
        figures, _ = draw(result, to, DRAWN_BY_RUN, leave_out=True)
    print(f"figures (sweep plot {done.folder} draws more):", *figures, sep="\n  ")


def _summary(done: RunResult) -> str:
    if done.computed == 0 and done.missing:
        return f"{done.folder} has all {done.reused} parts of this shard"
    if done.computed == 0:
        return f"{done.folder} is complete: {done.cells:,} neurons"
    shard = " of this shard" if done.missing else ""
    kept = f", {done.reused} parts were kept" if done.reused else ""
    return (
        f"trained {done.trained:,} neurons in {done.seconds:.1f} s{kept}: "
        f"{done.neuron_epochs:,} neuron-epochs, "
        f"{done.neuron_epochs / done.seconds / 1e6:,.0f} million a second; "
        f"method {done.method}\n{done.parts - done.missing} Parquet parts{shard} in {done.folder}"
    )


def plot(arguments: Namespace) -> int:
    """Draw figures of a result."""
    from sweep.analysis.row_groups import open_result
    from sweep.analysis.selection import select

    result = open_result(arguments.folder, skip_damaged=arguments.skip_damaged)
    notes = result.warnings
    folder = result.folder
    if arguments.where:
        result, more = select(result, dict(map(_selection, arguments.where)))
        notes += more
    _start_matplotlib()
    from sweep.figures.draw import draw  # seaborn, a second: only if there is something to draw
    from sweep.figures.style import Look
    from sweep.store.folder import figures_folder

    for note in notes:
        print(f"sweep: {note}", file=sys.stderr)
    figures, reasons = draw(
        result,
        figures_folder(folder) if arguments.out is None else arguments.out,
        arguments.figure,
        format=arguments.format,
        dpi=arguments.dpi,
        look=Look(arguments.style, arguments.cmap, arguments.width, arguments.title or None),
        starts=None if arguments.starts is None else [*map(_start, arguments.starts)],
    )
    print("figures:", *figures, sep="\n  ")
    print(*(f"not drawn: {reason}" for reason in reasons), sep="\n", end="\n" if reasons else "")
    return 0


def _start(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise SpecError(f"--starts {printable(text)}: must be numbers, as in 0.6,0.9") from None


def _selection(text: str) -> tuple[str, list[Any]]:
    """Return the axis and the values of AXIS=VALUE,VALUE."""
    name, mark, values = text.partition("=")
    if not mark:
        raise SpecError(f"--where {printable(text)}: must be AXIS=VALUE, as in y=0.1")
    from sweep.experiment.checks import CHOICES

    if name in CHOICES:
        return name, values.split(",")
    try:
        return name, [float(value) for value in values.split(",")]
    except ValueError:
        raise SpecError(f"--where {printable(text)}: must be numbers") from None


def info(arguments: Namespace) -> int:
    """Say what a result holds and what it shows."""
    from sweep.analysis.contents import contents, format_contents
    from sweep.analysis.findings import findings, format_findings
    from sweep.analysis.row_groups import open_result

    result = open_result(arguments.folder, skip_damaged=arguments.skip_damaged)
    if arguments.json:
        print(json.dumps(contents(result) | findings(result), indent=2, allow_nan=False))
        return 0
    print(f"{result.folder}: {format_contents(contents(result), result.grid)}")
    print(format_findings(findings(result), result.grid))
    return 0


def check(arguments: Namespace) -> int:
    """Name what is missing or damaged."""
    from sweep.experiment.grid import Grid
    from sweep.store.folder import open_folder
    from sweep.store.parts import FaultKind, fault_lines, faults
    from sweep.store.spec_file import read_spec

    folder = open_folder(arguments.folder)
    grid = Grid(read_spec(folder))
    faults_by_part = faults(folder, grid)
    lines = fault_lines(folder, grid, faults_by_part)
    print("\n".join(lines) or f"{folder}: complete, and no part is damaged")
    missing = sum(fault.kind is FaultKind.missing for fault in faults_by_part.values())
    if missing > 1:
        print(f"{missing} parts are missing; `sweep run` computes them")
    return 1 if lines else 0


def export(arguments: Namespace) -> int:
    """Write a result into one file."""
    from sweep.store.export import export as write

    rows = write(arguments.folder, arguments.file, arguments.columns)
    print(f"{rows:,} rows in {printable(arguments.file)}")
    return 0


def explore(arguments: Namespace) -> int:
    """Serve the explorer's page until Ctrl-C."""
    from sweep.experiment.spec import Spec

    if not 0 <= arguments.port <= 65535:
        raise SpecError(f"port = {arguments.port}: must be from 0 to 65535")
    text, folder, base, samples = _spec_of(arguments)
    origin = printable(arguments.spec or "the article's spec")
    spec, result = Spec.parse(text, origin, base, samples), None
    if folder is not None:
        from sweep.result import open as open_result

        result = open_result(folder)
    try:
        from sweep.explorer.server import serve
    except ModuleNotFoundError as error:
        raise SweepError(
            f"sweep explore needs {error.name}: pip install starlette uvicorn"
        ) from None
    serve(spec, arguments.port, not arguments.no_browser, result)
    return 0


def article(arguments: Namespace) -> int:
    """Reproduce the article."""
    from sweep.kernels.pool import check_threads
    from sweep.store.folder import figures_folder, open_folder

    check_threads(arguments.threads)
    open_folder(arguments.out)
    _start_matplotlib()
    import sweep.article.derivation  # noqa: F401, a missing SymPy is reported before any work
    from sweep.article import build, page

    sections = build.build_sections(arguments.out, threads=arguments.threads)
    paths = build.write_article(sections, figures_folder(open_folder(arguments.out)))
    if arguments.json:
        print(build.to_json(sections, paths))
    else:
        print(page.text(sections))
        print("page and figures:", *paths, sep="\n  ")
    return 0 if build.all_claims_hold(sections) else 1


def bench(arguments: Namespace) -> int:
    """Time the kernel against its peers."""
    from sweep.kernels.pool import check_threads

    check_threads(arguments.threads)
    for path in filter(None, (arguments.json, arguments.out)):
        if not Path(path).absolute().parent.is_dir():
            raise SpecError(f"{path}: its folder does not exist")
    from sweep.bench.measure import bench as measure
    from sweep.bench.tables import report

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    result = measure(full=arguments.full, threads=arguments.threads, progress=progress)
    progress("")
    print(report(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.json or arguments.out:
        _start_matplotlib()
        from sweep.bench.picture import draw

        out = Path(arguments.out) if arguments.out else Path(arguments.json).parent
        for path in draw(result, out):
            print(f"picture: {path}")
    incorrect = sorted({line["row"] for line in result["rows"] if not line["correct"]})
    if incorrect:
        raise SweepError(f"bench: wrong epochs from {', '.join(incorrect)}")
    return 0


def schema(arguments: Namespace) -> int:
    """Print the JSON Schema of a spec."""
    from sweep.experiment.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


def completion(arguments: Namespace) -> int:
    """Print what makes a shell complete the command."""
    try:
        import shtab
    except ImportError:
        raise SpecError("completion: needs the package shtab: pip install shtab") from None
    from sweep.cli.parser import make_parser

    print(shtab.complete(make_parser(), arguments.shell))
    return 0
