"""Equal pipelines have equal bytes, in whatever process and at whatever time they were fitted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keelway.core import digest_bytes
from keelway.train.same_bytes import NO_TIME, archive_of, same_bytes
from keelway.train.stored import TRUSTED_TYPES

ESTIMATORS = {
    "linear": lambda seed: LogisticRegression(C=0.5, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(max_iter=4, random_state=seed),
    "forest": lambda seed: RandomForestClassifier(4, random_state=seed),
}
DRAW = np.random.default_rng(0)
INPUTS = DRAW.normal(size=(80, 3))
LABELS = (INPUTS[:, 0] > 0).astype(int)


class Unheard:
    """Something that nobody trusts."""

    def __init__(self) -> None:
        self.inside = {"function": os.path.basename}


def fitted(kind: str, seed: int = 0) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("estimate", ESTIMATORS[kind](seed))]).fit(INPUTS, LABELS)


def stored(pipeline: Any) -> bytes:
    return same_bytes(skops.io.dumps(pipeline))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_what_is_read_is_what_was_written(kind: str) -> None:
    pipeline = fitted(kind)
    again = skops.io.loads(stored(pipeline), trusted=sorted(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.predict_proba(INPUTS), pipeline.predict_proba(INPUTS))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_short_way_gives_the_bytes_of_the_long_one(kind: str) -> None:
    assert archive_of(fitted(kind)).data == stored(fitted(kind))


def test_the_short_way_keeps_whatever_skops_keeps() -> None:
    odd = {"tuple": (1, 2.5, None), "keys": {1: "a", "b": float("nan")}, "array": DRAW.normal(size=3), "type": int}
    assert archive_of(odd).data == stored(odd)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_types_are_told_as_skops_tells_them_of_the_written_bytes(kind: str) -> None:
    archive = archive_of(fitted(kind))
    assert archive.untrusted == set(skops.io.get_untrusted_types(data=archive.data))


@pytest.mark.parametrize(
    "odd",
    [
        Path,
        partial(os.path.join, "a"),
        np.random.default_rng(0),
        {"deep": [({"deeper": DRAW.normal},)]},
        FunctionTransformer(os.path.basename),
        Unheard(),
        [Unheard(), {"again": Unheard()}],
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_type_escapes_however_deep_it_stands(odd: Any) -> None:
    archive = archive_of({"within": [odd], "plain": "text"})
    assert archive.untrusted == set(skops.io.get_untrusted_types(data=archive.data))
    assert archive.data == stored({"within": [odd], "plain": "text"})
    assert bool(archive.untrusted) is not isinstance(odd, np.random.Generator)  # skops trusts that one


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_another_process_writes_the_same_bytes(kind: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport test_same_bytes as t\n"
        f"print(t.digest_bytes(t.stored(t.fitted({kind!r}))))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert told == digest_bytes(stored(fitted(kind)))


def test_another_fit_has_other_bytes() -> None:
    assert stored(fitted("forest", seed=0)) != stored(fitted("forest", seed=1))


def test_writing_again_what_was_read_changes_nothing() -> None:
    first = stored(fitted("boosting"))
    assert same_bytes(first) == first
    assert stored(skops.io.loads(first, trusted=sorted(TRUSTED_TYPES))) == first


def test_objects_that_are_one_stay_one_and_equal_texts_do_not_matter() -> None:
    shared = np.arange(3.0)
    one, two = {"a": shared, "b": shared}, {"a": shared, "b": shared.copy()}
    again = skops.io.loads(stored(one), trusted=[])
    assert again["a"] is again["b"]
    assert stored(one) != stored(two)
    text = "a some text"[2:]  # equal to the literal, and another object
    assert stored(["some text", "some text"]) == stored([text, "some text"])


def test_the_archive_bears_no_time_and_is_packed() -> None:
    with zipfile.ZipFile(io.BytesIO(stored(fitted("forest")))) as archive:
        assert {each.date_time for each in archive.infolist()} == {NO_TIME}
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert archive.testzip() is None
