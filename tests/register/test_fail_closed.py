"""No byte of a version is used before it is checked: 1,000 flipped bits are 1,000 refusals, and so is what is gone."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keelway.core import ArtifactKind, Digest, digest_bytes, parse_json
from keelway.errors import IntegrityError, KeelwayError, MissingRecordError, UsageError
from keelway.ledger import SigningKey, open_statement, sign_statement
from keelway.project import Ensemble
from keelway.promote import check_signature
from keelway.register import (
    ModelKey,
    ModelVersion,
    champion_scorer,
    check_if_registered,
    check_version,
    export_folder,
    load_scorer,
    verify_folder,
)
from keelway.testing.training import LOGISTIC, TrainingWorld
from keelway.train import member_pipelines

FLIPS = 1000
ENSEMBLE = Ensemble("both", ("logistic", "boosted"))


class Shelf:
    """A world with a version of one estimator and a version of an ensemble, and a hand that reaches into its files."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder, rows=300)
        self.single = self.world.register(self.world.fit(LOGISTIC))
        self.world.declare(estimators=(*self.world.model.estimators, ENSEMBLE))
        self.several = self.world.register(self.world.fit(ENSEMBLE))  # type: ignore[arg-type]

    @property
    def ports(self) -> dict[str, Any]:
        return {"artifacts": self.world.artifacts, "public_key": self.world.key.public}

    def digests(self, version: ModelVersion) -> list[Digest]:
        """Return everything that a version consists of."""
        members = member_pipelines(version.pipeline, artifacts=self.world.artifacts).values()
        assert version.plan is not None, version.no_plan
        return [version.onnx, version.plan, version.pipeline, version.statement, *members]

    @contextmanager
    def flipped(self, digest: Digest, bit: int) -> Any:
        """Change one bit of an artifact for a while."""
        path = self.world.artifacts.path_of(digest)
        path.chmod(0o600)
        place, mask = divmod(bit, 8)
        with path.open("r+b") as stream:
            before = os.pread(stream.fileno(), 1, place)
            os.pwrite(stream.fileno(), bytes([before[0] ^ (1 << mask)]), place)
            try:
                yield
            finally:
                os.pwrite(stream.fileno(), before, place)

    @contextmanager
    def gone(self, digest: Digest) -> Any:
        """Take an artifact away for a while."""
        path = self.world.artifacts.path_of(digest)
        path.rename(path.with_name("away"))
        try:
            yield
        finally:
            path.with_name("away").rename(path)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


def test_a_thousand_flipped_bits_are_a_thousand_refusals(shelf: Shelf) -> None:
    draw, refused, touched = random.Random(5), 0, set()
    for _ in range(FLIPS):
        version = draw.choice((shelf.single, shelf.several))
        digest = draw.choice(shelf.digests(version))
        size = shelf.world.artifacts.size_of(digest)
        with shelf.flipped(digest, draw.randrange((size or 0) * 8)):
            try:
                check_version(version, **shelf.ports)
            except IntegrityError:
                refused += 1
                touched.add(digest)
    assert refused == FLIPS
    assert touched == {*shelf.digests(shelf.single), *shelf.digests(shelf.several)}
    check_version(shelf.single, **shelf.ports)
    check_version(shelf.several, **shelf.ports)


def test_whatever_is_gone_is_a_refusal(shelf: Shelf) -> None:
    for version in (shelf.single, shelf.several):
        for digest in shelf.digests(version):
            with shelf.gone(digest), pytest.raises(MissingRecordError):
                check_version(version, **shelf.ports)


def load_all(shelf: Shelf, version: ModelVersion) -> dict[str, Callable[[], object]]:
    """Return every way in which the slices take a version in, by name."""
    world = shelf.world
    with world.state.snapshot() as tx:
        from keelway.train import TrainedModel

        trained = tx.by_digest(TrainedModel, version.trained)

    def registered() -> None:
        with world.state.snapshot() as tx:
            check_if_registered(trained, tx=tx, **shelf.ports)

    def gate() -> None:
        found = check_signature(version, **shelf.ports)
        if not found.verified:
            raise IntegrityError(found.reason)

    return {
        "serve, score, deploy": lambda: load_scorer(version, **shelf.ports),
        "champion, compare": lambda: champion_scorer(version, **shelf.ports),
        "promote": gate,
        "compare a run, reproduce": registered,
        "export, card, doctor": lambda: check_version(version, **shelf.ports),
    }


@pytest.mark.parametrize(
    "way", ["serve, score, deploy", "champion, compare", "promote", "compare a run, reproduce", "export, card, doctor"]
)
def test_no_way_in_takes_bytes_that_are_altered_or_gone(shelf: Shelf, way: str) -> None:
    version = shelf.single
    load = load_all(shelf, version)[way]
    load()
    answers_alone = way in ("serve, score, deploy", "champion, compare")  # the pipeline is not read for that
    for digest in (version.statement, version.onnx, version.served, *(() if answers_alone else (version.pipeline,))):
        with shelf.flipped(digest, 77), pytest.raises(IntegrityError):
            load()
        with shelf.gone(digest), pytest.raises(KeelwayError):
            load()


def resigned(shelf: Shelf, change: Callable[[dict[str, Any]], object], key: SigningKey | None = None) -> ModelVersion:
    """Return the version with another statement, changed and signed."""
    told = open_statement(shelf.world.artifacts.get(shelf.several.statement), key=shelf.world.key.public)
    change(told)
    data = sign_statement(told, key=key or shelf.world.key)
    return replace(shelf.several, statement=shelf.world.artifacts.put(data, kind=ArtifactKind.RECORD).digest)


def dependencies(told: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    return found


def named(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in dependencies(told) if each["name"] == name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: named(told, "pipeline")["digest"].update(sha256="0" * 64), "names another pipeline"),
        (lambda told: named(told, "trained")["digest"].update(sha256="0" * 64), "names another trained"),
        (lambda told: named(told, "pipeline/boosted")["digest"].update(sha256="0" * 64), "names another pipeline/boosted"),
        (lambda told: dependencies(told).clear(), "names another trained"),
        (lambda told: told.pop("predicate"), "malformed"),
        (lambda told: told["subject"][0].update(name="churn:9"), "about something else"),
        (lambda told: told["subject"].append(told["subject"][0]), "about something else"),
        (lambda told: told["subject"].pop(), "about something else"),
        (lambda told: told["subject"][1]["digest"].update(sha256="0" * 64), "about something else"),
    ],
    ids=["pipeline", "training", "member", "nothing", "no predicate", "subject", "three subjects", "no plan", "plan"],
)  # fmt: skip
def test_a_signed_statement_about_other_bytes_is_a_refusal(
    shelf: Shelf, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(IntegrityError, match=message):
        check_version(resigned(shelf, change), **shelf.ports)


def test_a_statement_of_another_key_is_a_refusal(shelf: Shelf) -> None:
    forged = resigned(shelf, lambda told: None, SigningKey.generate("other"))
    with pytest.raises(IntegrityError, match="another key"):
        check_version(forged, **shelf.ports)


def exported(shelf: Shelf, folder: Path, **changed: Any) -> Path:
    version, artifacts = shelf.single, shelf.world.artifacts
    parts: dict[str, Any] = {
        "onnx": artifacts.get(version.onnx),
        "plan": artifacts.get(version.served),
        "statement": artifacts.get(version.statement),
        "card": "# A card\n",
        "bom": b"{}",
        "task": "binary",
        "classes": (),
        "key": shelf.world.key,
    }
    export_folder(version, folder, **{**parts, **changed})
    return folder


def test_an_exported_version_is_checked_with_either_key(shelf: Shelf, tmp_path: Path) -> None:
    folder = exported(shelf, tmp_path / "churn-1")
    key = shelf.world.key
    found = verify_folder(folder, key=key.public)
    assert (found.name, found.version) == ("churn:1", digest_bytes((folder / "version.json").read_bytes()))
    other = verify_folder(folder, key=ModelKey.of(key).public)
    assert (other.name, other.version, other.files) == ("churn-1", None, found.files)
    assert set(found.files) == {path.name for path in folder.iterdir()} - {"model.sig"}
    told = parse_json((folder / "features.json").read_bytes())
    assert [each["name"] for each in told["features"]] == [each.name for each in shelf.single.features]


def test_two_exports_have_the_same_bytes(shelf: Shelf, tmp_path: Path) -> None:
    one, other = exported(shelf, tmp_path / "a" / "v"), exported(shelf, tmp_path / "b" / "v")
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


def test_an_export_may_fill_an_empty_folder(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder = exported(shelf, tmp_path / "empty")
    assert verify_folder(folder, key=shelf.world.key.public).name == "churn:1"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "nothing half-written is left beside it"


def test_an_export_never_writes_over_something(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="something already"):
        exported(shelf, tmp_path / "taken")
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "mine.txt"]


@pytest.mark.parametrize(
    "changed",
    [{"onnx": b"another model"}, {"plan": b"another plan"}, {"plan": None}, {"statement": b"{}"}, {"statement": None}],
    ids=["other model", "other plan", "no plan", "no statement", "other version's statement"],
)
def test_a_well_signed_folder_of_parts_that_do_not_belong_together_is_refused(
    shelf: Shelf, tmp_path: Path, changed: dict[str, Any]
) -> None:
    if changed.get("statement", 0) is None:
        changed = {"statement": shelf.world.artifacts.get(shelf.several.statement)}
    with pytest.raises(IntegrityError):
        exported(shelf, tmp_path / "v", **changed)
    verify_folder(tmp_path / "v", key=ModelKey.of(shelf.world.key).public)


def test_a_folder_of_another_project_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    folder = exported(shelf, tmp_path / "v")
    with pytest.raises(IntegrityError, match="another key"):
        verify_folder(folder, key=SigningKey.generate("other").public)
    (folder / "model-key.dsse.json").unlink()
    with pytest.raises(IntegrityError, match="no exported version"):
        verify_folder(folder, key=shelf.world.key.public)
