"""The loss curve that moves while its cell runs."""

import pytest

from prompttune_utils import plots


def test_the_curve_has_the_mean_of_every_few_steps(capsys):
    curve = plots.LossCurve(steps=6, start=3.0, every=2)
    for loss in (3.0, 2.0, 2.0, 1.0, 0.5):
        curve.add(loss)
    x, y = curve.line.get_data()
    assert list(x) == [2, 4]  # the fifth waits for the sixth
    assert list(y) == pytest.approx([2.5, 1.5])
    assert not plots.plt.fignum_exists(curve.figure.number)  # shown once, not twice


def test_lines_that_stand_apart_keep_their_middle():
    figure, ax = plots.plt.subplots()
    series = {name: [[0.1, 0.3], [0.4, 0.6]] for name in "abc"}
    plots.curves(ax, [0, 1], series, apart=0.1)
    drawn = [container[0].get_xdata() for container in ax.containers]
    plots.plt.close(figure)
    assert [list(x) for x in drawn] == [
        pytest.approx([-0.1, 0.9]),
        pytest.approx([0.0, 1.0]),
        pytest.approx([0.1, 1.1]),
    ]
