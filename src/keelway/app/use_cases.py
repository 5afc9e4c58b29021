"""`App`: the use cases of one project, grouped as the lifecycle groups them. Every surface calls these and nothing below.

app = App.open("churn", actor="user:ana")
app.data.ingest()
view = app.lab.run("churn")
app.gate.request("churn:1", "prod", comment="better on every slice")

A group is made, and loaded, when it is first asked for: a command pays for its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace, silent
from keelway.core import Clock, SystemClock

if TYPE_CHECKING:
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


class App:
    """One project, ready to be used by one principal.

    Attributes:
        workspace: The project bound to its engines.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

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
        return cls(workspace)

    @functools.cached_property
    def data(self) -> DataRoom:
        """Ingest, check, quarantine."""
        from keelway.app.data import DataRoom

        return DataRoom(self.workspace)

    @functools.cached_property
    def contracts(self) -> ContractRoom:
        """Lint, compare and accept contracts; what a change reaches."""
        from keelway.app.contracts import ContractRoom

        return ContractRoom(self.workspace)

    @functools.cached_property
    def snapshots(self) -> SnapshotRoom:
        """List, show, compare, tag, compact, vacuum."""
        from keelway.app.snapshots import SnapshotRoom

        return SnapshotRoom(self.workspace)

    @functools.cached_property
    def privacy(self) -> PrivacyRoom:
        """Keys, erasure, retention."""
        from keelway.app.privacy import PrivacyRoom

        return PrivacyRoom(self.workspace)

    @functools.cached_property
    def features(self) -> FeatureRoom:
        """The SQL of feature sets; proposals."""
        from keelway.app.features import FeatureRoom

        return FeatureRoom(self.workspace)

    @functools.cached_property
    def online(self) -> OnlineRoom:
        """Features that are served; parity, poison and leakage tests."""
        from keelway.app.online import OnlineRoom

        return OnlineRoom(self.workspace)

    @functools.cached_property
    def lab(self) -> Lab:
        """Run, look at models."""
        from keelway.app.lab import Lab

        return Lab(self.workspace)

    @functools.cached_property
    def compare(self) -> CompareRoom:
        """Compare models on the same rows."""
        from keelway.app.compare import CompareRoom

        return CompareRoom(self.workspace, self.lab)

    @functools.cached_property
    def versions(self) -> VersionRoom:
        """Signed folders, cards, bills of materials, deprecation and retirement of model versions; registries; collection."""
        from keelway.app.versions import VersionRoom

        return VersionRoom(self.workspace, self.lab)

    @functools.cached_property
    def tune(self) -> TuneRoom:
        """Search for parameters, and look at searches."""
        from keelway.app.tune import TuneRoom

        return TuneRoom(self.workspace)

    @functools.cached_property
    def runs(self) -> RunRoom:
        """List, compare, mirror and reproduce runs; notebooks."""
        from keelway.app.runs import RunRoom

        return RunRoom(self.workspace)

    @functools.cached_property
    def gate(self) -> Gate:
        """Request, approve, reject, promote; checklists, delegations."""
        from keelway.app.gate import Gate

        return Gate(self.workspace)

    @functools.cached_property
    def policies(self) -> PolicyRoom:
        """Check, test, explain and replay policies."""
        from keelway.app.policies import PolicyRoom

        return PolicyRoom(self.workspace, self.gate)

    @functools.cached_property
    def traffic(self) -> Traffic:
        """Deploy at once, roll back, serve, score."""
        from keelway.app.traffic import Traffic

        return Traffic(self.workspace)

    @functools.cached_property
    def rollouts(self) -> RolloutRoom:
        """Plan, begin, look at and steer rollouts."""
        from keelway.app.rollouts import RolloutRoom

        return RolloutRoom(self.workspace)

    @functools.cached_property
    def watch(self) -> Watch:
        """Outcomes, monitoring, retraining."""
        from keelway.app.watch import Watch

        return Watch(self.workspace, self.lab)

    @functools.cached_property
    def governance(self) -> Governance:
        """Risk, incidents and drills, reports."""
        from keelway.app.governance import Governance

        return Governance.of(self.workspace)

    @functools.cached_property
    def evidence(self) -> EvidenceRoom:
        """Prove, audit, status, doctor."""
        from keelway.app.evidence import EvidenceRoom

        return EvidenceRoom(self.workspace)

    def acting_as(self, actor: str, *, token: str = "") -> App:
        """Return the same project used by another principal."""
        at = self.workspace
        return App.open(at.root, clock=at.clock, actor=actor, token=token, progress=at.progress)

    def close(self) -> None:
        """Release files and connections."""
        if "online" in self.__dict__:
            self.online.close()
        self.workspace.close()
