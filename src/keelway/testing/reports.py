"""A project whose ledger tells a whole story, for tests of reports; any chapter can be left out.

world = ReportWorld(tmp_path, without={"monitored"})
past = world.past()
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import Column, PiiClass
from keelway.core import Action, Decision, Digest, PointerMove, PrincipalId, digest_bytes, digest_of, version_name
from keelway.evaluate import Calibration, Fairness, Interval, Scorecard
from keelway.features import FeatureTable
from keelway.ledger import record_decision
from keelway.privacy import Erasure, ErasureDone, Loss
from keelway.project import Risk
from keelway.promote import (
    DrillReport,
    IncidentNews,
    IncidentReport,
    assess_risk,
    open_incident,
    record_check,
    record_drill,
    update_incident,
)
from keelway.report import Past
from keelway.testing.checks import contract_of
from keelway.testing.door import ANA, BEN, CI, EVE, DoorWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = timedelta(hours=1)
CHAPTERS = (
    "checked", "taken", "registered", "assessed", "reproduced", "asked", "promoted", "deployed", "logged", "monitored",
    "learned", "called", "drilled", "erased", "vacuumed", "incident",
)  # fmt: skip
"""What is told, in this order, an hour apart."""
ANSWERS: dict[str, Any] = {
    "owner": "user:eve",
    "prohibited": (),
    "product_safety": False,
    "annex_iii": ("employment",),
    "profiles_persons": False,
    "transparency": (),
    "affected": ("applicants",),
    "severity": "limited",
    "reversibility": "easy",
    "scale": "hundreds",
    "data": ("personal",),
    "oversight": "decides",
    "oversight_how": "A person decides.",
    "review_every": "365d",
}


class ReportWorld(DoorWorld):
    """A version that was trained well, let in properly and is watched; `answers` change what its risk is told to be."""

    def __init__(self, folder: Path, *, without: Collection[str] = (), **answers: Any) -> None:
        super().__init__(folder)
        self.answers = ANSWERS | answers
        self.told_at: dict[str, datetime] = {}
        self._improve()
        for chapter in CHAPTERS:
            if chapter not in without:
                self.tell(chapter)

    def tell(self, chapter: str) -> None:
        """Tell one chapter, an hour after the one before."""
        self.now += HOUR
        getattr(self, f"_{chapter}")()
        self.told_at[chapter] = self.now

    def decide(self, action: Action, subject: str, *, who: PrincipalId = CI.id, **facts: Any) -> None:
        """Record a decision as it is."""
        facts.setdefault("allowed", True)
        with self.state.transaction() as tx:
            record_decision(Decision(action=action, subject=subject, principal=who, at=self.now, **facts), tx=tx)

    @contextmanager
    def reading(self, at: datetime | None = None) -> Iterator[Past]:
        """Open the ledger as it was at a time."""
        with self.state.snapshot() as tx:
            yield Past(tx, self.artifacts, at or self.now)

    def store(self, record: object, *, key: str = "") -> Digest:
        """Store a record."""
        with self.state.transaction() as tx:
            digest: Digest = tx.insert(key or digest_of(record), record, at=self.now)
            return digest

    def _improve(self) -> None:
        """Give the version's scorecard what a careful team measures, and its code a commit."""
        with self.state.snapshot() as tx:
            card = tx.by_digest(Scorecard, self.version.scorecard)
        interval = Interval(0.02, 0.01, 0.03, 0.95, "bootstrap")
        better = replace(
            card,
            calibration=Calibration(interval, 0.1, interval, 0.01, 0.02, 0.2, 0.0, 0.5, ()),
            fairness=(Fairness("sex", (), 0.5, None, None, None, None, 0.4, "passes", sure=True),),
        )
        self.version = replace(self.version, name=version_name("churn", 2), number=2, scorecard=self.store(better))
        onnx, statement = self.signed("churn:2", trained=self.version.trained, pipeline=self.version.pipeline)
        self.version = replace(self.version, onnx=onnx, statement=statement)
        with self.state.transaction() as tx:
            tx.insert("churn:2", self.version, parent="churn", at=self.now)

    def _checked(self) -> None:
        name = Column("name", "string", pii=next(each for each in PiiClass if each))
        contract = self.store(contract_of(Column("day", "date"), name, dataset="tx", contract_id="tx"))
        self.decide(
            Action.QUARANTINE, "tx", evidence={"batch": digest_bytes(b"b"), "contract": contract}, comment="1 of 100"
        )

    def _taken(self) -> None:
        with self.state.snapshot() as tx:
            table = tx.by_digest(FeatureTable, self.version.feature_table)
        self.decide(Action.SNAPSHOT, "tx", evidence={"snapshot": table.snapshots["tx"]})

    def _registered(self) -> None:
        named = {name: getattr(self.version, name) for name in ("trained", "scorecard", "statement")}
        evidence = {"version": digest_of(self.version), **named, "bom": digest_bytes(b"bom")}
        self.decide(Action.REGISTER, self.version.name, who=ANA.id, evidence=evidence)

    def _assessed(self) -> None:
        assess_risk("churn", Risk(**self.answers), principal=EVE, state=self.state, now=self.now, renew=True)

    def _reproduced(self) -> None:
        figures = {"alike": "bit-equal"}
        record_check(self.version, "reproduction", figures, principal=ANA, state=self.state, now=self.now)

    def _asked(self) -> None:
        self.ask(comment="better on every slice")
        self.approve(BEN)

    def _promoted(self) -> None:
        if not any(one.action is Action.APPROVE for one in self.told()):
            self.ruled(approvals=0)
        self.promote()

    def _deployed(self) -> None:
        target = digest_bytes(b"deployment")
        with self.state.transaction() as tx:
            tx.move("deployment/prod/churn", before=None, after=target, at=self.now)
        self.decide(
            Action.DEPLOY, "churn", environment="prod", moves=(PointerMove("deployment/prod/churn", None, target),)
        )

    def _logged(self) -> None:
        self.decide(Action.LOG_PREDICTIONS, "churn", environment="prod")

    def _monitored(self) -> None:
        self.decide(Action.MONITOR, "churn", environment="prod", comment="stable")

    def _learned(self) -> None:
        self.decide(Action.LOG_OUTCOMES, "churned")

    def _called(self) -> None:
        self._drill("call")

    def _drilled(self) -> None:
        self._drill("rollback")

    def _erased(self) -> None:
        erasure = Erasure(1, Loss.ERASED, (), (), self.now, ANA.id)
        self.decide(Action.ERASE, "erasure 1", evidence={"erasure": self.store(erasure, key="000001")})
        self.store(ErasureDone(digest_of(erasure), 0, 0, self.now), key="000001")

    def _vacuumed(self) -> None:
        self.decide(Action.VACUUM, "tx")

    def _incident(self) -> None:
        report = IncidentReport(
            title="wrong unit", severity="major", model="churn", environment="prod", aware_at=self.now, personal_data=True
        )  # fmt: skip
        who = {"principal": EVE, "state": self.state, "now": self.now}
        number = open_incident(report, **who).number
        news = IncidentNews(note="told", root_cause="unit", corrective_action="rule", notified={"gdpr-33": self.now})
        update_incident(number, news, closes=True, **who)

    def _drill(self, kind: Any) -> None:
        report = DrillReport(kind=kind, passed=True, held_at=self.now, next_due=self.now + timedelta(days=90))
        record_drill("churn", "prod", report, principal=CI, state=self.state, now=self.now)
