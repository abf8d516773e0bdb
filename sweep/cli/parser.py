"""The arguments of each command, and their help."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from sweep import __version__
from sweep.cli import commands
from sweep.errors import printable
from sweep.figures import FIGURES

__all__ = ["make_parser"]

ARTICLE = "the article's, chapter 3 of Nielsen's Neural Networks and Deep Learning"


class _Parser(argparse.ArgumentParser):
    """argparse's, with one line for what it cannot read, in place of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sweep: {printable(message)} (see: {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its subcommands; each sets `do`."""
    parser = _Parser(
        prog="sweep",
        description="How many epochs does a neuron need, from where it starts, under which cost, "
        "at which learning rate?",
        epilog=f"`sweep run` alone trains and draws a sweep over two experiments ({ARTICLE}). "
        "Each command explains itself: sweep run --help",
    )
    parser.add_argument("--version", action="version", version=f"sweep {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add in (
        _run, _plot, _info, _check, _export, _explore, _article, _bench, _schema, _completion
    ):  # fmt: skip
        add(subparsers)
    return parser


# What the library of `sweep completion` reads: a spec, or a folder.
FILE = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
FOLDER = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}

Subparsers = argparse._SubParsersAction  # argparse gives it no other name


def _folder(command: argparse.ArgumentParser) -> None:
    folder = command.add_argument(
        "folder", metavar="DIR", help="folder or URI that `sweep run` filled"
    )
    folder.complete = FOLDER  # type: ignore[attr-defined]


def _skip_damaged(command: argparse.ArgumentParser) -> None:
    command.add_argument("--skip-damaged", action="store_true", help="go on without damaged parts")


def _threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=int, metavar="N", help="default: the CPUs you may use")


def _run(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "run",
        help="train a sweep into a folder of Parquet, and draw it",
        description="Train every cell of a sweep into a folder of Parquet parts, then draw its "
        "figures. Parts that are there already are kept: the same command resumes a run.",
        epilog="A spec in full, to copy and change: sweep run --print-spec > mine.toml",
    )
    spec = command.add_argument(
        "spec",
        nargs="?",
        metavar="SPEC.toml",
        help=f"what to run, or the folder of a result to complete (default: a sweep around the two "
        f"experiments of {ARTICLE})",
    )
    spec.complete = FILE  # type: ignore[attr-defined]
    command.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        help="folder of the result, or a URI: s3://bucket/name (default: results/NAME); figures "
        "go to DIR-figures",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="overrules a field of the spec: --set task.y=1 --set axes.w.num=64; may be repeated",
    )
    command.add_argument(
        "--method", choices=("auto", "train", "orbit"), help="overrules the spec's method"
    )
    _threads(command)
    command.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N slices of the parts, so that N machines fill one folder",
    )
    command.add_argument(
        "--dask",
        nargs="?",
        const="",
        type=_address,
        metavar="ADDRESS",
        help="compute on the Dask cluster with this scheduler, as in tcp://host:8786; without an "
        "address, on N processes of this machine",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="say what it would take: cells, parts, bytes, memory, the method and why, and the "
        "time, by a sample; and do nothing",
    )
    command.add_argument(
        "--yes", action="store_true", help="run also what is huge, or may not fit onto the disk"
    )
    command.add_argument(
        "--print-spec",
        action="store_true",
        help="print the spec that would run, to be copied and changed; and do nothing",
    )
    how_much = command.add_mutually_exclusive_group()
    how_much.add_argument("-q", "--quiet", action="store_true", help="print errors alone")
    how_much.add_argument(
        "-v", "--verbose", action="store_true", help="print also what --dry-run says"
    )
    command.set_defaults(do=commands.run)


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


def _plot(subparsers: Subparsers[_Parser]) -> None:
    text = "draw the figures of a result"
    command = subparsers.add_parser("plot", help=text, description=f"{text.capitalize()}.")
    _folder(command)
    figures = "; ".join(f"{name}: {figure.description}" for name, figure in FIGURES.items())
    command.add_argument(
        "--figure",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"{figures} (default: all that this result can give)",
    )
    command.add_argument(
        "--where",
        nargs="+",
        action="extend",
        metavar="AXIS=VALUE",
        help="only these values of an axis other than the starts, as in y=0.1 or "
        "learning_rate=0.1,1 (the nearest on the axis)",
    )
    command.add_argument("--format", default="png", metavar="png|svg|pdf", help="default: png")
    command.add_argument(
        "-o", "--out", metavar="DIR", help="where to put the figures (default: DIR-figures)"
    )
    command.add_argument("--dpi", type=int, default=150, metavar="N", help="default: 150")
    command.add_argument("--style", default="paper", metavar="paper|talk", help="default: paper")
    command.add_argument("--width", type=float, metavar="INCHES", help="of a figure, as 3.5 or 7")
    command.add_argument("--cmap", metavar="NAME", help="Matplotlib's colour map of epochs")
    command.add_argument(
        "--title", default="auto", metavar="TEXT", help='of each figure ("" for none)'
    )
    command.add_argument(
        "--starts",
        nargs="+",
        metavar="W,B",
        help="starts of the learning curves (--figure curves), as in 0.6,0.9 2,2; with = where the "
        "first is negative: --starts=-1,2",
    )
    _skip_damaged(command)
    command.set_defaults(do=commands.plot)


def _info(subparsers: Subparsers[_Parser]) -> None:
    text = "say what a result holds and what it shows"
    command = subparsers.add_parser("info", help=text, description=f"{text.capitalize()}.")
    _folder(command)
    _skip_damaged(command)
    command.add_argument("--json", action="store_true", help="all of it as JSON")
    command.set_defaults(do=commands.info)


def _check(subparsers: Subparsers[_Parser]) -> None:
    text = "look for parts that are missing or damaged"
    command = subparsers.add_parser("check", help=text, description=f"{text.capitalize()}.")
    _folder(command)
    command.set_defaults(do=commands.check)


def _export(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "export",
        help="write a result into one CSV or Parquet file",
        description="Write the table of a result into one file, as a stream: a result may be "
        "larger than memory. The ending says which: .csv or .parquet.",
    )
    _folder(command)
    command.add_argument("file", metavar="FILE", help="out.csv or out.parquet")
    command.add_argument(
        "--columns", nargs="+", metavar="NAME", help="only these columns (default: all)"
    )
    command.set_defaults(do=commands.export)


def _explore(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "explore",
        help="open a page on which the heatmap is computed while you pan, zoom and move sliders",
        description="Serve a page on this machine alone, and open it in a browser: epochs to "
        "converge over starting weight and bias for two costs, and their ratio, computed as you "
        "pan, zoom and move sliders; the learning curves of the start that you click. Ctrl-C ends "
        "it. The whole view stands in the page's address.",
        epilog="The server needs Starlette and uvicorn: pip install starlette uvicorn",
    )
    spec = command.add_argument(
        "spec",
        nargs="?",
        help="a spec in TOML, or a result's folder, of which the spec is taken (default: the "
        "article's)",
    )
    spec.complete = FILE  # type: ignore[attr-defined]
    command.add_argument(
        "--port", type=int, default=0, metavar="N", help="of the address (default: a free one)"
    )
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.set_defaults(do=commands.explore, out=None)


def _article(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "article",
        help="reproduce and check every claim of the article",
        description="Walk through the article on the quadratic and the cross-entropy cost "
        f"({ARTICLE}), reproduce each of its claims and check it. Exit code 1 if one does not "
        "hold.",
        epilog="The algebra needs SymPy and latex2mathml: pip install sympy latex2mathml",
    )
    command.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        default="results/article",
        help="folder of the article's sweep, of which all that is there is used; article.html and "
        "its figures go to DIR-figures (default: %(default)s)",
    )
    _threads(command)
    command.add_argument("--json", action="store_true", help="print the claims as JSON")
    command.set_defaults(do=commands.article)


def _bench(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "bench",
        help="time the kernel against its peers and the machine's limit",
        description="Time the kernel against NumPy, Numba, C++, JAX and PyTorch, as far as "
        "installed, check that all find the same epochs, and show the share of the machine's "
        "limit. "
        "Quick: a minute without JAX and PyTorch, which `pip install jax torch` "
        "brings; `pip install threadpoolctl` for NumPy with BLAS.",
    )
    command.add_argument(
        "--full", action="store_true", help="larger workloads, more rounds: minutes"
    )
    _threads(command)
    command.add_argument("--json", metavar="FILE", help="write all that was measured, and pictures")
    command.add_argument("-o", "--out", metavar="DIR", help="where to put the pictures")
    command.set_defaults(do=commands.bench)


def _schema(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of a spec, for editors",
        description="Print the JSON Schema of a spec. With it an editor completes and checks a "
        "TOML file: sweep schema > sweep.schema.json, and as the first line of mine.toml "
        "#:schema ./sweep.schema.json (Taplo; Even Better TOML in VS Code).",
    )
    command.set_defaults(do=commands.schema)


def _completion(subparsers: Subparsers[_Parser]) -> None:
    command = subparsers.add_parser(
        "completion",
        help="print what makes a shell complete the command",
        description="Print a script that makes a shell complete this command's words with Tab. "
        'bash: eval "$(sweep completion bash)" in ~/.bashrc; zsh: sweep completion zsh into '
        "_sweep in a folder of $fpath. It needs the package shtab: pip install shtab",
    )
    command.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    command.set_defaults(do=commands.completion)
