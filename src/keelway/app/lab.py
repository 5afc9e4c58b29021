"""Running plans and looking at what they made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.app.tracking import sync_patiently
from keelway.app.wire import Workspace
from keelway.core import Digest, RunId, RunStarted, VersionName, is_digest, parse_json
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.app.competitors import Competitor
    from keelway.core import StepFinished
    from keelway.evaluate import Comparison, Scorecard
    from keelway.flow import RunView, StepEvent
    from keelway.register import ModelVersion


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One model version in a list, with the environments it is live in.

    Attributes:
        metric: What its figures are of: `roc_auc`, or what decides for a model that has none.
        value: On the test rows, with its 95 % interval from `low` to `high`.
        trivial: The same of the trivial rule, where there is one.
        because: Why it has its semantic version.
        state: `active`, `deprecated` or `retired`.
        successor: The version to use instead of one that is not active, where one was named.
    """

    name: VersionName
    semver: str
    estimator: str
    metric: str
    value: float
    low: float
    high: float
    trivial: float | None
    versus_champion: str
    admitted_to: tuple[str, ...]
    author: str
    created_at: datetime
    because: str = ""
    state: str = "active"
    successor: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A stored record, found by name or digest."""

    kind: str
    digest: Digest
    record: dict[str, Any]


def _in_words(comparison: Comparison | None) -> str:
    """Return a paired comparison as people say it."""
    from keelway.evaluate import in_words

    return "" if comparison is None else in_words(comparison)


class Lab:
    """Use cases of data scientists."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def run(
        self, model: str | None = None, *, seed: int = 0, resume: str | None = None, refresh: bool = False
    ) -> RunView:
        """Run the training plan of a model, or carry on with an interrupted run.

        The champion of the model (what is admitted last in the environment that needs most) takes part in the
        evaluation, so that the gate can compare.
        """
        from keelway.flow import run_plan, run_view, train_plan

        at = self._at
        context = at.context(seed=seed)
        plan = None if resume else train_plan(self._model(model), at.project, champion=self.champion(model))
        run = run_plan(
            plan,
            context=context,
            workers=at.settings.engines.workers,
            resume=RunId(resume) if resume else None,
            refresh=refresh,
            on_event=self._tell,
        )
        sync_patiently(at)
        with at.state.snapshot() as tx:
            return run_view(run.run_id, tx=tx)

    def step(self, run_id: str, step: str) -> StepFinished:
        """Execute one step of a stored run; idempotent."""
        from keelway.flow import execute_step

        return execute_step(RunId(run_id), step, context=self._at.context(), on_event=self._tell)

    def version_made_by(self, view: RunView) -> ModelVersion:
        """Return the model version that a run registered."""
        from keelway.register import ModelVersion

        registered = view.steps["register"]
        if registered is None:
            raise MissingRecordError(f"Run {view.started.run_id} registered nothing")
        with self._at.state.snapshot() as tx:
            return tx.by_digest(ModelVersion, registered.output)

    def candidates(self, view: RunView) -> tuple[Competitor, ...]:
        """Return the estimators that competed in a run, with what decided; none where there was nothing to choose."""
        from keelway.app.competitors import competitors_of

        with self._at.state.snapshot() as tx:
            return competitors_of(view, tx=tx)

    def because(self, version: ModelVersion) -> str:
        """Return why a version has its semantic version."""
        from keelway.register import proposal_of

        with self._at.state.snapshot() as tx:
            return proposal_of(version, tx=tx).reason

    def champion(self, model: str | None = None) -> VersionName | None:
        """Return the version of a model that serves in the last environment of the chain, or None."""
        from keelway.register import ModelVersion

        name = self._model(model).name
        environments = sorted(self._at.settings.environments, key=self._depth, reverse=True)
        with self._at.state.snapshot() as tx:
            for environment in environments:
                pointer = tx.pointer(f"environment/{environment}/{name}")
                if pointer is not None:
                    return tx.by_digest(ModelVersion, pointer.target).name
        return None

    def models(self, model: str | None = None) -> list[VersionLine]:
        """Return the model versions, newest first, with where they are admitted."""
        from keelway.evaluate import Scorecard
        from keelway.promote import admitted
        from keelway.register import ModelVersion, life_of, proposal_of

        with self._at.state.snapshot() as tx:
            lines = []
            for version in tx.newest(ModelVersion, parent=model):
                card = tx.by_digest(Scorecard, version.scorecard)
                metric = "roc_auc" if "roc_auc" in card.metrics else self._deciding(card)
                figure = card.metrics[metric]
                life = life_of(version.name, tx=tx)
                places = [name for name in self._at.settings.environments if admitted(version, name, tx)]
                lines.append(
                    VersionLine(
                        name=version.name,
                        semver=version.semver,
                        estimator=card.estimator,
                        metric=metric,
                        value=figure.value,
                        low=figure.low,
                        high=figure.high,
                        trivial=card.trivial[metric].value if metric in card.trivial else None,
                        versus_champion=_in_words(card.versus_champion),
                        admitted_to=tuple(places),
                        author=version.author,
                        created_at=version.created_at,
                        because=proposal_of(version, tx=tx).reason,
                        state=life.state if life else "active",
                        successor=(life.successor or "") if life else "",
                    )
                )
            return lines

    def _deciding(self, card: Scorecard) -> str:
        """Return the metric by which the models of a scorecard are compared."""
        declared = [name for each in self._at.project.models if each.name == card.model for name in each.metrics]
        return next(name for name in (*declared, *card.metrics) if name in card.metrics)

    def show(self, name: str) -> Shown:
        """Return any record by its digest (or the start of it) or name: `churn:2`, a run id, `transactions`.

        Raises:
            MissingRecordError: Nothing is called that.
        """
        with self._at.state.snapshot() as tx:
            digest = Digest(name) if is_digest(name) else self._digest_named(name, tx)
            found = tx.text_of(digest) if digest else None
        if digest is None or found is None:
            raise MissingRecordError(
                "Nothing is called that",
                expected="a model version, run id, dataset, or the digest of a record",
                found=repr(name),
                fix="List what there is: keelway models, keelway runs, keelway snapshots.",
            )
        return Shown(kind=found[0], digest=digest, record=parse_json(found[1].encode()))

    def _digest_named(self, name: str, tx: Any) -> Digest | None:
        from keelway.core import digest_of
        from keelway.flow import find_run
        from keelway.register import ModelVersion
        from keelway.snapshot import newest

        for look in (
            lambda: tx.find(ModelVersion, name),
            lambda: find_run(RunId(name), tx=tx) or tx.find(RunStarted, name),
            lambda: newest(name, tx=tx),
        ):
            record = look()
            if record is not None:
                return digest_of(record)
        return None

    def _depth(self, environment: str) -> int:
        """Return how many environments a version passes before this one."""
        after = self._at.settings.environments[environment].after
        return 1 + self._depth(after) if after else 0

    def _model(self, name: str | None) -> Any:
        """Return a declared model, the only one where none is named."""
        project = self._at.project
        if name is None and len(project.models) > 1:
            raise UsageError("Which model?", expected=", ".join(item.name for item in project.models))
        return project.model(name) if name else project.models[0]

    def _tell(self, event: StepEvent) -> None:
        spent = f" {event.seconds:.1f} s" if event.seconds else ""
        self._at.progress(f"{event.step:<28} {event.kind}{spent}{': ' + event.detail if event.detail else ''}")
