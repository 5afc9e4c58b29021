"""Numbers in order are the same from memory and from files, and so is every sum of them to the last bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.features import ascending as module
from keelway.features.ascending import ascending

FREQUENT = [0.0, -0.0, 1.5]
values = st.lists(st.sampled_from(FREQUENT) | st.floats(allow_nan=False, allow_infinity=False), max_size=400)


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("HELD", 60), ("RUN", 40)):
        monkeypatch.setattr(module, name, count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbers")


@settings(deadline=None)
@given(values, st.lists(st.integers(0, 400), max_size=8))
def test_numbers_come_in_order_however_they_are_cut(folder: Path, numbers: list[float], cuts: list[int]) -> None:
    given_ = np.array(numbers, np.float64)
    ends = [0, *sorted(min(cut, len(numbers)) for cut in cuts), len(numbers)]
    found = ascending((given_[start:end] for start, end in pairwise(ends)), folder=folder)
    assert (found.file is not None) == (len(numbers) > 60)
    assert np.array_equal(found.values, np.sort(given_))
    assert np.array_equal(np.concatenate([np.empty(0), *found.parts()]), np.sort(given_))


def test_a_number_that_comes_more_often_than_fits_is_copied_as_often(folder: Path) -> None:
    found = ascending([np.zeros(1_000), np.arange(5.0), np.full(2_000, 3.0)], folder=folder)
    assert [int(np.count_nonzero(found.values == number)) for number in range(5)] == [1_001, 1, 1, 2_001, 1]


def test_nothing_but_the_ordered_file_is_left(tmp_path: Path) -> None:
    ascending([np.arange(500.0)], folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ascending"]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5_000), st.integers(0, 2**32 - 1), st.integers(129, 1_000))
def test_a_sum_is_that_of_one_array_to_the_last_bit(folder: Path, count: int, seed: int, run: int) -> None:
    drawn = np.random.default_rng(seed).normal(size=count) * 10.0 ** np.arange(count).clip(0, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RUN", run)  # numpy itself adds up to 128 numbers in another way
        found = ascending([drawn], folder=folder)
        whole = np.sort(drawn)
        assert found.total(lambda part: part) == whole.sum()
        assert found.total(lambda part: np.square(part - whole.mean())) == np.square(whole - whole.mean()).sum()
