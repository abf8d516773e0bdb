"""The command `sweep`: run, plot, info, check, article, bench."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from sweep import __version__
from sweep.errors import SpecError, SweepError, printable

if TYPE_CHECKING:
    from sweep.running.run import RunResult

__all__ = ["main"]

# A run draws its figures if the result is at most this large; `sweep plot` draws any.
DRAWN_AT_ONCE = 10_000_000
DRAWN_BY_RUN = ("heatmap", "error", "slowdown")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    _prepare_output()
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.do(arguments)
        sys.stdout.flush()
    except SpecError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except SweepError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hint = "; the same command resumes the run" if arguments.command == "run" else ""
        print(f"\nsweep: interrupted{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sweep info DIR | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):  # of stdout; a part's is a SweepError
            raise
        print(f"sweep: cannot print: {error.strerror}", file=sys.stderr)
        sys.stdout = _nowhere()  # what is left in it cannot be flushed
        return 1
    return code


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _prepare_output() -> None:
    """Make printing safe where a stream is closed, or its encoding has no η."""
    with suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # or a part's file would be stderr
            pass
        os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere())
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _start_matplotlib() -> None:
    """Import matplotlib, whatever backend the user asks for; its settings are not ours."""
    if "matplotlib" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        raise SpecError(f"matplotlib cannot read its settings: {printable(error)}") from None


class _Parser(argparse.ArgumentParser):
    """argparse's, with one line for what it cannot read, in place of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sweep: {printable(message)} (see: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sweep",
        description="How many epochs does a neuron need, from where it starts, under which cost, "
        "at which learning rate?",
        epilog="`sweep run` alone trains the article's sweep and draws it. "
        "Each command explains itself: sweep run --help",
    )
    parser.add_argument("--version", action="version", version=f"sweep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="train a sweep into a folder of Parquet, and draw it",
        description="Train every cell of a sweep into a folder of Parquet parts, then draw its "
        "figures. Parts that are there already are kept: the same command resumes a run.",
        epilog="A spec in full, to copy and change: sweep run --print-spec > mine.toml",
    )
    run.add_argument(
        "spec", nargs="?", metavar="SPEC.toml", help="what to run (default: the article's sweep)"
    )
    run.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        help="folder of the result, or a URI: s3://bucket/name (default: results/NAME)",
    )
    run.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")
    run.add_argument(
        "--method", choices=("auto", "train", "orbit"), help="overrules the spec's method"
    )
    run.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N slices of the parts, so that N machines fill one folder",
    )
    run.add_argument(
        "--dask",
        nargs="?",
        const="",
        type=_address,
        metavar="ADDRESS",
        help="compute on the Dask cluster with this scheduler, as in tcp://host:8786; without an "
        "address, on N processes of this machine",
    )
    run.add_argument(
        "--print-spec", action="store_true", help="print the spec that would run, and do nothing"
    )
    run.set_defaults(do=_run)

    for name, do, text in (
        ("plot", _plot, "draw the figures of a result"),
        ("info", _info, "say what a result holds and what it shows"),
        ("check", _check, "look for parts that are missing or damaged"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        command.add_argument("folder", metavar="DIR", help="folder or URI that `sweep run` filled")
        command.set_defaults(do=do)
        if name in ("plot", "info"):
            command.add_argument(
                "--skip-damaged", action="store_true", help="go on without damaged parts"
            )
        if name == "info":
            command.add_argument("--json", action="store_true", help="all of it as JSON")
        if name == "plot":
            _plot_options(command)

    article = commands.add_parser(
        "article",
        help="reproduce and check every claim of the article",
        description="Walk through the article on the quadratic and the cross-entropy cost, "
        "reproduce each of its claims and check it. Exit code 1 if one does not hold.",
        epilog="The algebra needs SymPy: pip install 'neuron-sweep[article]'",
    )
    article.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        default="results/article",
        help="folder of the article's sweep, of which all that is there is used; article.html and "
        "its figures go to DIR-figures (default: %(default)s)",
    )
    article.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")
    article.add_argument("--json", action="store_true", help="print the claims as JSON")
    article.set_defaults(do=_article)

    bench = commands.add_parser(
        "bench",
        help="time the kernel against its peers and the machine's limit",
        description="Time the kernel against NumPy, Numba, C++, JAX and PyTorch, as far as "
        "installed, check that all find the same epochs, and show the share of the machine's "
        "limit. "
        "Quick: under a minute without JAX and PyTorch, which `pip install neuron-sweep[bench]` "
        "brings.",
    )
    bench.add_argument("--full", action="store_true", help="larger workloads, more rounds: minutes")
    bench.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")
    bench.add_argument("--json", metavar="FILE", help="write all that was measured, and a picture")
    bench.add_argument("-o", "--out", metavar="DIR", help="where to put the picture")
    bench.set_defaults(do=_bench)
    return parser


def _plot_options(command: argparse.ArgumentParser) -> None:
    from sweep.figures import FIGURES

    figures = "; ".join(f"{name}: {figure.description}" for name, figure in FIGURES.items())
    command.add_argument(
        "--figure",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"{figures} (default: all that this result can give)",
    )
    command.add_argument("--format", default="png", metavar="png|svg|pdf", help="default: png")
    command.add_argument(
        "-o", "--out", metavar="DIR", help="where to put the figures (default: DIR-figures)"
    )
    command.add_argument("--dpi", type=int, default=150, metavar="N", help="default: 150")
    command.add_argument("--style", default="paper", metavar="paper|talk", help="default: paper")


def _shard(text: str) -> tuple[int, int]:
    try:
        number, of = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be I/N, as in 1/4") from None
    return number, of


def _address(text: str) -> str:
    port = re.search(r":(\d+)$", text)
    if text and not port and "://" not in text:  # `sweep run --dask mine.toml`
        raise argparse.ArgumentTypeError(f"{text!r}: must be as tcp://host:8786, or come last")
    if port and (len(port[1]) > 5 or int(port[1]) > 65535):
        raise argparse.ArgumentTypeError(f"{text!r}: the port must be at most 65535")
    return text


def _run(arguments: argparse.Namespace) -> int:
    from sweep.experiment.spec import ARTICLE, Spec

    origin = Path(arguments.spec or ARTICLE)
    spec = Spec.load(origin)
    if arguments.method:
        spec = Spec(**{**spec.model_dump(exclude_unset=True), "method": arguments.method})
    if arguments.print_spec:
        print(origin.read_text(encoding="utf-8"), end="")
        return 0
    from sweep.experiment.grid import Grid
    from sweep.running.run import run
    from sweep.store.folder import figures_folder, files
    from sweep.store.parts import foreign_files

    out = Path("results") / spec.name if arguments.out is None else arguments.out
    if arguments.dask is None:
        done = run(spec, out, threads=arguments.threads, shard=arguments.shard)
    else:
        from sweep.running.cluster import connected

        with connected(arguments.dask, arguments.threads) as client:
            done = run(spec, out, shard=arguments.shard, client=client)
    print(_summary(done))
    for name in foreign_files(done.folder, Grid(spec)):
        print(f"sweep: {done.folder / name}: is no part of this sweep; move it away, or it is "
              "read too by those who read the folder as one table", file=sys.stderr)  # fmt: skip
    if done.missing:
        print(f"{done.missing} of {done.parts} parts belong to other shards")
        return 0
    if done.cells > DRAWN_AT_ONCE:
        print(f"figures: sweep plot {done.folder}")
        return 0
    _start_matplotlib()
    from sweep.analysis.findings import findings, format_findings
    from sweep.analysis.row_groups import open_result
    from sweep.figures.draw import draw

    result = open_result(done.folder)
    print(format_findings(findings(result), result.grid))
    names = [f"{name}.png" for name in DRAWN_BY_RUN]
    to = figures_folder(done.folder)
    figures = [to / name for name in names]
    if done.computed or not files(to).keys() >= set(names):
        figures, _ = draw(result, to, DRAWN_BY_RUN, leave_out=True)
    print(f"figures (sweep plot {done.folder} draws more):", *figures, sep="\n  ")
    return 0


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


def _plot(arguments: argparse.Namespace) -> int:
    from sweep.analysis.row_groups import open_result

    result = open_result(arguments.folder, skip_damaged=arguments.skip_damaged)
    _start_matplotlib()
    from sweep.figures.draw import draw  # seaborn, a second: only if there is something to draw
    from sweep.store.folder import figures_folder

    for warning in result.warnings:
        print(f"sweep: {warning}", file=sys.stderr)
    figures, reasons = draw(
        result,
        figures_folder(result.folder) if arguments.out is None else arguments.out,
        arguments.figure,
        format=arguments.format,
        dpi=arguments.dpi,
        style=arguments.style,
    )
    print("figures:", *figures, sep="\n  ")
    print(*(f"not drawn: {reason}" for reason in reasons), sep="\n", end="\n" if reasons else "")
    return 0


def _info(arguments: argparse.Namespace) -> int:
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


def _check(arguments: argparse.Namespace) -> int:
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


def _article(arguments: argparse.Namespace) -> int:
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


def _bench(arguments: argparse.Namespace) -> int:
    from sweep.kernels.pool import check_threads

    check_threads(arguments.threads)
    for path in filter(None, (arguments.json, arguments.out)):
        if not Path(path).absolute().parent.is_dir():
            raise SpecError(f"{path}: its folder does not exist")
    from sweep.bench.measure import bench
    from sweep.bench.tables import report

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    result = bench(full=arguments.full, threads=arguments.threads, progress=progress)
    progress("")
    print(report(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.json or arguments.out:
        _start_matplotlib()
        from sweep.bench.picture import draw_ratios

        out = Path(arguments.out) if arguments.out else Path(arguments.json).parent
        print(f"picture: {draw_ratios(result, out)}")
    incorrect = sorted({line["row"] for line in result["rows"] if not line["correct"]})
    if incorrect:
        raise SweepError(f"bench: wrong epochs from {', '.join(incorrect)}")
    return 0
