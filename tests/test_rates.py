"""Learning rates: chosen inside their grid, kept, and read again."""

import pytest

from prompttune_utils import rates

WHO = ("99_toy", "prompt", "mini-bert", "reviews-en", 16)
TRIED = {1e-4: [0.6, 0.7], 1e-5: [0.5, 0.6], 1e-3: [0.6, 0.5]}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "FILE", tmp_path / "rates.json")
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    return tmp_path / "rates.json"


def test_the_best_is_kept_and_read(file, monkeypatch):
    assert rates.choose(*WHO, TRIED) == 1e-4
    assert rates.rate(*WHO[1:]) == 1e-4
    monkeypatch.setenv("PROMPTTUNE_RECORD", "0")
    assert rates.choose(*WHO, TRIED) == 1e-4
    with pytest.raises(ValueError, match="keeps another rate of prompt .* run `make r"):
        rates.choose(*WHO, TRIED | {1e-4: [0.9, 0.7]})
    assert rates.rate(*WHO[1:]) == 1e-4


def test_an_optimum_at_the_edge_is_refused(file):
    for best in (1e-5, 1e-3):
        with pytest.raises(ValueError, match=f"is {best:g}, at the edge of its grid"):
            rates.choose(*WHO, TRIED | {best: [0.9, 0.9]})
    assert not file.exists()


def test_of_equal_rates_none_is_at_the_edge(file):
    for edge in (1e-5, 1e-3):
        assert rates.choose(*WHO, TRIED | {edge: TRIED[1e-4]}) == 1e-4


def test_a_rate_that_nobody_chose_is_no_rate(file):
    with pytest.raises(LookupError, match="has no rate of prompt .* choose one with"):
        rates.rate(*WHO[1:])
    rates.choose(*WHO, TRIED)
    with pytest.raises(LookupError, match="or take that of prompt .* reviews-en"):
        rates.rate("prompt", "mini-bert", "sst2", 16)


def test_every_kept_rate_lies_inside_its_grid():
    for key, entry in rates.entries().items():
        grid = {float(rate): value for rate, value in entry["dev"].items()}
        assert min(grid) < entry["rate"] < max(grid), key
        assert grid[entry["rate"]] == max(grid.values()), key


def test_first_three_then_one_more_beside_the_better_outer_one():
    assert rates.to_try(1e-3, {}) == [3e-4, 1e-3, 3e-3]
    assert rates.to_try([1e-3, 3e-3, 1e-2], {1e-3: 0.5}) == [3e-3, 1e-2]
    rising = {3e-4: [0.5, 0.7], 1e-3: [0.7, 0.7], 3e-3: [0.8, 0.7]}
    assert rates.to_try(1e-3, rising) == [1e-2]
    assert rates.to_try(1e-3, rising | {1e-2: 0.75}) == []  # as good as one between
    assert rates.to_try(1e-3, {3e-4: 0.6, 1e-3: 0.5, 3e-3: 0.5}) == [1e-4]


def test_a_search_that_leaves_the_ladder_says_so():
    low, middle, high = rates.LADDER[:3]
    with pytest.raises(ValueError, match="lies beyond 1e-07 to 3000: look at the meth"):
        rates.to_try(middle, {low: 0.9, middle: 0.5, high: 0.5})
