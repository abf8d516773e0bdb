"""The spec of a result in its folder: written once, read, and compared before parts are added.

It is the metadata of a Parquet file without rows, `_spec.parquet`: a folder that holds anything
else than Parquet is no table to others. pandas and pyarrow leave out names that begin with `_` or
`.`; DuckDB and Polars read this file too and find no rows; Polars refuses a folder with any file of
another kind in it or below it. Before, it was `spec.toml`, which is still read.

Samples that came from a file or a table lie in the same file, as a Parquet file of their own
between its first bytes and its footer, where only those look who know of it: beside it they would
be rows to Polars and DuckDB.
"""

from __future__ import annotations

import errno
from fnmatch import fnmatch

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.errors import SpecError, SweepError
from sweep.experiment.grid import Grid
from sweep.experiment.samples import decoded_samples, encoded_samples
from sweep.experiment.spec import Spec, differences
from sweep.store.folder import (
    Folder,
    files,
    make_folder,
    read_file,
    remove_unfinished,
    write_whole,
)
from sweep.store.schema import METADATA_KEY, schema

__all__ = ["SPEC_FILE", "prepare", "read_spec"]

SPEC_FILE, OLD_SPEC_FILE = "_spec.parquet", "spec.toml"
_MAGIC, _SAMPLES_KEY = b"PAR1", b"sweep.samples"
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
    if SPEC_FILE in listing or OLD_SPEC_FILE in listing:
        _refuse_another(folder, spec)
    elif any(fnmatch(name, "part-*.parquet") for name in listing):
        raise SpecError(f"{folder}: has parts but no {SPEC_FILE}; choose another folder")
    else:
        try:
            write_whole(folder, SPEC_FILE, _encoded(spec), new=True)
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


def _encoded(spec: Spec) -> memoryview:
    samples = spec.task.samples
    inside = b"" if samples is None else bytes(encoded_samples(samples))
    about = {METADATA_KEY: spec.toml().encode()}
    if inside:
        about[_SAMPLES_KEY] = str(len(inside)).encode()
    file = pa.BufferOutputStream()
    # An empty table would import pandas: 0.2 s.
    with pq.ParquetWriter(file, schema(Grid(spec)).with_metadata(about)):
        pass
    content = file.getvalue().to_pybytes()
    return memoryview(_MAGIC + inside + content[len(_MAGIC) :])


def read_spec(folder: Folder) -> Spec:
    """Return the spec of a folder of results.

    Raises
    ------
    SpecError
        The folder has none, or it cannot be read.
    """
    listing = files(folder)  # says more than an opening if there is none
    name = next((name for name in (SPEC_FILE, OLD_SPEC_FILE) if name in listing), None)
    if name is None:
        raise SpecError(f"{folder}: holds no results of sweep (there is no {SPEC_FILE})")
    samples = None
    try:
        content = read_file(folder, name)
        if name == SPEC_FILE:
            about = pq.read_metadata(pa.BufferReader(content)).metadata
            inside = content[len(_MAGIC) :][: int(about.get(_SAMPLES_KEY, 0))]
            samples = decoded_samples(inside) if len(inside) else None
            content = about[METADATA_KEY]
        text = content.decode()
    except UnicodeDecodeError:
        raise SpecError(f"{folder / name}: is not a text file") from None
    except (pa.ArrowException, KeyError, TypeError, OSError):
        raise SpecError(f"{folder / name}: is damaged: it holds no spec") from None
    except (SweepError, FileNotFoundError) as error:
        raise SpecError(str(error)) from None
    return Spec.parse(text, folder / name, samples=samples)
