"""What a run says while it computes: a bar in a terminal or notebook, timed lines in a log."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from tqdm import TqdmWarning, tqdm

from sweep.kernels.compile import watchers

if TYPE_CHECKING:
    from sweep.running.part import Progress

__all__ = ["LINE_EVERY", "duration", "shown_progress"]

LINE_EVERY = 30.0  # seconds


def duration(seconds: float) -> str:
    """Return a time in words: 40 s, 12 min, 3.5 h, 2 days.

    Examples
    --------
    >>> duration(0.04), duration(75), duration(7200), duration(1e6)
    ('0.04 s', '75 s', '2 h', '11.6 days')
    """
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.1g} s" if seconds < 1 else f"{seconds:.0f} s"


@contextmanager
def shown_progress(name: str, cells: int, *, quiet: bool = False) -> Iterator[Progress]:
    """Yield a function to be called with the (cells, neuron-epochs) that were just computed.

    While it runs, a bar is shown where stderr is a terminal, and in notebooks; elsewhere a line is
    written each half minute. Both say when a kernel is being compiled.
    """
    if quiet or sys.stderr is None:
        yield lambda cells, epochs: None
        return
    notebook, began = "ipykernel" in sys.modules, time.perf_counter()
    lined = not notebook and not sys.stderr.isatty()
    done, epochs, compiling, lock, ended = 0, 0, 0, Lock(), Event()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # of a notebook without widgets
        kind = import_module("tqdm.auto").tqdm if notebook else tqdm
        bar = kind(total=cells, unit="cells", unit_scale=True, disable=lined, desc=name)

    def rate() -> str:
        return f"{epochs / (time.perf_counter() - began) / 1e6:.0f} M neuron-epochs/s"

    def progress(cells: int, neuron_epochs: int) -> None:
        nonlocal done, epochs
        with lock:
            done, epochs = done + cells, epochs + neuron_epochs
            bar.set_postfix_str(rate(), refresh=False)
            bar.update(cells)

    def compiles(begins: bool) -> None:
        nonlocal compiling
        with lock:
            compiling += 1 if begins else -1
            bar.set_description_str(f"{name}, compiling" if compiling else name)

    def lines() -> None:
        while not ended.wait(LINE_EVERY):
            with lock:
                seconds = time.perf_counter() - began
                left = f"some {duration(seconds * (cells / done - 1))} left; " if done else ""
                state = "compiling" if compiling else f"{left}{rate()}"
            print(
                f"sweep: {name}: {done / cells:.1%} of {cells:,} neurons after "
                f"{duration(seconds)}; {state}", file=sys.stderr, flush=True,
            )  # fmt: skip

    if lined and cells:
        Thread(target=lines, daemon=True).start()
    watchers.append(compiles)
    try:
        with bar:
            yield progress
    finally:
        ended.set()
        watchers.remove(compiles)
