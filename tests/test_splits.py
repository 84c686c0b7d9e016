import pytest

from prompttune_utils.data import load_task
from prompttune_utils.splits import prior_texts, rows_to_test, train_and_dev


@pytest.mark.parametrize("name", ["reviews-en", "reviews-zh"])
def test_no_row_is_in_two_parts(name):
    task = load_task(name)
    train, dev = train_and_dev(task)
    assert len(dev) == len(task.pool) // 6 and len(train) + len(dev) == len(task.pool)
    used = [id(row) for row in train + dev]
    assert len(set(used)) == len(used)


def test_a_few_rows_a_class_are_drawn_by_the_seed_and_dev_stays():
    task = load_task("reviews-en")
    (few, dev), (others, same) = (train_and_dev(task, 4, s) for s in (0, 1))
    assert dev == same and few != others and len(few) == len(others) == 8
    assert sorted(row["label"] for row in few) == [0] * 4 + [1] * 4
    assert not [row for row in few + others if row in dev]


def test_of_a_large_test_set_a_part_is_drawn_once():
    task = load_task("reviews-en")
    assert rows_to_test(task) == task.test or len(rows_to_test(task)) == 400
    some = rows_to_test(task, 10)
    assert some == rows_to_test(task, 10) and len(some) == 10
    assert all(row in task.test for row in some)


def test_the_texts_of_a_prior_have_no_label_and_are_no_dev_rows():
    task = load_task("reviews-zh")
    texts, dev = prior_texts(task, 0), train_and_dev(task)[1]
    assert len(texts) == 64 and not [row for row in texts if "label" in row]
    assert not {row["text"] for row in texts} & {row["text"] for row in dev}
    assert texts != prior_texts(task, 1)
