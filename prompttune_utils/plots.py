"""Figures that read the same in every chapter: one style (`course.mplstyle`), drawn as
SVG, colour-blind-safe, and told apart by marker and line style too."""

import sys
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from prompttune_utils.evaluation import mean_interval

plt.style.use("prompttune_utils.course")
if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
    from matplotlib_inline.config import InlineBackend

    inline = InlineBackend.instance()
    # the same figure gives the same file: no date in it
    inline.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Date": None}}
    inline.figure_formats = {"svg"}

COLOURS = plt.rcParams["axes.prop_cycle"].by_key()["color"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", "-", "--", "-."]


def axes(width: float = 6.4, height: float = 3.8, **labels: str) -> plt.Axes:
    """A fresh pair of axes, `width` by `height` inches; keyword arguments go to `set`
    (xlabel=, ylabel=, ...)."""
    _, ax = plt.subplots(figsize=(width, height))
    ax.set(**labels)
    return ax


def curves(
    ax: plt.Axes,
    x: Sequence,
    series: Mapping[str, Sequence[Sequence[float]]],
    apart: float = 0.0,
) -> None:
    """One line a name: mean over seeds at each x, with its 95 % interval.

    `series[name][i]` holds the seeds' values at x[i]. Each line is drawn `apart` to the
    right of the one before, all of them around x, so that no interval hides another;
    then x has to be numbers.
    """
    for number, (name, values) in enumerate(series.items()):
        pairs = [mean_interval(v) for v in values]
        look = number % len(COLOURS)
        aside = apart * (number - (len(series) - 1) / 2)
        ax.errorbar(
            [at + aside for at in x] if apart else x,
            [mean for mean, _ in pairs],
            yerr=[0 if half != half else half for _, half in pairs],  # nan: one seed
            label=name,
            color=COLOURS[look],
            marker=MARKERS[look],
            linestyle=LINES[look],
        )
    ax.legend()


def baseline(ax: plt.Axes, value: float, name: str = "majority") -> None:
    """A thin horizontal reference line."""
    ax.axhline(value, color="#52606d", linewidth=1, linestyle=(0, (1, 2)), label=name)
    ax.legend()


class LossCurve:
    """A loss curve that moves while its cell runs, drawn anew after every `every`
    steps, as the mean of their losses.

    Args:
        steps: how many there will be.
        start: a loss to compare with, drawn as a line: what a model has that guesses.
    """

    def __init__(self, steps: int, start: float, every: int = 25):
        from IPython.display import display  # notebooks have it

        self.every, self.losses, self.means = every, [], []
        ax = axes(xlabel="step", ylabel="loss at the hidden words (nats)")
        ax.set(xlim=(0, steps), ylim=(0, 1.1 * start))
        baseline(ax, start, "guessing")
        (self.line,) = ax.plot([], [], label="training", marker=".")
        ax.legend()
        self.figure = ax.figure
        self.shown = display(self.figure, display_id=True)
        plt.close(self.figure)  # or the notebook would show it once more at the end

    def add(self, loss: float) -> None:
        """Takes the loss of one more step."""
        self.losses.append(loss)
        if len(self.losses) % self.every:
            return
        self.means.append(sum(self.losses[-self.every :]) / self.every)
        places = range(self.every, len(self.losses) + 1, self.every)
        self.line.set_data(places, self.means)
        if self.shown:  # there is none outside a notebook
            self.shown.update(self.figure)
