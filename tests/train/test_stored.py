"""A stored pipeline is loaded only where every type in it is on the allow list."""

from __future__ import annotations

import io
import os
import random
import zipfile
from typing import Any

import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from keelway.core import ArtifactKind, Digest
from keelway.errors import IntegrityError
from keelway.testing.training import TrainingWorld
from keelway.train import load_pipeline


def kept(data: bytes, world: TrainingWorld) -> Digest:
    return world.artifacts.put(data, kind=ArtifactKind.MODEL).digest


@pytest.mark.parametrize("function", [os.getcwd, eval, sorted.__class__], ids=["os", "eval", "type"])
def test_a_function_in_a_pipeline_is_refused_and_never_called(world: TrainingWorld, function: Any) -> None:
    data = skops.io.dumps(Pipeline([("do", FunctionTransformer(function)), ("scale", StandardScaler())]))
    with pytest.raises(IntegrityError, match="not on the allow list") as refused:
        load_pipeline(kept(data, world), artifacts=world.artifacts)
    assert function.__name__ in refused.value.found


def test_bytes_that_are_no_pipeline_are_refused(world: TrainingWorld) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for data in (b"", b"pickle", empty.getvalue()):
        with pytest.raises(IntegrityError, match="cannot be read"):
            load_pipeline(kept(data, world), artifacts=world.artifacts)


def test_bytes_that_somebody_changed_are_refused_or_read_as_a_pipeline(world: TrainingWorld) -> None:
    data, draw, refused = world.artifacts.get(world.fit().pipeline), random.Random(0), 0
    for _ in range(150):
        changed = bytearray(data)
        changed[draw.randrange(len(data))] = draw.randrange(256)
        try:
            assert isinstance(load_pipeline(kept(bytes(changed), world), artifacts=world.artifacts), Pipeline)
        except IntegrityError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,", b"{'descr': '<f8'}", b"(", b"\x00" * 20],
    ids=["unfinished", "of one field", "a bracket", "zeros"],
)
def test_an_array_with_a_spoilt_header_is_refused(world: TrainingWorld, header: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(world.artifacts.get(world.fit().pipeline))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["000000.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    spoilt = io.BytesIO()
    with zipfile.ZipFile(spoilt, "w") as archive:
        for name, each in files.items():
            archive.writestr(name, each)
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_pipeline(kept(spoilt.getvalue(), world), artifacts=world.artifacts)


def test_what_training_made_is_loaded(world: TrainingWorld) -> None:
    assert load_pipeline(world.fit().pipeline, artifacts=world.artifacts)[-1].classes_.tolist() == [0, 1]
