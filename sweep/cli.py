"""The command `sweep`: run, plot, info, check, bench."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import __version__
from sweep.errors import SpecError, SweepError

if TYPE_CHECKING:
    from sweep.running import Ran

__all__ = ["main"]

# A run draws its figures if the result is at most this large; `sweep plot` draws any.
DRAWN_AT_ONCE = 10_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 failed, 2 asked wrongly, 130 Ctrl-C."""
    asked = _parser().parse_args(arguments)
    try:
        code: int = asked.do(asked)
    except SpecError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except SweepError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hint = "; the same command goes on from here" if asked.command == "run" else ""
        print(f"\nsweep: interrupted{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sweep info DIR | head`
        sys.stderr.close()
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
        "figures. Parts that stand already are kept, so a run that was interrupted goes on.",
        epilog="A spec in full, to copy and change: sweep run --print-spec > mine.toml",
    )
    run.add_argument(
        "spec", nargs="?", metavar="SPEC.toml", help="what to run (default: the article's sweep)"
    )
    run.add_argument(
        "-o", "--out", metavar="DIR", help="folder of the result (default: results/NAME)"
    )
    run.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")
    run.add_argument("--method", choices=("auto", "train"), help="overrules the spec's method")
    run.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="only the I-th of N slices"
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
        command.add_argument("folder", metavar="DIR", help="folder that `sweep run` filled")
        command.set_defaults(do=do)
        if name == "plot":
            command.add_argument(
                "-o", "--out", metavar="DIR", help="where to put the figures (default: beside)"
            )
    bench = commands.add_parser(
        "bench",
        help="time the kernel against its peers and the machine's limit",
        description="Time the kernel against NumPy, Numba, C++, JAX and PyTorch, those that are "
        "there, check that all find the same epochs, and show the share of the machine's limit. "
        "Quick: under a minute without JAX and PyTorch, which `pip install neuron-sweep[bench]` "
        "brings.",
    )
    bench.add_argument("--full", action="store_true", help="larger workloads, more rounds: minutes")
    bench.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")
    bench.add_argument("--json", metavar="FILE", help="write all that was measured, and a picture")
    bench.add_argument("-o", "--out", metavar="DIR", help="where to put the picture")
    bench.set_defaults(do=_bench)
    return parser


def _shard(text: str) -> tuple[int, int]:
    try:
        number, of = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be I/N, as in 1/4") from None
    return number, of


def _run(asked: argparse.Namespace) -> int:
    from sweep.experiment.spec import ARTICLE, Spec

    origin = Path(asked.spec or ARTICLE)
    spec = Spec.load(origin)
    if asked.method:
        spec = Spec(**{**spec.model_dump(exclude_unset=True), "method": asked.method})
    if asked.print_spec:
        print(origin.read_text(encoding="utf-8"), end="")
        return 0
    from sweep.running import run

    done = run(
        spec, asked.out or Path("results") / spec.name, threads=asked.threads, shard=asked.shard
    )
    print(_summary(done))
    if done.missing:
        print(f"{done.missing} of {done.parts} parts are for other shards to compute")
        return 0
    if done.cells > DRAWN_AT_ONCE:
        print(f"figures: sweep plot {done.folder}")
        return 0
    from sweep.report.findings import findings, report
    from sweep.store.dataset import scan

    print(report(findings(scan(done.folder))))
    return _draw(done.folder, done.folder, keep=done.computed == 0)


def _summary(done: Ran) -> str:
    if done.computed == 0:
        return f"{done.cells:,} neurons stand in {done.folder}"
    kept = f", {done.reused} parts were there" if done.reused else ""
    return (
        f"trained {done.cells:,} neurons in {done.seconds:.1f} s{kept}: "
        f"{done.neuron_epochs:,} neuron-epochs, "
        f"{done.neuron_epochs / done.seconds / 1e6:,.0f} million a second; "
        f"method {done.method}\n{done.parts} Parquet parts in {done.folder}"
    )


def _plot(asked: argparse.Namespace) -> int:
    return _draw(Path(asked.folder), Path(asked.out or asked.folder))


def _draw(folder: Path, out: Path, keep: bool = False) -> int:
    from sweep.report.plots import FIGURES, draw
    from sweep.store.dataset import scan

    standing = [out / f"{name}.png" for name in FIGURES]
    if not (keep and all(path.exists() for path in standing)):
        standing = draw(scan(folder), out)
    print("figures:", *standing, sep="\n  ")
    return 0


def _info(asked: argparse.Namespace) -> int:
    from sweep.experiment.grid import Grid
    from sweep.report.findings import findings, report
    from sweep.store.dataset import check, read_spec, scan

    grid = Grid(read_spec(asked.folder))
    print(f"{asked.folder}: sweep {grid.spec.name!r}, {grid.size:,} neurons, id {grid.spec.id}")
    for name, values in grid.values.items():
        ends = f"{values[0]} … {values[-1]}" if len(values) > 3 else ", ".join(map(str, values))
        print(f"  {name:14} {len(values):>6} values: {ends}")
    missing = check(asked.folder)
    print(f"  parts          {grid.parts - len(missing):>6} of {grid.parts}")
    print(report(findings(scan(asked.folder))))
    return 0


def _check(asked: argparse.Namespace) -> int:
    from sweep.store.dataset import check

    faults = check(asked.folder)
    print("\n".join(faults) or f"{asked.folder}: every part is there and whole")
    return 1 if faults else 0


def _bench(asked: argparse.Namespace) -> int:
    from sweep.kernels.threads import check_threads

    check_threads(asked.threads)
    for path in filter(None, (asked.json, asked.out)):
        if not Path(path).absolute().parent.is_dir():
            raise SpecError(f"{path}: its folder does not exist")
    from sweep.bench.measure import bench
    from sweep.bench.tables import report

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    result = bench(full=asked.full, threads=asked.threads, say=say)
    say("")
    print(report(result))
    if asked.json:
        Path(asked.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if asked.json or asked.out:
        from sweep.bench.picture import draw

        out = Path(asked.out) if asked.out else Path(asked.json).parent
        print(f"picture: {draw(result, out)}")
    wrong = sorted({line["row"] for line in result["rows"] if not line["right"]})
    if wrong:
        raise SweepError(f"bench: wrong epochs from {', '.join(wrong)}")
    return 0
