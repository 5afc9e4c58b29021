"""All choosing of engines in one place: from settings to the ports that the slices ask for.

A port is made when it is first used, so a command pays only for the engines it needs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.publishing import publish_when_due
from keelway.app.safe import Safe
from keelway.app.settings import Settings, find_root, read_settings
from keelway.app.settings_environment import EnvironmentSettings
from keelway.app.signing import Signing
from keelway.core import Clock, CodeState, PrincipalId
from keelway.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from keelway.contract import Checker
    from keelway.deploy import ServingTarget
    from keelway.engines.local.packing import PackingProcess
    from keelway.flow import Context
    from keelway.identity import Directory, Principal
    from keelway.ingest import ObjectSource
    from keelway.ledger import StateStore
    from keelway.privacy import PersonalData, SealedArtifacts
    from keelway.project import Project
    from keelway.promote import PolicyLab
    from keelway.serve import Journals
    from keelway.snapshot import TableStore
    from keelway.train import Tracker
    from keelway.train.tuning import Studies


STUDIES = ".keelway/studies.db"
"""Where parameters that were tried are kept, where the state is no file."""


LOCAL = "local"
"""The environment in which people move pointers themselves."""


def silent(line: str) -> None:
    """Take a line of progress and tell nobody."""


class Workspace:
    """One project bound to its engines, a clock and an actor.

    Args:
        root: The project's folder.
        settings: What `keelway.toml` says.
        clock: Tells the time.
        actor: Who acts; empty takes the project's default.
        token: A secret reference to the actor's token.
        progress: Called with one line whenever long work moves on.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        clock: Clock,
        actor: str = "",
        token: str = "",
        progress: Callable[[str], None] = silent,
    ) -> None:
        self.root = root
        self.settings = settings
        self.clock = clock
        self.progress = progress
        self._actor = actor or settings.project.actor
        self._token = token
        self._entries: int | None = None

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        clock: Clock,
        actor: str = "",
        token: str = "",
        progress: Callable[[str], None] = silent,
    ) -> Workspace:
        """Open the project at or above a folder.

        Raises:
            ProjectError: There is none.
            SettingsError: Its `keelway.toml` is wrong.
        """
        root = find_root(Path(folder))
        return cls(root, read_settings(root), clock=clock, actor=actor, token=token, progress=progress)

    def now(self) -> datetime:
        """Return the present moment by the workspace's clock."""
        return self.clock.now()

    @functools.cached_property
    def state(self) -> StateStore:
        """The state database."""
        from keelway.engines.sql import SqlState
        from keelway.identity import resolve_secret

        engines = self.settings.engines
        password = resolve_secret(engines.state_password, root=self.root) if engines.state_password else ""
        state = SqlState(database_url(engines.state, root=self.root), password=password)
        if self.settings.signing.publish_every:
            with state.snapshot() as tx:
                self._entries = tx.log.size()
        return state

    @functools.cached_property
    def safe(self) -> Safe:
        """The keys of the project, and the stores that need them."""
        return Safe(self.root, self.settings)

    @property
    def artifacts(self) -> SealedArtifacts:
        """The artifact store; opens what is sealed, and seals nothing."""
        return self.safe.artifacts

    @property
    def personal(self) -> PersonalData:
        """What a dataset with personal data is brought in with: its artifact store seals what came in.

        Raises:
            SettingsError: The tenant's key is missing or is not the vault's.
        """
        return self.safe.personal

    @functools.cached_property
    def tables(self) -> TableStore:
        """The store of dataset tables."""
        from keelway.app.stores import table_store

        return table_store(self.settings.engines, root=self.root)

    @functools.cached_property
    def checker(self) -> Checker:
        """What checks rows against a contract."""
        from keelway.engines.local.checker import DuckDbChecker

        return DuckDbChecker()

    @functools.cached_property
    def source(self) -> ObjectSource:
        """The object store that raw files arrive in."""
        from keelway.app.stores import object_source

        return object_source(self.settings.engines, root=self.root)

    @functools.cached_property
    def journals(self) -> Journals:
        """Where serving processes write predictions before they are sealed."""
        from keelway.engines.local.journal import FileJournals

        return FileJournals(self.root / self.settings.engines.journals)

    @functools.cached_property
    def packing(self) -> PackingProcess:
        """What packs the journals of this process's servers."""
        from keelway.engines.local.packing import PackingProcess

        return PackingProcess()

    @functools.cached_property
    def tracker(self) -> Tracker:
        """Where runs are shown to people: MLflow, or nowhere."""
        if not self.settings.engines.tracking:
            from keelway.engines.local.tracker import NoTracker

            return NoTracker()
        from keelway.engines.local.tracker import PatientTracker
        from keelway.engines.mlflow import MlflowTracker

        return PatientTracker(MlflowTracker(database_url(self.settings.engines.tracking, root=self.root)))

    @functools.cached_property
    def studies(self) -> Studies:
        """What searches for parameters; a file of this machine, beside the state where that is a file too."""
        from keelway.engines.optuna import OptunaStudies

        state = database_url(self.settings.engines.state, root=self.root)
        beside = Path(state.removeprefix("sqlite:///")) if state.startswith("sqlite:") else self.root / STUDIES
        return OptunaStudies(beside.with_name("studies.db"))

    @functools.cached_property
    def policy_engine(self) -> PolicyLab:
        """What evaluates policies."""
        from keelway.engines.rego import RegoEngine

        return RegoEngine()

    @functools.cached_property
    def signing(self) -> Signing:
        """The keys that the project signs with and is checked with."""
        return Signing(self.root, self.settings)

    def forget_keys(self) -> None:
        """Read the signing keys anew when they are next used: they were changed."""
        self.__dict__.pop("signing", None)

    @functools.cached_property
    def project(self) -> Project:
        """What the user declares."""
        from keelway.project import load_project

        return load_project(self.root, module=self.settings.project.module, source=self.settings.project.source)

    @functools.cached_property
    def code(self) -> CodeState:
        """The state of the user's code and of the installed packages."""
        from keelway.project import project_digest
        from keelway.train import code_state

        return code_state(self.root, project_digest(self.root, self.settings.project.source))

    @functools.cached_property
    def principal(self) -> Principal:
        """Who acts, authenticated.

        Raises:
            UsageError: Nobody was named.
            IdentityError: The principal is unknown or its token is missing or wrong.
        """
        from keelway.identity import authenticate, resolve_secret

        if not self._actor:
            raise UsageError(
                "Nobody acts",
                expected="a principal of keelway.toml",
                found="neither --as, KEELWAY_ACTOR nor project.actor",
                fix="Say who you are: --as user:NAME.",
            )
        token = resolve_secret(self._token, root=self.root) if self._token else os.environ.get("KEELWAY_TOKEN")
        return authenticate(PrincipalId(self._actor), token, directory=directory_of(self.settings))

    def environment(self, name: str) -> EnvironmentSettings:
        """Return the settings of an environment.

        Raises:
            SettingsError: `keelway.toml` does not know it.
        """
        try:
            return self.settings.environments[name]
        except KeyError:
            raise SettingsError(
                "Unknown environment",
                expected=", ".join(sorted(self.settings.environments)) or "an environment in keelway.toml",
                found=name,
                fix=f"Name one of these, or add [environments.{name}] to keelway.toml.",
            ) from None

    def target(self, environment: str) -> ServingTarget:
        """Return the place where the versions of an environment answer; there is one kind, `local`.

        Raises:
            SettingsError: `keelway.toml` does not know the environment.
        """
        from keelway.engines.local.serving_target import LocalTarget

        self.environment(environment)
        return LocalTarget(self.state, self.clock)

    def context(self, *, seed: int = 0) -> Context:
        """Return the ports as the steps of a plan see them."""
        from keelway.app.privacy import for_ingest
        from keelway.flow import Context
        from keelway.train.tracking import parent_run

        return Context(
            project=self.project,
            state=self.state,
            artifacts=self.artifacts,
            tables=self.tables,
            checker=self.checker,
            source=self.source,
            tracker=self.tracker,
            key=self.signing.key,
            policy_engine=self.policy_engine,
            now=self.now(),
            seed=seed,
            parent=parent_run(),
            principal=self.principal.id,
            code=self.code,
            root=self.root,
            progress=self.progress,
            personal=lambda: for_ingest(self),
            studies=self.studies,
        )

    def close(self) -> None:
        """Publish a checkpoint where one is due after what was written, and release what was opened."""
        try:
            if self._entries is not None:
                publish_when_due(self, since=self._entries)
        finally:
            if "packing" in self.__dict__:
                self.packing.close()
            if "state" in self.__dict__:
                self.state.close()
            self.safe.close()


def directory_of(settings: Settings) -> Directory:
    """Return everybody who may act."""
    from keelway.identity import Directory, Principal

    return Directory(
        tuple(
            Principal(PrincipalId(name), entry.roles, entry.token_sha256 or None, entry.disabled)
            for name, entry in sorted(settings.principals.items())
        )
    )


def database_url(url: str, *, root: Path) -> str:
    """Return a database URL in which a SQLite path is absolute; its folder is made."""
    if not url.startswith("sqlite:"):
        return url
    path = root / url.removeprefix("sqlite:").removeprefix("///")
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"
