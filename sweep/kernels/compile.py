"""Compiled kernels on disk, where that is safe: a second process starts in milliseconds.

Numba's own cache knows a kernel by its own file only, not by the helpers that are compiled into it;
runs what a damaged file holds (a flipped bit was a segmentation fault); runs the helpers of one
kernel for another of equal names; and ends the call where a file cannot be read or written. This
one only ever costs time: what cannot be used is compiled.
"""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar
from uuid import uuid4

import llvmlite
import numba
from numba.core import config
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

import sweep
from sweep.errors import SweepError

__all__ = ["compiled", "hold_over_forks", "once", "watchers"]

# Called with True when a kernel is about to be compiled, which takes seconds, and False after it.
watchers: list[Callable[[bool], None]] = []

# Several threads may need the same kernel at once.
_LOCK = RLock()

# Numbers from here on are drawn by `_number_functions`.
_DRAWN = 1 << 127

Result = TypeVar("Result")


def hold_over_forks(lock: Any) -> None:
    """Let no other thread hold a lock while this process forks: the child could never take it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


hold_over_forks(_LOCK)


def once(build: Callable[..., Result]) -> Callable[..., Result]:
    """Remember what `build` returned for its arguments, called by one thread at a time."""
    remembered = cache(build)

    @wraps(build)
    def build_once(*arguments: Any) -> Result:
        with _LOCK:
            return remembered(*arguments)

    return build_once


_PACKAGE = Path(sweep.__file__).parent


@cache
def _folder() -> Path | None:
    """Return where compiled code of these sources is kept; None if nothing can be kept."""
    digest = hashlib.sha256(
        f"{numba.__version__} {llvmlite.__version__} {sys.implementation.cache_tag}".encode()
    )
    for name, value in sorted(os.environ.items()):
        if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR":  # most change the code
            digest.update(os.fsencode(f"{name}={value}"))
    for floor in ("neuron", "kernels"):
        for source in sorted((_PACKAGE / floor).rglob("*.py")):
            digest.update(source.read_bytes())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(home) if home else Path.home() / ".cache"
        folder = base / "neuron-sweep" / digest.hexdigest()[:16]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What another user can write, another user can make us run.
        owned = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        return folder if owned and not folder.stat().st_mode & 0o022 else None
    except (OSError, RuntimeError, ValueError):  # no home, for one
        return None


def _number_functions() -> None:
    """Let Numba number the functions that it compiles from a random number on, not from 1.

    Only the number distinguishes the symbols of two closures. Where two processes had compiled
    the `formula` of two costs, both as their fourth function, a third process that loaded both
    ran the first one's code for both: wrong epochs, and no message.
    """
    FunctionIdentity._unique_ids = count(_DRAWN | uuid4().int)


def _tell(begins: bool) -> None:
    for watcher in watchers:
        watcher(begins)


class _Disk:
    """What Numba's dispatcher needs of a cache: compiled code of one function, in one file.

    The file begins with a SHA-256 of the rest, and appears whole or not at all.
    """

    cache_path = None

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.missed = False

    def path(self, signature: Any, codegen: Any) -> Path | None:
        folder, code = _folder(), self.function.__code__.co_code
        if folder is None:
            return None
        held = tuple(cell.cell_contents for cell in self.function.__closure__ or ())
        key = repr((str(signature), codegen.magic_tuple())).encode() + code + dumps(held)
        return folder / f"{self.function.__qualname__}-{hashlib.sha256(key).hexdigest()[:24]}.code"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        target_context.refresh()
        with suppress(Exception):  # whatever a file holds, and whatever befalls it
            path = self.path(signature, target_context.codegen())
            content = path.read_bytes() if path else b""
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                return CompileResult._rebuild(target_context, *pickle.loads(content[32:]))
        self.missed = True
        _number_functions()
        _tell(True)
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        with suppress(Exception):
            path = self.path(signature, result.codegen)
            if path is None or result.fndesc.uid < _DRAWN:  # Numba has other ways to number
                return
            content = dumps(result._reduce())
            temporary = path.with_name(f".{uuid4().hex}.tmp")
            try:
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect no garbage for a while: it takes some 4 % of a compilation, whose objects stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for one signature, without the GIL; from disk if it is there.

    Raises
    ------
    SweepError
        Numba is set to compile nothing.
    """
    if config.DISABLE_JIT:
        raise SweepError("NUMBA_DISABLE_JIT is set, and sweep's kernels are compiled: unset it")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # The NumPy error model: Python's would put a branch on each division. No other kernel is
        # given this one as an argument, which is what the wrapper would be for.
        jitted = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
        jitted._cache = _Disk(function)
        with _LOCK, _no_garbage_collection():
            jitted.compile(signature)
            if jitted._cache.missed:
                _tell(False)
        jitted.disable_compile()
        return jitted  # type: ignore[no-any-return]

    return decorate
