"""Searching for parameters, and looking at what was tried: history, importance, slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.tracking import sync_patiently
from keelway.app.wire import Workspace
from keelway.core import Scalar
from keelway.errors import KeelwayError, MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.flow import StepEvent
    from keelway.project import Model
    from keelway.train.tuning import Tuning, TuningTrial

SEED = 0  # of the forest that tells what parameters are worth


@dataclass(frozen=True, slots=True)
class TuningView:
    """The newest search for the parameters of one estimator.

    Attributes:
        finished: What ended it, or empty while it goes on or waits to be carried on.
        parameters: The best so far; empty before any trial is complete.
        value: The metric with them.
        trials: Every trial, in order.
        importances: What the parameters are worth, in sum 1; empty of too few trials, or of another space than is
            declared now.
    """

    model: str
    estimator: str
    study: str
    metric: str
    larger_is_better: bool
    finished: str
    parameters: dict[str, Scalar]
    value: float | None
    trials: tuple[TuningTrial, ...]
    importances: dict[str, float]


class TuneRoom:
    """Use cases of those who search for parameters."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def run(
        self,
        model: str | None = None,
        *,
        estimators: Sequence[str] = (),
        trials: int = 0,
        timeout_s: float = 0.0,
        seed: int = 0,
    ) -> list[Tuning]:
        """Search for the best parameters, or carry on with what was interrupted.

        Args:
            model: The model, the only one where none is named.
            estimators: Only these; all that declare a space without.
            trials: How many trials; 0 for as many as are declared. More than before carry on with the same study.
            timeout_s: For how many seconds; 0 for as long as is declared.
            seed: The seed of everything random; `keelway run` trains with what was found under its own seed.

        Raises:
            UsageError: The model declares no search.
            StepError: A step failed, for example because no trial came to an end.
        """
        from keelway.flow import run_plan, tune_plan
        from keelway.train.tuning import Tuning

        at = self._at
        plan = tune_plan(self._model(model), at.project, estimators=estimators, trials=trials, timeout_s=timeout_s)
        try:
            run = run_plan(
                plan, context=at.context(seed=seed), workers=at.settings.engines.workers, on_event=self._tell
            )
        except KeelwayError:
            sync_patiently(at)  # trials of a search that failed are runs like any other
            raise
        sync_patiently(at)
        with at.state.snapshot() as tx:
            return [tx.by_digest(Tuning, run.outputs[name]) for name in run.outputs if name.startswith("tune:")]

    def show(self, model: str | None = None, *, estimator: str = "") -> list[TuningView]:
        """Return the newest search of each estimator of a model, finished or not.

        Raises:
            MissingRecordError: Nothing was searched yet.
        """
        declared = self._model(model)
        names = (estimator,) if estimator else tuple(each.name for each in declared.estimators)
        found = [view for name in names if (view := self._view(declared, name)) is not None]
        if not found:
            raise MissingRecordError(
                f"Nothing was searched for {declared.name!r} yet",
                expected="a study of one of its estimators",
                found="none",
                fix=f"Run: keelway tune {declared.name}",
            )
        return found

    def plots(self, view: TuningView, folder: Path) -> list[Path]:
        """Write the plots of a search as SVG: its history, importance and a slice for each parameter.

        Raises:
            TrainingError: No trial is complete.
        """
        from keelway.train.tuning import history_plot, parameter_plot, slice_plot

        title = f"{view.model} {view.estimator}"
        made = {
            "history": history_plot(
                view.trials, metric=view.metric, larger_is_better=view.larger_is_better, title=f"{title}: search"
            )
        }
        if view.importances:
            made["importance"] = parameter_plot(view.importances, title=f"{title}: what the parameters are worth")
            space: Any = self._space(self._model(view.model), view.estimator)
            made |= {
                f"slice-{name}": slice_plot(view.trials, name, space[name], metric=view.metric)
                for name in sorted(space)
            }
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, svg in made.items():
            path = folder / f"{view.model}-{view.estimator}-{name}.svg"
            path.write_text(svg, "utf8")
            written.append(path)
        return written

    def _view(self, model: Model, estimator: str) -> TuningView | None:
        """Return the newest search of an estimator: one that is not finished counts as newer."""
        from keelway.evaluate import greater_is_better
        from keelway.train.tuning import Tuning, best_of, metric_of, trials_of

        at = self._at
        with at.state.snapshot() as tx:
            tunings = [each for each in tx.newest(Tuning, parent=model.name) if each.estimator == estimator]
        study = at.studies.newest(f"{model.name}/{estimator}/") or (tunings[0].study if tunings else "")
        if not study:
            return None
        done = next((each for each in tunings if each.study == study), None)
        trials = trials_of(done, at.artifacts) if done is not None else tuple(at.studies.trials(study))
        metric = done.metric if done is not None else metric_of(model, model.search) if model.search else ""
        upwards = done.larger_is_better if done is not None else greater_is_better(metric)
        best = best_of(trials, larger_is_better=upwards)
        return TuningView(
            model=model.name,
            estimator=estimator,
            study=study,
            metric=metric,
            larger_is_better=upwards,
            finished=done.ended if done is not None else "",
            parameters=best.parameters if best is not None else {},
            value=best.value if best is not None else None,
            trials=trials,
            importances=self._importances(model, estimator, trials),
        )

    def _importances(self, model: Model, estimator: str, trials: Sequence[TuningTrial]) -> dict[str, float]:
        from keelway.train.tuning import within

        space = self._space(model, estimator)
        complete = [trial for trial in trials if trial.value is not None]
        same = all(
            trial.parameters.keys() == space.keys()
            and all(within(value, space[name]) for name, value in trial.parameters.items())
            for trial in complete
        )
        return self._at.studies.importances(space, complete, seed=SEED) if complete and same else {}

    def _space(self, model: Model, estimator: str) -> dict[str, Any]:
        from keelway.project import Estimator

        declared = model.estimator(estimator)
        return dict(declared.space) if isinstance(declared, Estimator) else {}

    def _model(self, name: str | None) -> Model:
        project = self._at.project
        if name is None and len(project.models) > 1:
            raise UsageError("Which model?", expected=", ".join(item.name for item in project.models), found="none")
        return project.model(name) if name else project.models[0]

    def _tell(self, event: StepEvent) -> None:
        spent = f" {event.seconds:.1f} s" if event.seconds else ""
        self._at.progress(f"{event.step:<28} {event.kind}{spent}{': ' + event.detail if event.detail else ''}")
