"""What figures look like and how they name things: styles, pages, colours, titles, labels."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sweep.errors import SpecError, check_choice, did_you_mean, short
from sweep.experiment.checks import CHOICES
from sweep.experiment.labels import labels, option_name
from sweep.neuron.problem import finite

# Distinct for the colour-blind, and in greyscale, where the line's style differs too.
COST_COLOURS = {"quadratic": "#d95f02", "cross_entropy": "#0a5fa5"}
COST_LINES = {"quadratic": "-", "cross_entropy": (0, (4, 1.2))}
OTHER_LINES: list[dict[str, Any]] = [
    {"color": "#6a3d9a", "linestyle": ":"},
    {"color": "#1b7837", "linestyle": "-."},
    {"color": "#c51b7d", "linestyle": (0, (6, 1.5, 1, 1.5, 1, 1.5))},
    {"color": "#8c6d31", "linestyle": (0, (9, 2))},
    {"color": "#4d4d4d", "linestyle": (0, (3, 3))},
]
EPOCHS_MAP = "viridis"
# Diverging at the middle and yet darker all the way, so that greyscale keeps the order.
RATIO_MAP = LinearSegmentedColormap.from_list("ratio", ["#ffd08a", "#c8c8c8", "#4a8cc0", "#08306b"])
INK = "#333333"

STYLES = {"paper": 1.0, "talk": 1.5}
"""The styles, and how large their letters and lines are."""


class Look(NamedTuple):
    """What a caller wishes of a figure.

    Attributes
    ----------
    style : "paper" or "talk"
    cmap : str or Colormap, optional
        Of epochs.
    width : float, optional
        Of the figure, in inches.
    title : str, optional
        None for no title; "auto" is what the figure says of itself.
    ax : matplotlib Axes, optional
        Draw into it, if the figure is one panel.
    """

    style: str = "paper"
    cmap: Any = None
    width: float | None = None
    title: str | None = "auto"
    ax: Axes | None = None


_LOOK: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039, it is immutable
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
LETTERS = ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize", "xtick.labelsize",
           "ytick.labelsize", "figure.titlesize")  # fmt: skip


def check_look(look: Look) -> None:
    """Raise SpecError if a style or a colour map is not known, or a width is none."""
    check_choice("style", look.style, STYLES)
    if isinstance(look.cmap, str) and look.cmap not in mpl.colormaps:
        near = did_you_mean(look.cmap, list(mpl.colormaps))
        raise SpecError(f"cmap = {short(look.cmap)}: is no colour map of Matplotlib's{near}")
    if look.width is not None and not 1.0 <= float(finite("width", look.width, 0)) <= 100.0:
        raise SpecError(f"width = {look.width}: must lie within 1 and 100 inches")
    if look.ax is not None and not isinstance(look.ax, Axes):
        raise SpecError(f"ax = {short(look.ax)}: must be Axes of Matplotlib")


@contextmanager
def styled(look: str | Look = "paper") -> Iterator[None]:
    """Draw with a style, or all that a caller wishes; the caller's settings come back after it."""
    look = Look(look) if isinstance(look, str) else look
    scale = STYLES[look.style]
    own = {
        "font.size": 9 * scale,
        "axes.titlesize": 9 * scale,
        "axes.labelsize": 9 * scale,
        "legend.fontsize": 8 * scale,
        "xtick.labelsize": 8 * scale,
        "ytick.labelsize": 8 * scale,
        "figure.titlesize": 11 * scale,
        "axes.linewidth": 0.6 * scale,
        "lines.linewidth": 1.4 * scale,
        "lines.markersize": 3.5 * scale,
        "xtick.major.size": 3 * scale,
        "ytick.major.size": 3 * scale,
        "xtick.minor.size": 2 * scale,
        "ytick.minor.size": 2 * scale,
        "hatch.linewidth": 0.5 * scale,
        "hatch.color": "#777777",
        "pdf.fonttype": 42,  # text stays text
        "svg.fonttype": "none",
        "svg.hashsalt": "sweep",
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever a matplotlibrc or the caller's own settings say
        mpl.rcParams.update(sns.axes_style("ticks"))
        mpl.rcParams.update(sns.plotting_context("paper"))
        mpl.rcParams.update(cast(Any, own))
        token = _LOOK.set(look)
        try:
            yield
        finally:
            _LOOK.reset(token)


class Page(Figure):
    """A figure that is saved as it was drawn, whatever the caller's settings, and says of what.

    `about` has a title and the id of the result's spec.
    """

    about: Mapping[str, str] = MappingProxyType({})

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as `Figure.savefig` does, with the title and the spec's id as metadata."""
        kind = options.get("format") or str(getattr(fname, "name", fname)).rpartition(".")[2]
        given = options.pop("metadata", None) or {}
        with styled():
            options.setdefault("facecolor", "white")
            super().savefig(fname, metadata=metadata(kind, self.about) | given, **options)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


def metadata(kind: str, about: Mapping[str, str]) -> dict[str, str | None]:
    """Return the metadata of a file; no date, which would make it a different file each time."""
    title, spec = about.get("title"), about.get("id")
    keys = {"svg": "Identifier", "pdf": "Keywords", "png": "Identifier"}
    if kind not in keys:
        return {}
    dates = {"svg": "Date", "pdf": "CreationDate"}
    found: dict[str, str | None] = {dates[kind]: None} if kind in dates else {}
    return found | ({"Title": title, keys[kind]: f"sweep:{spec}"} if title and spec else {})


class _OnAxes:
    """What figures need of a page, on Axes of the caller's."""

    def __init__(self, ax: Axes) -> None:
        self.ax = ax

    def subplots(self, rows: int = 1, columns: int = 1, **_: Any) -> Any:
        if rows * columns != 1:
            raise SpecError(
                f"ax: this figure has {rows * columns} panels; pick values by `where`, as in "
                "{'cost': 'quadratic', 'learning_rate': 0.1}, so that it has one"
            )
        return np.array([[self.ax]])

    def colorbar(self, mappable: Any, ax: Any, **options: Any) -> Any:
        return self.ax.figure.colorbar(mappable, ax=self.ax, **options)

    def legend(self, handles: Sequence[Any], **_: Any) -> None:
        self.ax.legend(handles=handles)

    def suptitle(self, text: str) -> None:
        if _LOOK.get().title not in (None, "auto"):
            self.ax.set_title(text)

    def get_figwidth(self) -> float:
        root = cast(Figure, self.ax.get_figure(root=True))
        return float(self.ax.get_position().width * root.get_figwidth())


def page(width: float, height: float) -> Figure:
    """Return an empty figure; a talk's letters are larger, and its pages somewhat.

    Of another width than that it is as if the page was zoomed, but for its letters, which become
    smaller by the square root alone, and have 6 points at the least.
    """
    look = _LOOK.get()
    if look.ax is not None:
        return cast(Figure, _OnAxes(look.ax))
    grow = np.sqrt(mpl.rcParams["font.size"] / 9)
    width, height = width * grow, height * grow
    if look.width is not None:
        zoom = look.width / width
        letters = float(np.clip(np.sqrt(zoom), 0.75, 1.3))
        settings = cast(dict[str, Any], mpl.rcParams)
        settings.update({name: settings[name] * letters for name in LETTERS})
        width, height = look.width, height * zoom ** (0.5 if zoom < 1 else 1.0)
    return Page((width, height), layout="constrained")


def fitting(columns: int, inches: float = 1.4) -> int:
    """Return how many of some columns of panels fit into the width that a caller wishes."""
    width = _LOOK.get().width
    return columns if width is None else max(1, min(columns, int(width / inches)))


def crowding() -> float:
    """Return how many times as much room ticks need, as panels are narrower than they would be."""
    width = _LOOK.get().width
    return 1.0 if width is None else float(np.clip(7.0 / width, 1.0, 2.0))


def epochs_map() -> Any:
    """Return the colour map of epochs."""
    return _LOOK.get().cmap or EPOCHS_MAP


def letters(share: float) -> float:
    """Return a font size that is this share of the style's."""
    return float(share * mpl.rcParams["font.size"])


def axis_name(axis: str) -> str:
    """Return an axis as it is written beside a figure."""
    names = {"learning_rate": "learning rate", "x": "input x", "y": "target y"}
    return (names | {"optimizer": "optimiser"}).get(axis, axis)


def axis_value(axis: str, value: Any, among: Iterable[Any] = ()) -> str:
    """Return one value of an axis as the title of a panel, distinct from the others shown."""
    if axis in CHOICES:
        return option_name(value)
    if axis in ("learning_rate", "tolerance"):
        return f"{axis_name(axis)} {tick(labels([value, *among])[0])}"
    return f"{axis} = {tick(labels([value, *among], 6)[0])}"


def tick(text: str) -> str:
    """Return the label of a number as a figure has it: 10,000, −1 and 2.5×10⁶."""
    number = float(text)
    if 1000 <= abs(number) < 1e6 and number.is_integer():
        text = f"{number:,.0f}"
    if "e" in text:
        digits, exponent = text.split("e")
        before = {"1": "", "-1": "-"}.get(digits, f"{digits}×")
        text = f"{before}10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return text.replace("-", "−")


def start_symbol(column: str) -> str:
    """Return a column of starts as a symbol: w0_2 is w₂ at the start."""
    kind, _, number = column.partition("_")
    return f"{kind[0]}₀" + (f",{number}" if number else "")


def start_name(column: str) -> str:
    """Return a column of starts as an axis is labelled: w0_2 is initial weight w₀, input 2."""
    number = column.partition("_")[2]
    word = "initial weight" if column[0] == "w" else "initial bias"
    return f"{word} {column[0]}₀" + (f", input {number}" if number else "")


def title(text: str, table: pd.DataFrame, shown: Mapping[str, int] = MappingProxyType({})) -> str:
    """Return a figure's title; it says what of the result the figure leaves out.

    That is: axes of which it shows so many values (`shown`, or what the table says), those that are
    held at a value, and starts that are pooled.
    """
    wished = _LOOK.get().title
    if wished != "auto":
        return wished or ""
    among = table.attrs.get("axes", {})
    fixed = table.attrs.get("fixed", {}).items()
    sizes = table.attrs.get("sizes", {})
    notes = [
        f"{count} of {sizes[name]:,} values of {axis_name(name)}"
        for name, count in (shown or table.attrs.get("shown", {})).items()
        if count < sizes[name]
    ]
    notes += [axis_value(name, value, among.get(name, ())) for name, value in fixed]
    notes += [f"all values of {start_name(name)} pooled" for name in table.attrs.get("pooled", ())]
    if table.attrs.get("rule") == "gradient":
        notes.append("converged: the gradient is at most the tolerance")
    return f"{text}\n({', '.join(notes)})" if notes else text


def cost_colour(cost: str, costs: Sequence[str] = ()) -> str:
    """Return the colour of a cost among those of a result."""
    return str(cost_line(cost, costs)["color"])


def cost_line(cost: str, costs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the colour and the dashes of a cost's line among those of a result."""
    if cost in COST_COLOURS:
        return {"color": COST_COLOURS[cost], "linestyle": COST_LINES[cost]}
    others = [each for each in costs if each not in COST_COLOURS]
    place = others.index(cost) if cost in others else 0
    return OTHER_LINES[place % len(OTHER_LINES)]
