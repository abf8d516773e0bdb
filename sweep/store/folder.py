"""The folder of a result: on this machine, or behind a URI that Arrow's filesystems take.

All else sees files by their names in a folder: listed, read, opened, written whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from sweep.errors import SpecError, SweepError
from sweep.store.remote import open_uri, reason, without_password

__all__ = [
    "Folder",
    "files",
    "make",
    "open_file",
    "open_folder",
    "read_file",
    "remove_unfinished",
    "write_whole",
]


@dataclass(frozen=True)
class Folder:
    """Where a result lies; its str() is what the user gave, less a password.

    Attributes
    ----------
    filesystem : pyarrow.fs.FileSystem
    path : str
        As the filesystem has it.
    name : str
        As messages have it.
    """

    filesystem: Any
    path: str
    name: str

    def __str__(self) -> str:
        return self.name

    def __truediv__(self, name: str) -> str:
        """Return where a file lies, for messages."""
        return f"{self.name if self.local else self.name.partition('?')[0].rstrip('/')}/{name}"

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)


def open_folder(where: str | Path | Folder) -> Folder:
    """Return the folder of a path or URI; nothing is asked of it yet, so it need not be there.

    Raises
    ------
    SpecError
        The URI cannot be read, or its scheme is not known.
    """
    if isinstance(where, Folder):
        return where
    text = os.fspath(where)
    if re.match(r"\w\w+:/[^/]", text):
        raise SpecError(f"{text}: a URI has two slashes; give it as a str, a Path joins them")
    if "://" not in text:
        path = str(Path(text))
        return Folder(pafs.LocalFileSystem(), path, path)
    filesystem, path = open_uri(text)
    return Folder(filesystem, path, without_password(text))


def make(folder: Folder) -> None:
    """Make a folder if there is none; object stores know no folders.

    Raises
    ------
    SpecError
        It cannot be made.
    """
    if not folder.local:
        return
    try:
        Path(folder.path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"{folder}: cannot be made: {error.strerror}") from None


def files(folder: Folder) -> dict[str, pafs.FileInfo]:
    """Return the files of a folder by their names; none if there is no such folder.

    One listing (S3: a request for each thousand), however many files are then looked for.

    Raises
    ------
    SpecError
        It cannot be listed: what is wrong, and what to do.
    """
    # S3, if told to allow for it, takes a bucket that is missing for an empty one; Google's store
    # raises an error of no kind of its own if not.
    lenient = folder.filesystem.type_name != "s3"
    selector = pafs.FileSelector(folder.path, allow_not_found=lenient)
    try:
        found = folder.filesystem.get_file_info(selector)
    except FileNotFoundError:
        return {}
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"{folder}: cannot be read: {_reason(folder, error)}") from None
    return {info.base_name: info for info in found if info.is_file}


def open_file(folder: Folder, name: str) -> pa.NativeFile:
    """Open a file to be read from any place in it.

    Raises
    ------
    FileNotFoundError
    SweepError
        It cannot be read.
    """
    try:
        return folder.filesystem.open_input_file(f"{folder.path}/{name}")
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise SweepError(f"{folder / name}: cannot be read: {_reason(folder, error)}") from None


def read_file(folder: Folder, name: str) -> bytes:
    """Return all of a file; raises what `open_file` raises."""
    with open_file(folder, name) as file:
        try:
            content: bytes = file.read()
        except (OSError, pa.ArrowException) as error:
            raise SweepError(f"{folder / name}: cannot be read: {_reason(folder, error)}") from None
    return content


# A name of a file that is being written. Whoever starts a run removes all that lie about, those of
# killed runs and those that another run is writing just now: who owns one cannot be told across
# hosts and containers, and a writer whose file is gone writes it again (milliseconds).
_UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_WAITS = (0.1, 2.0, 10.0)
_PASSING = re.compile(r"NETWORK|SLOW_DOWN|UNAVAILABLE|INTERNAL_FAILURE|TIMEOUT|THROTTL")


def write_whole(folder: Folder, name: str, content: Any) -> None:
    """Write a file so that it appears whole or not at all, whatever happens between.

    What passes (a network that fails, a temporary file that another run swept away) is tried again.

    Raises
    ------
    SweepError
        It cannot be written.
    """
    put = _put_local if folder.local else _put
    for wait in (*_WAITS, None):
        try:
            put(folder, name, content)
            return
        except (OSError, pa.ArrowException) as error:
            number = getattr(error, "errno", None)
            gone = folder.local and number in (errno.ENOENT, errno.ESTALE)
            if wait is None or not (gone or _PASSING.search(str(error))):
                why = _reason(folder, error)
                raise SweepError(f"{folder / name}: cannot be written: {why}") from error
            time.sleep(0.0 if gone else wait)


def _put(folder: Folder, name: str, content: Any) -> None:
    """Write to an object store, where an object appears when its upload is complete.

    In one call: closing a stream, which `with` and the garbage collector do, completes the upload
    of what was written till then.
    """
    with folder.filesystem.open_output_stream(f"{folder.path}/{name}") as file:
        file.write(content)


def _put_local(folder: Folder, name: str, content: Any) -> None:
    path = Path(folder.path) / name
    temporary = path.with_name(f".{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put a rename on disk; systems that cannot open a folder need no such step."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Folder, names: Iterable[str]) -> None:
    """Remove what killed runs left of files that they were writing, out of a folder's names."""
    for name in filter(_UNFINISHED.fullmatch, names) if folder.local else ():
        with contextlib.suppress(OSError):
            (Path(folder.path) / name).unlink()


def _reason(folder: Folder, error: Exception) -> str:
    """Say in one line why a filesystem failed."""
    number = getattr(error, "errno", None)
    if folder.local and number:
        return os.strerror(number)
    return reason(error, folder.filesystem.type_name)
