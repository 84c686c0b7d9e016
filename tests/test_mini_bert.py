"""What the chapters need of mini-bert, as its card measured it on data that its
training never saw."""

from statistics import fmean

import pytest

from pretraining.evaluate import PAIRS


def zero_shot(recorded, task: str) -> float:
    """Test accuracy, prior out, of the template and words that are best on dev."""
    values = []
    for pair in PAIRS[task]:
        asked = {"task": task, "zero-shot": list(pair)}
        values += recorded("mini-bert", count=1, **asked)
    return max(values, key=lambda v: v["dev"]["calibrated"])["test"]["calibrated"]


def tuned(recorded, task: str, method: str) -> float:
    """Mean test accuracy of five seeds, 16 rows a class."""
    return fmean(recorded("mini-bert", task=task, method=method, part="test"))


@pytest.mark.parametrize(
    "task, asked, shown", [("sst2", 0.77, 0.76), ("chnsenticorp", 0.80, 0.82)]
)
def test_mini_bert_reads_reviews(recorded, task, asked, shown):
    assert zero_shot(recorded, task) >= asked
    assert tuned(recorded, task, "prompt") >= shown


def best_head(recorded, task: str) -> float:
    return max(tuned(recorded, task, head) for head in ("head-cls", "head-mean"))


def test_a_prompt_needs_fewer_labels_than_a_head(recorded):
    """Ten points on SST-2; in Chinese the head is nearer."""
    assert tuned(recorded, "sst2", "prompt") >= best_head(recorded, "sst2") + 0.10
    chinese = "chnsenticorp"
    assert tuned(recorded, chinese, "prompt") > best_head(recorded, chinese)
