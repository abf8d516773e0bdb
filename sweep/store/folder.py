"""The folder of a result: on this machine, or behind a URI that Arrow's filesystems take.

The rest of the package knows files by their names in a folder: it lists, reads, opens and writes
them, each whole or not at all.
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
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from sweep.errors import SpecError, SweepError, printable, short
from sweep.store.object_store import STORES, open_uri, reason, secrets_of, without_secrets

with contextlib.suppress(ImportError):  # not on Windows
    import fcntl

__all__ = [
    "FIGURES_SUFFIX",
    "Folder",
    "figures_folder",
    "files",
    "make_folder",
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

    filesystem: pafs.FileSystem
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


def open_folder(location: str | Path | Folder) -> Folder:
    """Return the folder of a path or URI; it is not accessed yet, so it need not exist.

    Raises
    ------
    SpecError
        The URI cannot be read, or its scheme is not known.
    """
    if isinstance(location, Folder):
        return location
    try:
        text = os.fspath(location)
        text.encode()
    except TypeError:
        raise SpecError(f"{short(location)}: is no folder: must be a path or a URI") from None
    except UnicodeEncodeError:
        raise SpecError(f"{printable(location)}: is not UTF-8; Arrow takes no such names") from None
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


FIGURES_SUFFIX = "-figures"


def figures_folder(folder: Folder) -> Folder:
    """Return where the figures of a result go: beside its folder, which holds Parquet alone.

    Raises
    ------
    SpecError
        The folder is a bucket, or the root of a file system.
    """
    path = folder.path.rstrip("/")
    if not path or (not folder.local and "/" not in path):
        raise SpecError(f"{folder}: nothing can be beside it; say where the figures go")
    place, mark, query = folder.name.partition("\0" if folder.local else "?")
    name = f"{place.rstrip('/')}{FIGURES_SUFFIX}{mark}{query}"
    return Folder(folder.filesystem, f"{path}{FIGURES_SUFFIX}", name, folder.secret)


def make_folder(folder: Folder) -> None:
    """Make a folder if there is none; object stores have no folders.

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
        listing = _list_local(folder.path) if folder.local else retried(lambda: _list_store(folder))
    except FileNotFoundError:
        return {}
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"{folder}: cannot be read: {_reason(folder, error)}") from None
    return {file.base_name: file for file in listing}


def _list_local(path: str) -> list[File]:  # Arrow's listing ends at a name that is not UTF-8
    listing = []
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # written by another run, and renamed
                if entry.is_file():
                    stat = entry.stat()
                    listing.append(File(entry.name, stat.st_size, stat.st_mtime_ns))
    return listing


def _list_store(folder: Folder) -> list[File]:
    # With allow_not_found S3 takes a missing bucket for an empty one; Google's store without it
    # raises an error that looks like others.
    allow_not_found = folder.filesystem.type_name != "s3"
    selector = pafs.FileSelector(folder.path, allow_not_found=allow_not_found)
    infos = folder.filesystem.get_file_info(selector)
    return [File(i.base_name, i.size, i.mtime_ns) for i in infos if i.is_file]


# Seconds between tries after transient errors: some 30 in all.
_WAITS = (0.1, 0.5, 2.0, 5.0, 10.0, 12.0)
_TRANSIENT = re.compile(
    r"NETWORK|SLOW_DOWN|UNAVAILABLE|INTERNAL_FAILURE|TIMEOUT|THROTTL|HTTP status 5"
)
# An unreachable host is reported within seconds.
_UNREACHABLE = re.compile(r"curlCode: (6|7|28)\b")


def retried(work: Callable[[], Result]) -> Result:
    """Return work(), a read from an object store; transient errors are tried again."""
    for wait in (*_WAITS, None):
        try:
            return work()
        except (OSError, pa.ArrowException) as error:
            text = str(error)
            if wait is None or not _TRANSIENT.search(text) or _UNREACHABLE.search(text):
                raise
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def unreachable(folder: Folder, error: Exception) -> str | None:
    """Return why a file could not be fetched; None if it was, and is damaged."""
    transient = _TRANSIENT.search(str(error)) or re.search(
        r"AWS Error|curl|Google|Azure", str(error)
    )
    if folder.local and not (isinstance(error, OSError) and error.errno):
        return None
    return _reason(folder, error) if folder.local or transient else None


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


def _read(
    folder: Folder, name: str, work: Callable[[pa.NativeFile], Result], close: bool = True
) -> Result:
    def once() -> Result:
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


# Names of temporary files. A writer holds a lock on its file, by which a new run distinguishes it
# from those of killed runs; where a file system has no locks, by an hour's age.
_UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_OLD = 3600.0


def write_whole(
    folder: Folder, name: str, content: bytes | memoryview, *, new: bool = False
) -> None:
    """Write a file so that it appears whole or not at all, whatever happens between.

    Transient errors (of a network; a temporary file that somebody removed) are tried again. With
    `new` an existing file is not replaced, where the file system can tell.

    Raises
    ------
    FileExistsError
        `new`, and the file exists.
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
            if wait is None or not (gone or _TRANSIENT.search(str(error))):
                why = _reason(folder, error)
                raise SweepError(f"{folder / name}: cannot be written: {why}") from error
            time.sleep(0.0 if gone else wait)


def _put(folder: Folder, name: str, content: bytes | memoryview) -> None:
    """Write to an object store, where an object appears when its upload is complete.

    In one call: closing a stream, which `with` and the garbage collector do, completes the upload
    of what was written till then.
    """
    with folder.filesystem.open_output_stream(f"{folder.path}/{name}") as file:
        file.write(content)


def _put_local(folder: Folder, name: str, content: bytes | memoryview, new: bool) -> None:
    path = Path(folder.path) / name
    temporary = path.with_name(f".{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            _lock(file.fileno())
            file.write(content)
            file.flush()
            with _unsupported_ignored(errno.EINVAL, errno.ENOTSUP):
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
def _unsupported_ignored(*numbers: int) -> Iterator[None]:
    """Ignore errors that say that a file system lacks an operation."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name unless that exists; also where a file system has no links."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError from None
        temporary.replace(path)


def _lock(handle: int) -> bool | None:
    """Lock a file and return whether it succeeded; None where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, NameError, AttributeError):
        return None
    return True


def remove_unfinished(folder: Folder, names: Iterable[str]) -> None:
    """Remove the temporary files, among a folder's names, of runs that were killed."""
    for name in filter(_UNFINISHED.fullmatch, names) if folder.local else ():
        path = Path(folder.path) / name
        with contextlib.suppress(OSError), path.open("rb") as file:
            free = _lock(file.fileno())
            age = time.time() - os.fstat(file.fileno()).st_mtime
            if free or (free is None and age > _OLD):
                path.unlink()


def _reason(folder: Folder, error: Exception) -> str:
    """Return in one line why a filesystem failed."""
    number = getattr(error, "errno", None)
    if folder.local and number:
        return os.strerror(number)
    return reason(error, folder.filesystem.type_name)
