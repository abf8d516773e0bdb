"""The spec of a result in its folder: written once, read, and compared before parts are added."""

from __future__ import annotations

import errno
from fnmatch import fnmatch

from sweep.errors import SpecError, SweepError
from sweep.experiment.spec import Spec, differences
from sweep.store.folder import (
    Folder,
    files,
    make_folder,
    read_file,
    remove_unfinished,
    write_whole,
)

__all__ = ["SPEC_FILE", "prepare", "read_spec"]

SPEC_FILE = "spec.toml"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

# Parts are runs of cells in the grid's order, and a longer axis moves every cell behind it.
_LONGER = "; to extend an axis, run its new values alone into a folder of their own, and read both"


def prepare(folder: Folder, spec: Spec) -> None:
    """Make a folder ready for the parts of a spec.

    Raises
    ------
    SpecError
        It holds another spec's results, or cannot be written. Nothing is changed then.
    SweepError
        The disk is full.
    """
    make_folder(folder)
    listing = files(folder)
    if SPEC_FILE in listing:
        _refuse_another(folder, spec)
    elif any(fnmatch(name, "part-*.parquet") for name in listing):
        raise SpecError(f"{folder}: has parts but no {SPEC_FILE}; choose another folder")
    else:
        try:
            write_whole(folder, SPEC_FILE, spec.toml().encode(), new=True)
            if folder.local:
                return
        except FileExistsError:  # another run was faster: with the same spec?
            pass
        except SweepError as error:
            if getattr(error.__cause__, "errno", None) in _FULL:
                raise
            raise SpecError(str(error)) from None
        # An object store writes over what another run wrote a moment before, or a moment later.
        _refuse_another(folder, spec)
    remove_unfinished(folder, listing)


def _refuse_another(folder: Folder, spec: Spec) -> None:
    different = differences(spec, read_spec(folder))
    if different:
        hint = _LONGER if any(field.startswith("axes.") for field in different) else ""
        raise SpecError(f"{folder}: holds another sweep: {'; '.join(different)}{hint}")


def read_spec(folder: Folder) -> Spec:
    """Return the spec of a folder of results."""
    try:
        if SPEC_FILE not in files(folder):  # a listing says more than an opening if there is none
            raise FileNotFoundError
        text = read_file(folder, SPEC_FILE).decode()
    except FileNotFoundError:
        raise SpecError(f"{folder}: holds no results of sweep (there is no {SPEC_FILE})") from None
    except UnicodeDecodeError:
        raise SpecError(f"{folder / SPEC_FILE}: is not a text file") from None
    except SweepError as error:
        raise SpecError(str(error)) from None
    return Spec.parse(text, folder / SPEC_FILE)
