"""Draws timeline.svg: `python book/figures/timeline.py`. The book shows the committed
file."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

# year, name, what the prompt is, which weights move; within a year in the order of the
# first public versions
WORKS = [
    (1972, "TF-IDF", "no prompt", "all"),
    (1997, "LSTM", "no prompt", "all"),
    (1998, "naive Bayes for text", "no prompt", "all"),
    (2003, "neural language model", "no prompt", "all"),
    (2013, "word2vec", "no prompt", "all"),
    (2017, "Transformer", "no prompt", "all"),
    (2018, "GPT", "no prompt", "all"),
    (2018, "BERT", "no prompt", "all"),
    (2019, "adapters", "no prompt", "some"),
    (2019, "T5", "no prompt", "all"),
    (2020, "PET", "discrete", "all"),
    (2020, "GPT-3, in-context learning", "discrete", "none"),
    (2020, "AutoPrompt", "discrete", "prompt only"),
    (2020, "LM-BFF", "discrete", "all"),
    (2021, "Prefix-Tuning", "continuous", "prompt only"),
    (2021, "Calibrate Before Use", "discrete", "none"),
    (2021, "P-tuning", "hybrid", "prompt only"),
    (2021, "Prompt Tuning", "continuous", "prompt only"),
    (2021, "LoRA", "no prompt", "some"),
    (2021, "FLAN, instruction tuning", "discrete", "all"),
    (2021, "PPT", "continuous", "prompt only"),
    (2021, "P-tuning v2", "continuous", "prompt only"),
    (2022, "chain-of-thought", "discrete", "none"),
    (2022, "InstructGPT", "discrete", "all"),
    (2022, "self-consistency", "discrete", "none"),
    (2022, "zero-shot chain-of-thought", "discrete", "none"),
]
# Okabe and Ito (2008); shape and place tell the kinds apart as well
PROMPTS = {
    "no prompt": ("#000000", "o"),
    "discrete": ("#0072B2", "s"),
    "hybrid": ("#CC79A7", "D"),
    "continuous": ("#D55E00", "^"),
}
WEIGHTS = {
    "all": "full",
    "some": "left",
    "prompt only": "none",
    "none": "none",
}  # "none" also gets a cross


def mark(prompt: str, weights: str, **options) -> Line2D:
    """The marker of a work: its colour and shape tell the prompt, its filling the
    weights."""
    colour, shape = PROMPTS[prompt]
    if weights == "none":
        shape = "x"
    look = {
        "fillstyle": WEIGHTS[weights],
        "markerfacecoloralt": "white",
        "markersize": 7,
        "markeredgewidth": 1.6,
    }
    return Line2D([], [], color=colour, marker=shape, linestyle="", **look, **options)


def draw(path: Path) -> None:
    """Writes the figure as SVG: text as outlines, no date and no random ids, so that
    the same code writes the same file."""
    with plt.rc_context(
        {
            "svg.fonttype": "path",
            "svg.hashsalt": "timeline",
            "figure.constrained_layout.use": False,
            "font.family": "DejaVu Sans",
            "font.size": 10,
        }
    ):
        height = 0.27 * len(WORKS) + 1
        figure = plt.figure(figsize=(4.6, height), facecolor="white")
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, 4.6), ylim=(-height + 0.9, 0.9))
        ax.axis("off")
        lanes = dict(zip(PROMPTS, (0.75, 1.05, 1.35, 1.65)))
        for x, (colour, _) in zip(lanes.values(), PROMPTS.values()):
            ax.plot([x, x], [-0.05, -height + 1], color=colour, alpha=0.25, linewidth=1)
        for row, (year, name, prompt, weights) in enumerate(WORKS):
            y = -0.27 * row - 0.2
            if row == 0 or WORKS[row - 1][0] != year:
                ax.text(0.1, y, str(year), va="center", fontweight="bold")
                ax.plot(
                    [0.1, 4.5], [y + 0.135, y + 0.135], color="#bbbbbb", linewidth=0.6
                )
            dot = mark(prompt, weights)
            dot.set_data([lanes[prompt]], [y])
            ax.add_line(dot)
            ax.text(1.9, y, name, va="center")
        legend = {
            "loc": "upper left",
            "ncol": 4,
            "frameon": False,
            "fontsize": 8.5,
            "handletextpad": 0,
            "columnspacing": 0.9,
            "borderaxespad": 0,
        }
        kinds = [mark(prompt, "all", label=prompt) for prompt in PROMPTS]
        moves = [
            mark("no prompt", weights, label=label)
            for weights, label in zip(
                WEIGHTS, ("all weights", "some", "prompt only", "nothing moves")
            )
        ]
        ax.add_artist(
            ax.legend(handles=kinds, bbox_to_anchor=(0.02, 1 - 0.08 / height), **legend)
        )
        ax.legend(handles=moves, bbox_to_anchor=(0.02, 1 - 0.42 / height), **legend)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".svg"))
