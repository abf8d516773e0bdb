"""The command `sweep`: run, plot, info, check, export, article, bench, schema, completion."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from sweep.cli.parser import make_parser
from sweep.errors import SpecError, SweepError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    _prepare_output()
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
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
