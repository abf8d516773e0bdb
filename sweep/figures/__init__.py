"""The figures of a result, declared once in FIGURES: one file a figure, named as the figure.

`import sweep.figures` imports no Matplotlib; a figure's module is imported when it is drawn.
"""

from typing import NamedTuple

__all__ = ["FIGURES", "Declaration"]


class Declaration(NamedTuple):
    """A figure that can be drawn.

    The module `sweep.figures.NAME` has a function NAME(table, style) that returns a Matplotlib
    figure.

    Attributes
    ----------
    description : str
    table : str or None
        The property of `sweep.figures.draw.Tables` that the figure is drawn from; None for a table
        of its own, which its module's function `table_of(result)` makes.
    follow : bool
        Whether the neurons must have been followed; if not, it is drawn only where it is named.
    """

    description: str
    table: str | None = None
    follow: bool = False


FIGURES = {
    "heatmap": Declaration("epochs over the starts, by cost and learning rate", "by_start"),
    "error": Declaration(
        "epochs by initial error and learning rate, and the ratio of the costs", "by_error"
    ),
    "slowdown": Declaration("epochs against initial error as lines", "by_error"),
    "ratio": Declaration("epochs of quadratic ÷ cross-entropy over the starts", "by_start"),
    "distribution": Declaration(
        "which share of the starts converged within how many epochs", "by_epochs"
    ),
    "curves": Declaration("learning curves of a few starts"),
    "theory": Declaration("measured epochs over the closed form of the gradient flow"),
    "outcome": Declaration("what became of neurons that were followed, over starts", follow=True),
    "lyapunov": Declaration("the Lyapunov exponent of followed neurons by rate", follow=True),
    "bifurcation": Declaration("outputs that followed neurons visit, by rate", follow=True),
}
