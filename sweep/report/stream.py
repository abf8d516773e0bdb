"""Read a result batch by batch, on every core and never whole."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from sweep.errors import SweepError

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_ROWS = 1 << 18


def batches(
    dataset: ds.Dataset, columns: Iterable[str], where: ds.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `dataset` in order, as record batches of the named columns.

    Raises
    ------
    SweepError
        If a part cannot be read.
    """
    try:
        # Few batches ahead: a reader that runs away from its consumer wins no time, only memory.
        scanner = dataset.scanner(
            columns=list(columns),
            filter=where,
            batch_size=BATCH_ROWS,
            batch_readahead=4,
            fragment_readahead=2,
        )
        yield from (batch for batch in scanner.to_batches() if batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise SweepError(f"cannot read the result: {str(error).splitlines()[0]}") from error


def pooled(
    chunk: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Yield `chunk(item)` in the order of the items, a few of them ahead on a pool of threads."""
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(pool.submit(chunk, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def side_by_side(
    first: Iterator[pa.RecordBatch], second: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield two streams as pairs of batches of equal length, however each was cut.

    Raises
    ------
    SweepError
        If one stream is longer.
    """
    a = b = None
    while True:
        a = a if a is not None and a.num_rows else next(first, None)
        b = b if b is not None and b.num_rows else next(second, None)
        if a is None and b is None:
            return
        if a is None or b is None:
            raise SweepError("the two costs do not have the same number of rows")
        rows = min(a.num_rows, b.num_rows)
        yield a.slice(0, rows), b.slice(0, rows)
        a, b = a.slice(rows), b.slice(rows)
