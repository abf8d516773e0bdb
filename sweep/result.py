"""`sweep.open`: a result in Python, to be read, reduced to tables, and drawn."""

from __future__ import annotations

import glob
import html
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.dataset as pads
from numpy.typing import ArrayLike, NDArray

from sweep.analysis import by_error, by_start
from sweep.analysis.contents import axis_lines
from sweep.analysis.outcomes import outcomes
from sweep.analysis.row_groups import ResultRows, open_result
from sweep.analysis.selection import combine, select
from sweep.analysis.summary import summary
from sweep.errors import SpecError, check_choice, short
from sweep.experiment.checks import CHOICES
from sweep.experiment.spec import Spec
from sweep.store.folder import FIGURES_SUFFIX, Folder
from sweep.store.parts import fault_lines, faults
from sweep.store.reading import Condition, load_rows, open_parts
from sweep.store.xarray import grid_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = ["Result", "open"]

Where = Mapping[str, Any]
Location = str | Path | Folder


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What a sweep computed, in a folder or in several; made by `sweep.open`.

    In all tables epochs of neurons that did not converge count as above every number: a quantile
    among them is infinite. `where` picks values of the axes other than the starts, as in
    ``{"learning_rate": 0.1}`` or ``{"y": [0, 1]}``; of numbers the nearest value, and a warning
    says so where it is another.

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> result = sweep.run(sweep.Spec(axes=axes), tempfile.mkdtemp()).open()
    >>> len(result), list(result.axes)
    (8, ['cost', 'learning_rate', 'w', 'b'])
    >>> result.summary()[["cost", "starts", "converged", "median"]]
                cost  starts  converged  median
    0      quadratic       4          4   316.0
    1  cross_entropy       4          4    45.0
    """

    _rows: ResultRows

    @property
    def spec(self) -> Spec:
        """The spec; of several results, that of the sweep that holds them all."""
        return self._rows.grid.spec

    @property
    def axes(self) -> dict[str, NDArray[Any]]:
        """The values of each axis, outermost first."""
        return dict(self._rows.grid.values)

    @property
    def folders(self) -> list[Folder]:
        """Where the result lies."""
        return [source.folder for source in self._rows.sources]

    @property
    def warnings(self) -> list[str]:
        """What is missing or left out, if anything."""
        return self._rows.warnings

    @cached_property
    def _len(self) -> int:
        return self._rows.rows

    def __len__(self) -> int:
        """Return the number of neurons that can be read."""
        return self._len

    def __repr__(self) -> str:
        grid = self._rows.grid
        axes = " × ".join(f"{len(values)} {name}" for name, values in grid.values.items())
        drawn = f" × {grid.starts_count:,} starts" if grid.spec.start is not None else ""
        part = "" if len(self) == grid.size else f" of {grid.size:,}"
        where = ", ".join(map(str, self.folders))
        return f"Result({where}: {len(self):,}{part} neurons, {axes}{drawn})"

    def _repr_html_(self) -> str:
        def row(name: str, text: str) -> str:
            cells = html.escape(name), html.escape(text)
            return f'<tr><th scope="row" style="text-align:left">{cells[0]}</th><td>{cells[1]}</td>'

        lines = [("neurons", f"{len(self):,} of {self._rows.grid.size:,}")]
        lines += [*axis_lines(self._rows.grid), *(("note", text) for text in self.warnings)]
        title = f"{self.spec.name}: {', '.join(map(str, self.folders))}"
        body = "".join(row(*line) for line in lines)
        return f"<table><caption>{html.escape(title)}</caption>{body}</table>"

    # --- reading ------------------------------------------------------------------------------

    def scan(self) -> pads.Dataset:
        """Return all parts as one pyarrow dataset, to be read in pieces."""
        among = self._rows.grid
        parts = [
            open_parts(source.folder, source.grid, source.parts, among)
            for source in self._rows.sources
        ]
        return parts[0] if len(parts) == 1 else pads.dataset(parts)

    def load(
        self,
        columns: Sequence[str] | None = None,
        where: pads.Expression | Sequence[Condition] | None = None,
    ) -> pd.DataFrame:
        """Read into pandas, as `sweep.load` does; of several results, one after the other."""
        return load_rows(self.folders[0], self._rows.grid, self.scan(), columns, where)

    def grid(
        self, columns: Sequence[str] | None = None, where: Sequence[Condition] | None = None
    ) -> xarray.Dataset:
        """Read into xarray over the axes of the grid, as `sweep.load_grid` does."""
        rows = self._rows
        pieces = []
        for source in rows.sources:
            data = open_parts(source.folder, source.grid, source.parts, rows.grid)
            outer = source.grid.outer_values
            piece = grid_rows(source.folder, rows.grid, data, columns, where, outer)
            if all(piece.sizes.values()) or len(rows.sources) == 1:
                pieces.append(piece)
        if len(pieces) == 1:
            return pieces[0]
        import xarray

        whole = xarray.combine_by_coords(pieces, combine_attrs="override")  # sorts the names
        for axis in CHOICES & rows.grid.values.keys():
            there = whole[axis].values
            whole = whole.sel({axis: [n for n in rows.grid.values[axis].tolist() if n in there]})
        whole.encoding["spec"] = rows.grid.spec.toml()
        return whole

    def check(self) -> list[str]:
        """Return what is missing or damaged, a line for each file; reads every byte."""
        lines = []
        for source in self._rows.sources:
            found = fault_lines(source.folder, source.grid, faults(source.folder, source.grid))
            lines += found if len(self.folders) == 1 else [f"{source.folder}: {f}" for f in found]
        return lines

    # --- tables -------------------------------------------------------------------------------

    def _selected(self, where: Where | None) -> ResultRows:
        if where is None:
            return self._rows
        rows, notes = select(self._rows, where)
        for note in notes:
            warnings.warn(f"where: {note}", UserWarning, stacklevel=3)
        return rows

    def summary(
        self, *, by: Sequence[str] | None = None, where: Where | None = None
    ) -> pd.DataFrame:
        """Tabulate how the neurons ended, and the epochs of those that converged.

        Parameters
        ----------
        by : sequence of str, optional
            The axes whose values are kept apart; default: all but the starts.
        where : mapping, optional

        Returns
        -------
        DataFrame
            A row for each combination of `by`: its columns, `starts`, of which `converged`,
            `max_epochs` and `non_finite`; `already`: of the converged, those within the tolerance
            before any update; `min` and `max` of the epochs of those that converged; `q10`,
            `median` and `q90` of all that are finite.
        """
        return summary(self._selected(where), by)

    def outcomes(self, *, where: Where | None = None) -> pd.DataFrame:
        """Tabulate what became of the neurons after their training, if the spec has [follow].

        Parameters
        ----------
        where : mapping, optional

        Returns
        -------
        DataFrame
            A row for each combination of the axes other than the starts and each outcome that
            occurs there: the axes, `outcome`, `count`, of which `unconverged`, `stays`, and
            `settled`: unconverged ones that had come to rest by the end of the training, with their
            mean `error`.

        Raises
        ------
        SpecError
            The neurons were not followed.
        """
        return outcomes(self._selected(where))

    def epochs_by_error(
        self,
        *,
        by: Sequence[str] | None = None,
        edges: ArrayLike | None = None,
        quantiles: Sequence[float] = by_error.QUANTILES,
        trained_only: bool = False,
        where: Where | None = None,
    ) -> pd.DataFrame:
        """Tabulate the epochs to converge by initial error.

        Parameters
        ----------
        by : sequence of str, optional
            The axes whose values are kept apart; default: all but the starts.
        edges : increasing numbers, optional
            Of the bins of initial error; default: even steps of log-odds.
        quantiles : sequence of float
            Shares in (0, 1]; each becomes a column (`median`, `q10`).
        trained_only : bool
            Leave out starts that are within the tolerance before any update.
        where : mapping, optional

        Returns
        -------
        DataFrame
            A row for each combination of `by` and each bin that holds a start: `bin`, `error_low`,
            `error_high`, `count`, `share_unconverged`, `converged`, `min` and `max` of those that
            converged, and the quantiles. Whole numbers up to 4,096 are exact, all others at most
            0.05 % too low.
        """
        rows = self._selected(where)
        counted = by_error.count_by_error(
            rows, by=rows.grid.outer_names if by is None else by, edges=edges
        )
        return _tidy(
            by_error.epochs_by_error(counted, quantiles=quantiles, trained_only=trained_only)
        )

    def compare_costs(
        self,
        over: str = "quadratic",
        under: str = "cross_entropy",
        *,
        by: Sequence[str] | None = None,
        edges: ArrayLike | None = None,
        quantiles: Sequence[float] = by_error.QUANTILES,
        where: Where | None = None,
    ) -> pd.DataFrame:
        """Tabulate, by initial error, which of two costs needs fewer epochs from the same start.

        Parameters
        ----------
        over, under : str
            The costs: a ratio is the epochs under `over` ÷ those under `under`.
        by, edges, quantiles, where
            As for `epochs_by_error`; `by` without the cost.

        Returns
        -------
        DataFrame
            A row for each combination of `by` and each bin that holds a start: `bin`, `error_low`,
            `error_high`, `pairs`, of which `over_fewer`, `under_fewer`, `tied`, `neither`
            (converged) and `already` (within the tolerance at the start); the quantiles of the
            ratio over the first three: infinite where only `under` converged, 0 where only `over`
            did.
        """
        options = {"edges": edges, "quantiles": quantiles}
        return _compared(self._selected(where), "cost", by, over=over, under=under, **options)

    def compare_optimizers(
        self,
        over: str = "gd",
        under: str = "momentum",
        *,
        by: Sequence[str] | None = None,
        edges: ArrayLike | None = None,
        quantiles: Sequence[float] = by_error.QUANTILES,
        where: Where | None = None,
    ) -> pd.DataFrame:
        """Tabulate, by initial error, which of two optimisers needs fewer epochs.

        Parameters
        ----------
        over, under : str
            The optimisers: a ratio is the epochs under `over` ÷ those under `under`.
        by, edges, quantiles, where
            As for `epochs_by_error`; `by` without the optimizer.

        Returns
        -------
        DataFrame
            As that of `compare_costs`.
        """
        options = {"edges": edges, "quantiles": quantiles}
        return _compared(self._selected(where), "optimizer", by, over=over, under=under, **options)

    def epochs_by_start(
        self, *, cells: int | None = None, where: Where | None = None
    ) -> pd.DataFrame:
        """Tabulate the epochs to converge over the plane of starts.

        Parameters
        ----------
        cells : int, optional
            The most cells along each of the plane's two axes, the first start axes that vary;
            default: 512, fewer where that makes more than 2²⁴ rows.
        where : mapping, optional

        Returns
        -------
        DataFrame
            A row for each combination of the other axes and each cell that holds a start: the start
            (middle of the cell), `count`, `epochs` (the geometric mean of epochs + 1, less 1, over
            those that converged; infinite where half or more did not), `share_unconverged`,
            `initial_error` (mean).
        """
        return _tidy(by_start.epochs_by_start(self._selected(where), cells=cells, every=True))

    # --- figures ------------------------------------------------------------------------------

    def plot(
        self,
        figure: str = "error",
        *,
        where: Where | None = None,
        starts: Sequence[Sequence[float]] | None = None,
        style: str = "paper",
        cmap: str | Colormap | None = None,
        width: float | None = None,
        title: str | None = "auto",
        ax: Axes | None = None,
    ) -> Figure:
        """Draw a figure, which can be changed and saved.

        Parameters
        ----------
        figure : str
            One of those that `sweep plot --help` describes: heatmap, error, slowdown, ratio,
            distribution, curves, theory; of followed neurons outcome, lyapunov, bifurcation.
        where : mapping, optional
        starts : sequence of (w1 … wd, b), optional
            Of the learning curves that the figure curves shows.
        style : "paper" or "talk"
        cmap : colour map, optional
            Of epochs.
        width : float, optional
            Of the figure, in inches.
        title : str, optional
            None for none; by default what the figure says of itself.
        ax : Axes, optional
            Draw into them a figure of one panel, which `where` makes it.

        Returns
        -------
        matplotlib.figure.Figure
            Saved, it has the spec's id in its metadata, and text that stays text in SVG and PDF; no
            setting of the caller's changes it.

        Raises
        ------
        SpecError
            An option is not known, or this result cannot give the figure.
        """
        from sweep.figures import FIGURES, draw  # Matplotlib and seaborn take a second
        from sweep.figures.style import Look, check_look

        check_choice("figure", figure, FIGURES)
        look = Look(style, cmap, width, title, ax)
        check_look(look)
        return draw.plot(figure, draw.Tables(self._selected(where)), look, starts)


def _compared(
    rows: ResultRows, axis: str, by: Sequence[str] | None, **options: Any
) -> pd.DataFrame:
    by = [name for name in rows.grid.outer_names if name != axis] if by is None else by
    return _tidy(by_error.compare(rows, axis=axis, by=by, **options))


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    table.attrs = {}
    return table


def open(location: Location | Sequence[Location], *, skip_damaged: bool = False) -> Result:  # noqa: A001
    """Open a result: a folder that `sweep run` filled, a URI, or several of one shape.

    Parameters
    ----------
    location : path, URI, glob, or a sequence of them
        Several results are put together to one: they may differ in the values of cost, learning
        rate, x, y and tolerance, and together hold every combination once.
    skip_damaged : bool
        Go on without the parts that cannot be used. Every part is read once to find them.

    Raises
    ------
    SpecError
        A folder holds no results, or the results do not fit together.
    SweepError
        Parts are damaged; all are named.

    Examples
    --------
    >>> import sweep, tempfile
    >>> one, two = tempfile.mkdtemp(), tempfile.mkdtemp()
    >>> for folder, rate in ((one, 0.15), (two, 0.3)):
    ...     axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [rate]}
    ...     done = sweep.run(sweep.Spec(axes=axes), folder)
    >>> sweep.open([one, two]).epochs_by_error(by=["learning_rate"], quantiles=[])["count"].sum()
    np.int64(16)
    """
    several = isinstance(location, (list, tuple))
    places = [place for each in (location if several else [location]) for place in _places(each)]  # type: ignore[union-attr]
    if not places:
        raise SpecError(f"open: {short(location)}: names no folder")
    return Result(combine([open_result(place, skip_damaged=skip_damaged) for place in places]))


def _places(location: Any) -> list[Any]:
    """Return the folders of a glob; of a path without results that is one."""
    text = str(location)
    if "://" in text or not glob.has_magic(text) or Path(text).exists():
        return [location]
    pattern = Path(text)
    paths = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    found = [p for p in sorted(paths) if p.is_dir() and not p.name.endswith(FIGURES_SUFFIX)]
    if not found:
        raise SpecError(f"{short(text)}: no folder has such a name")
    return found
