"""Compiled kernels on disk, where that is safe: a second process starts in milliseconds.

Numba keys its cache by the kernel's own file only, not by the helpers that are compiled into it,
so the folder is named after a hash of every source file that a kernel is made of.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryFile
from threading import RLock
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core import config

import sweep

__all__ = ["compiled", "once"]

# Threads may ask for the same kernel at once, and Numba's cache folder is a global setting.
_LOCK = RLock()

Result = TypeVar("Result")


def once(build: Callable[..., Result]) -> Callable[..., Result]:
    """Remember what `build` returned for its arguments, called by one thread at a time."""
    remembered = cache(build)

    @wraps(build)
    def ask(*arguments: Any) -> Result:
        with _LOCK:
            return remembered(*arguments)

    return ask


_PACKAGE = Path(sweep.__file__).parent


@cache
def _folder() -> Path | None:
    """Return where compiled code is kept; None if nothing can be written there."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for floor in ("neuron", "kernels"):
        for source in sorted((_PACKAGE / floor).glob("*.py")):
            digest.update(source.read_bytes())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    folder = base / "neuron-sweep" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for one signature, without the GIL; from disk if it is there.

    Where no cache can be written, the function is compiled in each process: Numba would turn to
    the package's own folder, where the code of other helpers may lie.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # The NumPy error model: Python's would put a branch on each division.
        jitted = numba.njit(nogil=True, error_model="numpy")(function)
        with _LOCK:
            before, folder = config.CACHE_DIR, _folder()
            try:
                if folder:
                    config.CACHE_DIR = str(folder)
                    jitted.enable_caching()
            finally:
                config.CACHE_DIR = before
            jitted.compile(signature)
        jitted.disable_compile()
        return jitted  # type: ignore[no-any-return]

    return decorate
