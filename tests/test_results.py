"""What is said about several runs: evaluation, recorded results, figures."""

import json
import math
import time

import matplotlib
import pytest
import torch
from scipy import stats

from prompttune_utils import results
from prompttune_utils.evaluation import (
    accuracy,
    inside,
    mean_interval,
    score_rows,
    show,
)
from prompttune_utils.results import NotRecorded, Recorded

matplotlib.use("Agg")
from prompttune_utils import plots  # noqa: E402

# evaluation


def test_mean_interval():
    values = [0.81, 0.79, 0.86, 0.84, 0.80]
    mean, half = mean_interval(values)
    low, high = stats.t.interval(0.95, df=4, loc=mean, scale=stats.sem(values))
    assert (mean, mean - half, mean + half) == pytest.approx((0.82, low, high))
    # by hand: two values, t = 12.7062, standard error = |a - b| / 2
    assert mean_interval([0.0, 0.2]) == pytest.approx((0.1, 12.7062 * 0.1), rel=1e-4)
    assert mean_interval([0.5])[0] == 0.5 and math.isnan(mean_interval([0.5])[1])
    assert show([0.0, 0.2]) == "0.100 +- 1.271"
    with pytest.raises(ValueError, match="There are no values to average: give at"):
        show([])


def test_score_rows_keeps_the_order():
    rows = [
        {"text": "x" * n, "text_b": "y" * (n % 4)}
        for n in [5, 0, 31, 7, 7, 2, 19, 40, 1, 3, 28]
    ]
    lengths = []

    def score(part):
        assert torch.is_inference_mode_enabled()
        lengths.append([len(row["text"]) + len(row["text_b"]) for row in part])
        return torch.tensor([[len(row["text"]), 1.0] for row in part])

    scores = score_rows(rows, score, batch_size=4)
    assert scores[:, 0].tolist() == [len(row["text"]) for row in rows]
    assert [len(part) for part in lengths] == [4, 4, 3] and sum(lengths, []) == sorted(
        sum(lengths, [])
    )
    assert not scores.is_inference()


def test_score_rows_refuses_what_it_cannot_score():
    rows = [{"text": "a"}, {"text": "b"}]
    with pytest.raises(ValueError, match="There are no rows to score: give at least"):
        score_rows([], lambda part: torch.zeros(len(part), 2))
    for size in (0, -1, 2.5, None):
        with pytest.raises(ValueError, match=f"The batch size is {size}: give a whole"):
            score_rows(rows, lambda part: torch.zeros(len(part), 2), size)
    with pytest.raises(ValueError, match="1 lines of scores came back for 2 rows: let"):
        score_rows(rows, lambda part: torch.zeros(1, 2))


def test_accuracy():
    assert accuracy(
        torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), [1, 1, 1]
    ) == pytest.approx(2 / 3)
    assert accuracy([1, 0], [1, 0]) == accuracy(torch.tensor([1, 0]), [1, 0]) == 1
    with pytest.raises(
        ValueError, match="2 predictions for 3 gold labels: score the same rows"
    ):
        accuracy([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="no predictions to count: score at least one"):
        accuracy([], [])
    assert accuracy([0.9, 1.0], [0, 1]) == 0.5  # 0.9 is no label, and not 0


@pytest.mark.parametrize(
    "live, expected",
    [
        (0.775, False),
        (0.785, True),
        (0.8, True),
        (0.9, True),
        (0.915, True),
        (0.925, False),
    ],
)
def test_inside(live, expected):
    assert inside(live, [0.9, 0.8, 0.85]) == expected
    assert inside(live, [0.9, 0.8], slack=0) == (0.8 <= live <= 0.9)


# recorded results


@pytest.fixture
def recording(monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")


def never():
    raise AssertionError("was run again")


def test_what_nobody_recorded(tmp_path):
    with pytest.raises(
        NotRecorded,
        match=r"99_none.json holds no result of \{'shots': 16\} for the weights w1: "
        "run `make results`",
    ):
        Recorded("99_none", "w1", tmp_path).get({"shots": 16}, never)
    assert list(tmp_path.iterdir()) == []


def test_recording_stores_and_is_read_back(tmp_path, recording, monkeypatch):
    value = {"dev": 0.5, "runs": [0.1, 0.2], "text": "很好"}

    def run():
        before = time.process_time()
        while time.process_time() < before + 0.05:
            pass
        return value

    folder, settings = tmp_path / "new", {"shots": 16, "pair": ("a", "b")}
    assert Recorded("01", "w1", folder).get(settings, run) == value
    monkeypatch.delenv("PROMPTTUNE_RECORD")
    other_order = dict(reversed(settings.items()))
    assert Recorded("01", "w1", folder).get(other_order, never) == value
    [entry] = json.loads((folder / "01.json").read_text(encoding="utf-8"))
    assert entry["weights"] == "w1"
    assert entry["versions"]["torch"] == torch.__version__
    assert 0.05 <= entry["cpu_seconds"] < 1


@pytest.mark.parametrize("word", ["true", "yes", "2"])
def test_another_word_for_recording_is_refused(word, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", word)
    with pytest.raises(ValueError, match=f"PROMPTTUNE_RECORD is '{word}': set it to 1"):
        Recorded("01", "w1", tmp_path).get({"seed": 0}, never)


@pytest.mark.parametrize("word", ["0", ""])
def test_recording_can_be_switched_off(word, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", word)
    with pytest.raises(NotRecorded):
        Recorded("01", "w1", tmp_path).get({"seed": 0}, never)


def test_a_recording_run_sees_what_a_reader_will_see(tmp_path, recording):
    recorded = Recorded("01", "w1", tmp_path)
    assert (
        recorded.get({"n": 1}, lambda: {"pair": (1, 2), 3: 0.5})
        == {"pair": [1, 2], "3": 0.5}
        == recorded.get({"n": 1}, never)
    )


def test_interrupted_recording_goes_on(tmp_path, recording):
    def settings(seed):
        return {"seed": seed}

    def broken():
        raise KeyboardInterrupt

    first = Recorded("01", "w1", tmp_path)
    first.get(settings(2), lambda: 0.2)
    with pytest.raises(KeyboardInterrupt):
        first.get(settings(1), broken)
    second = Recorded("01", "w1", tmp_path)
    assert [second.get(settings(2), never), second.get(settings(1), lambda: 0.1)] == [
        0.2,
        0.1,
    ]
    assert [e["settings"]["seed"] for e in json.loads(second.path.read_text())] == [
        1,
        2,
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["01.json"]


def test_results_of_other_weights_do_not_count(tmp_path, recording, monkeypatch):
    Recorded("01", "old", tmp_path).get({"seed": 0}, lambda: 0.1)
    Recorded("01", "old", tmp_path).get({"seed": 1}, lambda: 0.2)
    assert Recorded("01", "new", tmp_path).get({"seed": 0}, lambda: 0.9) == 0.9
    monkeypatch.delenv("PROMPTTUNE_RECORD")
    assert Recorded("01", "new", tmp_path).get({"seed": 0}, never) == 0.9
    with pytest.raises(NotRecorded, match="for the weights new"):
        Recorded("01", "new", tmp_path).get({"seed": 1}, never)
    with pytest.raises(NotRecorded, match="for the weights old"):
        Recorded("01", "old", tmp_path).get({"seed": 0}, never)


def test_full_scale_runs_what_is_missing_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_SCALE", "full")
    monkeypatch.chdir(tmp_path)
    assert Recorded("01", "w1").get({"seed": 0}, lambda: 0.7) == 0.7
    assert Recorded("01", "w1").get({"seed": 0}, never) == 0.7
    assert (tmp_path / "results-full" / "01.json").exists()


def test_real_scale_has_results_of_its_own(tmp_path, monkeypatch):
    """They ship as those of the minis do, so nothing is run unless it is recorded."""
    monkeypatch.setenv("PROMPTTUNE_SCALE", "real")
    here = Recorded("01", "w1").path
    assert here.parent.name == "real" and here.parent.parent.name == "results"
    with pytest.raises(NotRecorded, match=r"01\.json holds no result.*run `make real`"):
        Recorded("01", "w1", tmp_path).get({"seed": 0}, never)
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    assert Recorded("01", "w1", tmp_path).get({"seed": 0}, lambda: 0.7) == 0.7
    monkeypatch.delenv("PROMPTTUNE_RECORD")
    assert Recorded("01", "w1", tmp_path).get({"seed": 0}, never) == 0.7


# figures


@pytest.fixture
def ax():
    ax = plots.axes(xlabel="shots", ylabel="accuracy")
    yield ax
    plots.plt.close(ax.figure)


def test_curves_draw_means_and_intervals(ax):
    plots.curves(
        ax, [1, 2], {"prompt": [[0.5, 0.7], [0.8]], "head": [[0.4, 0.4], [0.6, 0.7]]}
    )
    line, _, (bars,) = ax.containers[0]
    assert list(line.get_xdata()) == [1, 2] and list(line.get_ydata()) == pytest.approx(
        [0.6, 0.8]
    )
    half = mean_interval([0.5, 0.7])[1]
    # one value has no interval: its bar has no length
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([0.6 - half, 0.6 + half]),
        pytest.approx([0.8, 0.8]),
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "prompt",
        "head",
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("shots", "accuracy")


def test_seven_lines_differ_without_colour(ax):
    plots.curves(ax, [1], {str(n): [[0.1, 0.2]] for n in range(7)})
    lines = [container[0] for container in ax.containers]
    assert (
        len({line.get_marker() for line in lines})
        == len({line.get_color() for line in lines})
        == 7
    )


def test_baseline(ax):
    plots.baseline(ax, 0.5)
    assert (
        list(ax.lines[0].get_ydata()) == [0.5, 0.5]
        and ax.get_legend().get_texts()[0].get_text() == "majority"
    )


def test_per_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    results = Recorded("any", "hash", tmp_path)

    def run(name, size, seed):
        return size * 10 + seed

    assert results.per_seed(run, "a", 2, seeds=[0, 3]) == [20, 23]
    assert len(results.per_seed(run, "a", 4, weights="other")) == 5
    assert (
        Recorded("any", "hash", tmp_path).find(
            {"run": "run", "settings": ["a", 2], "seed": 3}
        )["value"]
        == 23
    )
    monkeypatch.delenv("PROMPTTUNE_RECORD")
    assert results.per_seed(run, "a", 4, seeds=[1], weights="other") == [41]
    with pytest.raises(NotRecorded):
        results.per_seed(run, "a", 4, seeds=[1])


def test_what_the_page_of_the_real_models_has_kept():
    """Both chapters that stand beside the page read it here."""
    (majority,) = results.of_the_real_models(majority="sst2")
    assert 0.5 <= majority < 0.52
    asked = results.of_the_real_models(run="shown", settings=[2])
    assert len(asked) >= 5 and all("accuracy" in run["none"] for run in asked)
    assert len(results.of_the_real_models(run="shown")) > len(asked)
    with pytest.raises(NotRecorded, match=r"no run with .*'thrown'.*: run `make real`"):
        results.of_the_real_models(run="thrown")
