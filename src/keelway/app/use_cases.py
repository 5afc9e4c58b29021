"""`App`: the use cases of one project, grouped as the lifecycle groups them. Every surface calls these and nothing below.

app = App.open("churn", actor="user:ana")
app.data.ingest()
view = app.lab.run("churn")
app.gate.request("churn:1", "prod", comment="better on every slice")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keelway.app.compare import CompareRoom
from keelway.app.contracts import ContractRoom
from keelway.app.data import DataRoom
from keelway.app.evidence import EvidenceRoom
from keelway.app.features import FeatureRoom
from keelway.app.gate import Gate
from keelway.app.governance import Governance
from keelway.app.lab import Lab
from keelway.app.online import OnlineRoom
from keelway.app.policies import PolicyRoom
from keelway.app.privacy import PrivacyRoom
from keelway.app.rollouts import RolloutRoom
from keelway.app.runs import RunRoom
from keelway.app.snapshots import SnapshotRoom
from keelway.app.traffic import Traffic
from keelway.app.tune import TuneRoom
from keelway.app.versions import VersionRoom
from keelway.app.watch import Watch
from keelway.app.wire import Workspace, silent
from keelway.core import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class App:
    """One project, ready to be used by one principal.

    Attributes:
        workspace: The project bound to its engines.
        data: Ingest, check, quarantine.
        contracts: Lint, compare and accept contracts; what a change reaches.
        snapshots: List, show, compare, tag, compact, vacuum.
        privacy: Keys, erasure, retention.
        features: The SQL of feature sets; proposals.
        online: Features that are served; parity, poison and leakage tests.
        lab: Run, look at models.
        compare: Compare models on the same rows.
        versions: Signed folders, cards, bills of materials, deprecation and retirement of model versions; registries; garbage
            collection.
        tune: Search for parameters, and look at searches.
        runs: List, compare, mirror and reproduce runs; notebooks.
        gate: Request, approve, reject, promote; checklists, delegations.
        policies: Check, test, explain and replay policies.
        traffic: Deploy at once, roll back, serve, score.
        rollouts: Plan, begin, look at and steer rollouts.
        watch: Outcomes, monitoring, retraining.
        governance: Risk, incidents and drills, reports.
        evidence: Prove, audit, status, doctor.
    """

    workspace: Workspace
    data: DataRoom
    contracts: ContractRoom
    snapshots: SnapshotRoom
    privacy: PrivacyRoom
    features: FeatureRoom
    online: OnlineRoom
    lab: Lab
    compare: CompareRoom
    versions: VersionRoom
    tune: TuneRoom
    runs: RunRoom
    gate: Gate
    policies: PolicyRoom
    traffic: Traffic
    rollouts: RolloutRoom
    watch: Watch
    governance: Governance
    evidence: EvidenceRoom

    @classmethod
    def open(
        cls,
        folder: Path | str = ".",
        *,
        clock: Clock | None = None,
        actor: str = "",
        token: str = "",
        progress: Callable[[str], None] = silent,
    ) -> App:
        """Open the project at or above a folder.

        Args:
            clock: Tells the time; the machine's clock when None.
            actor: Who acts (`user:NAME`, `sp:NAME`); empty takes the project's default.
            token: A secret reference to the actor's token.
            progress: Called with one line whenever long work moves on.

        Raises:
            ProjectError: There is no project.
            SettingsError: Its `keelway.toml` is wrong.
        """
        workspace = Workspace.open(folder, clock=clock or SystemClock(), actor=actor, token=token, progress=progress)
        return cls.of(workspace)

    @classmethod
    def of(cls, workspace: Workspace) -> App:
        """Bind the use cases to a workspace."""
        lab = Lab(workspace)
        gate = Gate(workspace)
        return cls(
            workspace=workspace,
            data=DataRoom(workspace),
            contracts=ContractRoom(workspace),
            snapshots=SnapshotRoom(workspace),
            privacy=PrivacyRoom(workspace),
            features=FeatureRoom(workspace),
            online=OnlineRoom(workspace),
            lab=lab,
            compare=CompareRoom(workspace, lab),
            versions=VersionRoom(workspace, lab),
            tune=TuneRoom(workspace),
            runs=RunRoom(workspace),
            gate=gate,
            policies=PolicyRoom(workspace, gate),
            traffic=Traffic(workspace),
            rollouts=RolloutRoom(workspace),
            watch=Watch(workspace, lab),
            governance=Governance.of(workspace),
            evidence=EvidenceRoom(workspace),
        )

    def acting_as(self, actor: str, *, token: str = "") -> App:
        """Return the same project used by another principal."""
        at = self.workspace
        return App.open(at.root, clock=at.clock, actor=actor, token=token, progress=at.progress)

    def close(self) -> None:
        """Release files and connections."""
        self.online.close()
        self.workspace.close()
