"""Figures that read the same in every chapter: colour-blind-safe, and told apart by
marker and line style, too."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from prompttune_utils.evaluation import mean_interval

# Okabe and Ito (2008), without yellow, which is too pale on white
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", "-", "--", "-."]


def axes(width: float = 6.4, height: float = 3.8, **labels: str) -> plt.Axes:
    """A fresh pair of axes, white in both themes of the site.

    Keyword arguments go to `set` (xlabel=, ylabel=, ...).
    """
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.set(**labels)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)
    return ax


def curves(
    ax: plt.Axes, x: Sequence, series: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """One line a name: mean over seeds at each x, with its 95 % interval.

    `series[name][i]` holds the seeds' values at x[i].
    """
    for number, (name, values) in enumerate(series.items()):
        pairs = [mean_interval(v) for v in values]
        ax.errorbar(
            x,
            [mean for mean, _ in pairs],
            yerr=[0 if half != half else half for _, half in pairs],  # nan: one value
            label=name,
            capsize=3,
            linewidth=1.8,
            color=COLOURS[number % 7],
            marker=MARKERS[number % 7],
            linestyle=LINES[number % 7],
        )
    ax.legend(frameon=False)


def baseline(ax: plt.Axes, value: float, name: str = "majority") -> None:
    """A thin horizontal reference line."""
    ax.axhline(value, color="#666666", linewidth=1, linestyle=(0, (1, 2)), label=name)
    ax.legend(frameon=False)
