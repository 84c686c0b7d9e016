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
