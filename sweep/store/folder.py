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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from sweep.errors import SpecError, SweepError, printable, short
from sweep.store.object_store import STORES, open_uri, reason, secrets_of, without_secrets

with contextlib.suppress(ImportError):  # not on Windows
    import fcntl

__all__ = [
    "Folder",
    "files",
    "make",
    "open_file",
    "open_folder",
    "read_end",
    "read_file",
    "remove_unfinished",
    "retried",
    "unreachable",
    "write_whole",
]


Result = TypeVar("Result")


@dataclass(frozen=True)
class Folder:
    """Where a result lies; its str() is what the user gave, less secrets.

    Attributes
    ----------
    filesystem : pyarrow.fs.FileSystem
    path : str
        As the filesystem has it.
    name : str
        As messages have it: printable, and without secrets.
    secret : bool
        Whether the filesystem holds credentials that the URI gave.
    """

    filesystem: Any
    path: str
    name: str
    secret: bool = False

    def __str__(self) -> str:
        return self.name

    def __truediv__(self, name: str) -> str:
        """Return where a file lies, for messages."""
        here = self.name if self.local else self.name.partition("?")[0].rstrip("/")
        return f"{here}/{printable(name)}"

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
    try:
        text = os.fspath(where)
        text.encode()
    except TypeError:
        raise SpecError(f"{short(where)}: is no folder: must be a path or a URI") from None
    except UnicodeEncodeError:
        raise SpecError(f"{printable(where)}: is not UTF-8; Arrow takes no such names") from None
    if not text or "\0" in text:
        raise SpecError(f"{text!r}: names no folder")
    if re.match(rf"({'|'.join(STORES)}):/(?!/)", text):
        name = without_secrets(text.replace(":/", "://", 1)).replace("://", ":/", 1)
        raise SpecError(f"{name}: a URI has two slashes; give it as a str, a Path joins them")
    if "://" not in text:
        # Absolute: Arrow takes «lr:0.1» for a URI.
        return Folder(pafs.LocalFileSystem(), str(Path(text).absolute()), printable(Path(text)))
    filesystem, path = open_uri(text)
    return Folder(filesystem, path, without_secrets(text), bool(secrets_of(text)))


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


class File(NamedTuple):
    """What a listing says of a file."""

    base_name: str
    size: int
    mtime_ns: int


def files(folder: Folder) -> dict[str, File]:
    """Return the files of a folder by their names; none if there is no such folder.

    One listing (S3: a request for each thousand), however many files are then looked for.

    Raises
    ------
    SpecError
        It cannot be listed: what is wrong, and what to do.
    """
    try:
        found = _listed_here(folder.path) if folder.local else retried(lambda: _listed(folder))
    except FileNotFoundError:
        return {}
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"{folder}: cannot be read: {_reason(folder, error)}") from None
    return {file.base_name: file for file in found}


def _listed_here(path: str) -> list[File]:  # Arrow's listing ends at a name that is not UTF-8
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # written by another run, and renamed
                if entry.is_file():
                    about = entry.stat()
                    found.append(File(entry.name, about.st_size, about.st_mtime_ns))
    return found


def _listed(folder: Folder) -> list[File]:
    # S3, if told to allow for it, takes a bucket that is missing for an empty one; Google's store
    # raises an error of no kind of its own if not.
    lenient = folder.filesystem.type_name != "s3"
    selector = pafs.FileSelector(folder.path, allow_not_found=lenient)
    infos = folder.filesystem.get_file_info(selector)
    return [File(i.base_name, i.size, i.mtime_ns) for i in infos if i.is_file]


# Seconds between tries of what may pass: some 30 in all.
_WAITS = (0.1, 0.5, 2.0, 5.0, 10.0, 12.0)
_PASSING = re.compile(
    r"NETWORK|SLOW_DOWN|UNAVAILABLE|INTERNAL_FAILURE|TIMEOUT|THROTTL|HTTP status 5"
)
# Who is not there at all is not waited for: that is said within seconds.
_NOBODY = re.compile(r"curlCode: (6|7|28)\b")


def retried(work: Callable[[], Result]) -> Result:
    """Return what `work` returns, which reads from an object store; what passes is tried again."""
    for wait in (*_WAITS, None):
        try:
            return work()
        except (OSError, pa.ArrowException) as error:
            text = str(error)
            if wait is None or not _PASSING.search(text) or _NOBODY.search(text):
                raise
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def unreachable(folder: Folder, error: Exception) -> str | None:
    """Say why what was read could not be fetched; None if it was, and is damaged."""
    passing = _PASSING.search(str(error)) or re.search(r"AWS Error|curl|Google|Azure", str(error))
    if folder.local and not (isinstance(error, OSError) and error.errno):
        return None
    return _reason(folder, error) if folder.local or passing else None


def open_file(folder: Folder, name: str) -> pa.NativeFile:
    """Open a file to be read from any place in it.

    Raises
    ------
    FileNotFoundError
    SweepError
        It cannot be read.
    """
    return _read(folder, name, lambda file: file, close=False)


def read_file(folder: Folder, name: str) -> bytes:
    """Return all of a file; raises what `open_file` raises."""
    content: bytes = _read(folder, name, lambda file: file.read())
    return content


def read_end(folder: Folder, name: str, most: int) -> bytes:
    """Return the last bytes of a file, all if it has fewer; raises what `open_file` raises."""

    def end(file: pa.NativeFile) -> bytes:
        size = file.size()
        return file.read_at(min(size, most), max(size - most, 0))  # type: ignore[no-any-return]

    content: bytes = _read(folder, name, end)
    return content


def _read(folder: Folder, name: str, work: Callable[[Any], Any], close: bool = True) -> Any:
    def once() -> Any:
        file = folder.filesystem.open_input_file(f"{folder.path}/{name}")
        try:
            return work(file)
        finally:
            if close:
                file.close()

    try:
        return once() if folder.local else retried(once)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise SweepError(f"{folder / name}: cannot be read: {_reason(folder, error)}") from None


# A name of a file that is being written. Its writer holds a lock on it, by which a run that starts
# tells it from what killed runs left; where a file system has no locks, by an hour's age.
_UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_OLD = 3600.0


def write_whole(folder: Folder, name: str, content: Any, *, new: bool = False) -> None:
    """Write a file so that it appears whole or not at all, whatever happens between.

    What passes (a network that fails, a temporary file that was swept away) is tried again. `new`
    files are not written over where the file system can tell.

    Raises
    ------
    FileExistsError
        It is to be new, and there is one.
    SweepError
        It cannot be written.
    """
    for wait in (*_WAITS, None):
        try:
            if folder.local:
                _put_local(folder, name, content, new)
            else:
                _put(folder, name, content)
            return
        except FileExistsError:
            if new:
                raise
            raise SweepError(f"{folder / name}: cannot be written: a folder of that name") from None
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


def _put_local(folder: Folder, name: str, content: Any, new: bool) -> None:
    path = Path(folder.path) / name
    temporary = path.with_name(f".{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            _lock(file.fileno())
            file.write(content)
            file.flush()
            with _where_there_is(errno.EINVAL, errno.ENOTSUP):
                os.fsync(file.fileno())
            if new:
                _link(temporary, path)
            else:
                temporary.replace(path)
        # The file is whole and there; whether its name is on disk, some systems cannot say.
        with contextlib.suppress(OSError):
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _where_there_is(*lacking: int) -> Iterator[None]:
    """Do without what a file system does not have."""
    try:
        yield
    except OSError as error:
        if error.errno not in lacking:
            raise


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is one; where there are no links, all the same."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError from None
        temporary.replace(path)


def _lock(handle: int) -> bool | None:
    """Lock a file and say whether that went; None where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, NameError, AttributeError):
        return None
    return True


def remove_unfinished(folder: Folder, names: Iterable[str]) -> None:
    """Remove what killed runs left of files that they were writing, out of a folder's names."""
    for name in filter(_UNFINISHED.fullmatch, names) if folder.local else ():
        path = Path(folder.path) / name
        with contextlib.suppress(OSError), path.open("rb") as file:
            free = _lock(file.fileno())
            age = time.time() - os.fstat(file.fileno()).st_mtime
            if free or (free is None and age > _OLD):
                path.unlink()


def _reason(folder: Folder, error: Exception) -> str:
    """Say in one line why a filesystem failed."""
    number = getattr(error, "errno", None)
    if folder.local and number:
        return os.strerror(number)
    return reason(error, folder.filesystem.type_name)
