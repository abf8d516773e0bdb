"""`sweep export`: a result as one CSV or Parquet file, written as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from sweep.errors import SpecError, SweepError, printable
from sweep.experiment.grid import Grid
from sweep.store.folder import Folder, open_folder
from sweep.store.reading import chosen, open_parts
from sweep.store.spec_file import read_spec

__all__ = ["export"]


def export(
    folder: str | Path | Folder, file: str | Path, columns: Sequence[str] | None = None
) -> int:
    """Write a result into one file, .csv or .parquet, and return the number of rows.

    The file appears whole or not at all.

    Raises
    ------
    SpecError
        The folder holds no results, or the file has another ending or cannot be written.
    SweepError
        A part cannot be read, or the disk is full.
    """
    path, folder = Path(file), open_folder(folder)
    if path.suffix not in (".csv", ".parquet"):
        raise SpecError(f"{printable(path)}: must end in .csv or .parquet")
    grid = Grid(read_spec(folder))
    dataset = open_parts(folder, grid)
    names = chosen(columns, dataset.schema.names)
    kept = pa.schema([_plain(dataset.schema.field(name)) for name in names])
    temporary = path.with_name(f".{path.name}.tmp")
    kind: Any = pacsv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
    rows = 0
    try:
        with temporary.open("wb") as out, kind(out, kept) as writer:
            for batch in dataset.to_batches(names, batch_readahead=1, fragment_readahead=1):
                writer.write_table(pa.Table.from_batches([batch]).cast(kept))
                rows += len(batch)
        temporary.replace(path)
    except pa.ArrowException as error:
        raise SweepError(f"{folder}: cannot be read: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise SpecError(f"{printable(path)}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _plain(field: pa.Field) -> pa.Field:
    """Return a field whose names are texts, which CSV has."""
    return field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
