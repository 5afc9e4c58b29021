"""The bill of materials: valid CycloneDX, the same bytes from the same records, and stored with its version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from keelway.core import CodeState, digest_bytes, digest_of, parse_json
from keelway.evaluate import Interval, Scorecard
from keelway.evaluate.findings import Fairness, SliceScore
from keelway.features import FeatureTable
from keelway.ledger import decisions
from keelway.project import Card
from keelway.register import BillOfMaterials, ModelVersion, PackageList, bill_evidence, bill_now
from keelway.register.bom import bill_of, package_list
from keelway.snapshot import Snapshot
from keelway.testing.training import TrainingWorld
from keelway.train import TrainedModel, environment_digest

HERE = CodeState(digest_bytes(b"project"), environment_digest(), commit="c0ffee")
D = digest_bytes(b"x")


class Books:
    """A world with a version that was trained with what is installed here."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder, rows=300)
        self.version = self.world.register(self.world.fit(code=HERE))

    def stored(self) -> BillOfMaterials:
        with self.world.state.snapshot() as tx:
            return tx.get(BillOfMaterials, self.version.name)

    def data(self) -> bytes:
        return self.world.artifacts.get(self.stored().data)

    def records(self) -> tuple[TrainedModel, Scorecard, FeatureTable]:
        with self.world.state.snapshot() as tx:
            trained = tx.by_digest(TrainedModel, self.version.trained)
            return trained, tx.by_digest(Scorecard, self.version.scorecard), self.world.table

    def made(self, **changed: Any) -> dict[str, Any]:
        """Return the bill of changed records, once the schema finds nothing wrong with it."""
        trained, scorecard, table = self.records()
        given = {"snapshots": {}, "packages": None, "card": Card(), **changed}
        data = bill_of(self.version, trained, given.pop("scorecard", scorecard), table, **given)
        must_be_valid(data)
        told: dict[str, Any] = parse_json(data)
        return told


def must_be_valid(data: bytes) -> None:
    """Refuse what the schema of CycloneDX 1.6 refuses, or what its library cannot read."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    read: Any = Bom
    assert read.from_json(parse_json(data)).metadata.component is not None


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return Books(tmp_path_factory.mktemp("books"))


def test_a_registered_version_has_a_valid_bill(books: Books) -> None:
    data = books.data()
    must_be_valid(data)
    told = parse_json(data)
    model = told["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "churn", "1.0.0")
    assert model["hashes"] == [{"alg": "SHA-256", "content": books.version.onnx.removeprefix("sha256:")}]
    figures = {each["type"]: each for each in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    _, scorecard, _ = books.records()
    assert float(figures["roc_auc"]["value"]) == pytest.approx(scorecard.metrics["roc_auc"].value)
    assert float(figures["roc_auc"]["confidenceInterval"]["lowerBound"]) < float(figures["roc_auc"]["value"])


def test_the_bill_lists_datasets_and_what_was_installed(books: Books) -> None:
    told = parse_json(books.data())
    by_kind: dict[str, list[Any]] = {}
    for each in told["components"]:
        by_kind.setdefault(each["type"], []).append(each)
    [orders] = by_kind["data"]
    assert orders["hashes"][0]["content"] == books.world.table.snapshots["orders"].removeprefix("sha256:")
    assert {each["name"]: each["version"] for each in by_kind["library"]} == package_list().packages
    [dependency] = told["dependencies"]
    assert dependency["dependsOn"] == ["data/orders", "library/scikit-learn", "platform/python"]
    references = {each["bom-ref"] for each in told["components"]}
    assert set(dependency["dependsOn"]) <= references
    assert len(references) == len(told["components"])


def test_the_bill_is_recorded_with_the_version_and_told_to_policies(books: Books) -> None:
    stored = books.stored()
    with books.world.state.snapshot() as tx:
        [(_, decision)] = list(decisions(tx))
        evidence = bill_evidence(books.version, tx=tx)
        other = bill_evidence(replace(books.version, semver="9.9.9"), tx=tx)
    assert decision.evidence["bom"] == digest_of(stored)
    assert evidence == {
        "present": True,
        "components": stored.components,
        "libraries": stored.libraries,
        "digest": stored.data,
    }
    assert stored.libraries == len(package_list().packages)
    assert other == {"present": False, "components": 0, "libraries": 0}, "a bill belongs to one version only"


def test_the_same_records_give_the_same_bytes(books: Books) -> None:
    with books.world.state.snapshot() as tx:
        assert bill_now(books.version, card=Card(), tx=tx) == books.data()


def test_the_list_of_packages_is_the_record_that_the_environments_digest_names(books: Books) -> None:
    with books.world.state.snapshot() as tx:
        assert tx.by_digest(PackageList, HERE.environment_digest) == package_list()


def test_where_nobody_knows_what_was_installed_the_bill_lists_none(tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path, rows=300)
    version = world.register(world.fit())  # its environment's digest is of no list that anybody has
    with world.state.snapshot() as tx:
        stored = tx.get(BillOfMaterials, version.name)
        assert tx.count(PackageList) == 0
        told = bill_evidence(version, tx=tx)
        assert (told["present"], told["components"], told["libraries"]) == (True, 1, 0)
    data = world.artifacts.get(stored.data)
    must_be_valid(data)
    assert [each["type"] for each in parse_json(data)["components"]] == ["data"]


def test_what_people_say_of_a_model_stands_in_its_bill(books: Books) -> None:
    card = Card(
        summary="Who leaves.", license="apache-2.0", intended_use="Whom to call.", out_of_scope="Prices.",
        limitations="One shop.", recommendations="Look twice.",
    )  # fmt: skip
    model = books.made(card=card)["metadata"]["component"]
    assert model["description"] == "Who leaves."
    assert model["licenses"] == [{"license": {"name": "apache-2.0"}}]
    told = model["modelCard"]["considerations"]
    assert told["useCases"] == ["Whom to call."]
    assert told["technicalLimitations"] == ["One shop.", "Prices."]
    assert told["ethicalConsiderations"] == [{"name": "Look twice."}]
    own = Card(license="other", license_name="House rules", license_link="https://example.org/rules")
    [named] = books.made(card=own)["metadata"]["component"]["licenses"]
    assert named["license"] == {"name": "House rules", "url": "https://example.org/rules"}


def test_slices_and_fairness_stand_in_the_bill(books: Books) -> None:
    _, scorecard, _ = books.records()
    interval = Interval(0.7, 0.6, 0.8, 0.95, "DeLong")
    judged = SliceScore("plan", "gold", 40, True, "roc_auc", interval, None, 1.0, "not judged")
    few = SliceScore("plan", "rare", 2, False, "roc_auc", None, None, 1.0, "not judged")
    fair = Fairness("sex", (), 0.5, None, None, None, None, None, "fails", sure=False)
    changed = replace(scorecard, slices=(judged, few), fairness=(fair,))
    card = books.made(scorecard=changed)["metadata"]["component"]["modelCard"]
    slices = {each["slice"] for each in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert slices == {f"test rows ({scorecard.rows})", "plan=gold (40 rows)"}
    [risk] = card["considerations"]["fairnessAssessments"]
    assert risk["groupAtRisk"] == "sex"
    assert "fails" in risk["harms"]


def test_a_dataset_whose_version_is_known_tells_of_it(books: Books) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    snapshot = Snapshot("orders", 7, D, 1, 99, 9, D, D, None, moment, moment, {})
    [orders] = books.made(snapshots={"orders": snapshot})["components"]
    assert orders["version"] == "7"
    assert {"name": "keelway:rows", "value": "99"} in orders["properties"]


@pytest.mark.parametrize("version", ["1.0+local.build", "1!2.0", "2024a"])
def test_a_strange_version_of_a_package_is_a_valid_address(books: Books, version: str) -> None:
    told = books.made(packages=PackageList("3.12.1", {"odd_name.x": version}))
    [library] = [each for each in told["components"] if each["type"] == "library"]
    assert library["version"] == version
    assert "+" not in library["purl"]
    assert "!" not in library["purl"]


def test_a_bill_names_nothing_of_the_machine(books: Books) -> None:
    assert str(Path.home()).encode() not in books.data()
    assert str(books.world.folder).encode() not in books.data()
    assert isinstance(books.version, ModelVersion)
