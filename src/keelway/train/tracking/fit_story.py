"""One fit as it is recorded: what was fitted with what, what was warned of, how it ended and how well it fits."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from keelway.train.tracking.active import ActiveRun

MOST_FEATURES = 500
MOST_SCORED_CELLS = 20_000_000
"""Above so many values the training score is not computed: it would cost as much as the fit."""
MOST_PARAMETERS = 200
_LOG = logging.getLogger("keelway.autolog")


class FitStory:
    """The record of one fit, from its begin to its end.

    Args:
        estimator: What is fitted.
        run: Its run, open.
        inputs: The first argument of the fit.
        outputs: The second one, or None.
        weights: Sample weights, or None.
    """

    def __init__(self, estimator: Any, run: ActiveRun, *, inputs: Any, outputs: Any, weights: Any) -> None:
        self.name = type(estimator).__name__
        self._estimator = estimator
        self._run = run
        self._inputs = inputs
        self._outputs = outputs
        self._weights = weights
        self._warned: list[str] = []
        self._show_before = warnings.showwarning
        self._show = self._noting(self._show_before)
        warnings.showwarning = self._show  # catch_warnings would hide from the user what is noted here

    @classmethod
    def begin(
        cls,
        estimator: Any,
        arguments: Sequence[Any],
        named: Mapping[str, Any],
        *,
        open_run: Callable[[str, str], ActiveRun],
    ) -> FitStory:
        """Open the run of a fit and keep what it is given."""
        kind = type(estimator)
        inputs = arguments[0] if arguments else named.get("X")
        outputs = arguments[1] if len(arguments) > 1 else named.get("y")
        with _nothing_random_moved():
            run = open_run(kind.__name__, kind.__name__)
            story = cls(estimator, run, inputs=inputs, outputs=outputs, weights=named.get("sample_weight"))
            story._try(story._parameters)
        return story

    def end(self, error: BaseException | None) -> None:
        """Keep how the fit ended, and close its run."""
        if warnings.showwarning is self._show:
            warnings.showwarning = self._show_before
        run = self._run
        try:
            with _nothing_random_moved():
                for text in dict.fromkeys(self._warned):
                    run.warn(text)
                if error is None:
                    for tell in (self._columns, self._history, self._best, self._data, self._score):
                        self._try(tell)
        finally:
            if error is None:
                run.close()
            else:
                run.close(status="failed", error=f"{type(error).__name__}: {error}"[:2000])

    def _try(self, tell: Callable[[], None]) -> None:
        """Keep one thing; what cannot be told about an unusual estimator is left out, and the run says so."""
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - estimators are other people's code, and their fit is over already
            self._run.warn(f"not recorded: {tell.__name__.strip('_')} ({type(error).__name__}: {error})"[:500])

    def _parameters(self) -> None:
        kind = type(self._estimator)
        values = self._estimator.get_params(deep=True) if hasattr(self._estimator, "get_params") else {}
        simple = {name: _shown(value) for name, value in sorted(values.items())[:MOST_PARAMETERS]}
        self._run.parameters({"estimator_class": f"{kind.__module__}.{kind.__qualname__}", **simple})
        self._run.flush()  # a fit that is killed is found with what it was given

    def _columns(self) -> None:
        names = getattr(self._inputs, "columns", None)
        shape: tuple[int, ...] = getattr(self._inputs, "shape", ())
        if names is not None:
            self._run.tag("features", ", ".join(str(name) for name in list(names)[:MOST_FEATURES]))
        if len(shape) == 2:
            self._run.log({"train_rows": shape[0], "train_columns": shape[1]})

    def _history(self) -> None:
        """Keep the course of boosting, as LightGBM and XGBoost tell it when they are given sets to watch."""
        results = getattr(self._estimator, "evals_result_", None)
        if results is None and type(self._estimator).__module__.startswith("xgboost"):
            results = getattr(self._estimator, "evals_result", dict)() if _watched(self._estimator) else {}
        for watched, figures in (results or {}).items():
            for name, values in figures.items():
                for step, value in enumerate(values):
                    self._run.log(f"{watched}_{name}", value, step=step)

    def _best(self) -> None:
        """Keep what a search chose."""
        if hasattr(self._estimator, "best_params_"):
            chosen = self._estimator.best_params_.items()
            self._run.parameters({f"best_{name}": _shown(value) for name, value in chosen})
        if hasattr(self._estimator, "best_score_") and isinstance(self._estimator.best_score_, float):
            self._run.log("best_cv_score", self._estimator.best_score_)

    def _data(self) -> None:
        if self._inputs is not None:
            self._run.data(self._inputs, self._outputs)

    def _score(self) -> None:
        """Measure the fit on its own rows: accuracy of a classifier, R2 of a regressor."""
        shape = getattr(self._inputs, "shape", None)
        if self._outputs is None or shape is None or not hasattr(self._estimator, "score"):
            return
        if shape[0] * (shape[1] if len(shape) > 1 else 1) > MOST_SCORED_CELLS:
            self._run.warn("not recorded: score (too many rows to score again)")
            return
        weights = {} if self._weights is None else {"sample_weight": self._weights}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._run.log("train_score", self._estimator.score(self._inputs, self._outputs, **weights))

    def _noting(self, show: Callable[..., Any]) -> Callable[..., Any]:
        def noting(message: Any, category: Any, *rest: Any, **named: Any) -> Any:
            self._warned.append(f"{category.__name__}: {message}"[:500])
            return show(message, category, *rest, **named)

        return noting


def _watched(estimator: Any) -> bool:
    try:
        return bool(estimator.evals_result())
    except Exception:  # noqa: BLE001 - xgboost raises where no set was watched
        return False


def _shown(value: object) -> object:
    """Return a parameter as it is shown: simple values as they are, an estimator by its class."""
    if hasattr(value, "get_params"):
        return type(value).__name__
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)[:500]


@contextmanager
def _nothing_random_moved() -> Iterator[None]:
    """Leave the state of random numbers as it was found, so that no later draw of the user's differs."""
    import random

    numpy_random = sys.modules.get("numpy.random")
    kept, kept_numpy = random.getstate(), numpy_random.get_state() if numpy_random else None
    try:
        yield
    finally:
        random.setstate(kept)
        if numpy_random is not None:
            numpy_random.set_state(kept_numpy)
