"""How the neurons of each combination of axes ended, and the epochs that they needed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.analysis.by_error import axis_columns, count_by_error
from sweep.analysis.cell_index import lengths
from sweep.analysis.quantiles import statistics
from sweep.analysis.row_groups import ResultRows


def summary(result: ResultRows, by: Sequence[str] | None = None) -> pd.DataFrame:
    """Tabulate how neurons ended, by axis; `sweep.Result.summary` says what the columns hold."""
    kept = tuple(result.grid.outer_names if by is None else by)
    counted = count_by_error(result, by=kept, edges=[0.0, np.inf])
    epochs = statistics(counted.tally, (0.1, 0.5, 0.9))
    already = statistics(counted.tally, ())["count"] - statistics(counted.tally.positive(), ())[
        "count"
    ].reindex(epochs.index, fill_value=0)
    table = pd.DataFrame(index=pd.RangeIndex(len(counted.non_finite)))
    table["non_finite"] = counted.non_finite
    table = table.join(epochs.join(already.rename("already"))).fillna(
        {"count": 0, "finite": 0, "already": 0}
    )
    table["starts"] = table["count"] + table["non_finite"]
    table["max_epochs"] = table["count"] - table["finite"]
    table = table.rename(columns={"finite": "converged"})
    counts = ["starts", "converged", "max_epochs", "non_finite", "already"]
    table = table[table["starts"] > 0].astype(dict.fromkeys(counts, np.int64))
    places = np.unravel_index(table.index.to_numpy(), [*lengths(result.grid, kept), 1])
    axes = pd.DataFrame(axis_columns(result.grid, kept, places))
    columns = [*counts, "min", "q10", "median", "q90", "max"]
    return pd.concat([axes, table[columns].reset_index(drop=True)], axis="columns")
