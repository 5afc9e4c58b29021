"""What a card is told from: the contract that rows were checked by, the step that fitted, the ledger's decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.card import CardRoom
from keelway.core import Action, Decision, PrincipalId, VersionName
from keelway.errors import MissingRecordError, UsageError
from keelway.ledger import record_decision
from keelway.register import ModelCard
from keelway.register.card import CardTable, FactList
from keelway.testing.training import NOW, TrainingWorld


class Desk:
    """A world with one registered version, and the room for its card."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder)
        self.version = self.world.register(self.world.fit())
        self.champion: VersionName | None = None

    @property
    def room(self) -> CardRoom:
        world = self.world
        project = SimpleNamespace(model=lambda _name: world.model, models=[world.model])
        at: Any = SimpleNamespace(
            state=world.state,
            artifacts=world.artifacts,
            project=project,
            environment=lambda name: name,
            signing=SimpleNamespace(public_key=world.key.public),
        )
        lab: Any = SimpleNamespace(champion=lambda: self.champion)
        return CardRoom(at, lab)

    def decided(self, **told: Any) -> None:
        """Record a decision about the version."""
        decision = Decision(
            action=told.pop("action", Action.APPROVE),
            subject=told.pop("subject", self.version.name),
            allowed=told.pop("allowed", True),
            principal=PrincipalId("user:bo"),
            at=NOW + timedelta(hours=1),
            **told,
        )
        with self.world.state.transaction() as tx:
            record_decision(decision, tx=tx)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "world")


def table(card: ModelCard, caption: str) -> CardTable:
    return next(
        block
        for section in card.sections
        for block in section.blocks
        if isinstance(block, CardTable) and block.caption == caption
    )


def facts(card: ModelCard) -> dict[str, str]:
    lists = [block for section in card.sections for block in section.blocks if isinstance(block, FactList)]
    return {name: text for each in lists for name, text in each.facts}


def test_the_ledger_tells_what_was_decided_of_this_version_only(desk: Desk) -> None:
    desk.decided(environment="prod")
    desk.decided(subject="churn:9")
    desk.decided(allowed=False)
    rows = table(desk.room.card("churn:1"), "Decisions in the ledger").rows
    assert [(row[1], row[2], row[5]) for row in rows] == [
        ("register", "-", "yes"),
        ("approve", "prod", "yes"),
        ("approve", "-", "refused"),
    ]
    assert rows[1][3:5] == ("user:bo", "2026-01-01T01:00:00Z")


def test_a_snapshot_that_is_gone_is_a_gap_and_no_error(desk: Desk) -> None:
    card = desk.room.card("churn:1")
    [row] = table(card, "Datasets").rows
    assert row[0] == "orders"
    assert row[1].startswith("gone (")
    assert [gap.say for gap in card.gaps if gap.section == "Training Data"] == ["restoring its records from a backup"]


def test_without_a_recorded_run_nobody_tells_how_long_the_fit_took(desk: Desk) -> None:
    told = facts(desk.room.card("churn:1"))
    assert "Time of the fit" not in told
    assert told["Size of the exported model"].endswith(" MB")
    assert told["Registered"] == "2026-01-01T00:00:00Z"


def test_looking_at_a_card_stores_nothing(desk: Desk) -> None:
    with desk.world.state.snapshot() as tx:
        before = tx.log.size()
    assert desk.room.card("churn:1") == desk.room.card("churn")
    with desk.world.state.snapshot() as tx:
        assert tx.log.size() == before


def test_the_champion_has_a_card_once_there_is_one(desk: Desk) -> None:
    with pytest.raises(MissingRecordError, match="no version of champion"):
        desk.room.card("champion")
    desk.champion = desk.version.name
    assert desk.room.card("champion").name == "churn:1"


@pytest.mark.parametrize("name", ["churn:2", "churn@prod", "nobody", ""])
def test_what_has_no_version_has_no_card(desk: Desk, name: str) -> None:
    with pytest.raises(MissingRecordError):
        desk.room.card(name)


def test_a_card_is_written_in_the_form_that_the_name_asks_for(desk: Desk, tmp_path: Path) -> None:
    card = desk.room.card("churn:1")
    markdown = desk.room.write(card, tmp_path / "new" / "README.md").read_text("utf8")
    page = desk.room.write(card, tmp_path / "card.HTML").read_text("utf8")
    assert markdown.startswith("---\n")
    assert page.startswith("<!doctype html>")
    with pytest.raises(UsageError, match="Markdown or HTML"):
        desk.room.write(card, tmp_path / "card.txt")
    assert not (tmp_path / "card.txt").exists()


def test_words_of_the_project_are_those_of_now(desk: Desk) -> None:
    before = desk.room.card("churn:1")
    desk.world.declare(card=replace(desk.world.model.card, license="mit", contact="us"))
    after = desk.room.card("churn:1")
    closed = {gap.what for gap in before.gaps} - {gap.what for gap in after.gaps}
    assert closed == {"the licence", "whom to ask"}
    assert before.version == after.version
