"""Studies in a SQLite file, by Optuna: proposals, pruning, and what was tried.

The file stands beside the state database and is not the same one, for three reasons: Optuna brings tables and an
`alembic_version` of its own, which clash with those of the state; it commits after every value, and would hold the
one write lock that decisions wait for; and a lost study costs time, while a lost decision costs the proof, so that only
one of them has to wait for the disk. What a search came to is a record in the state.

    studies = OptunaStudies(Path(".keelway/studies.db"))
    with studies.open(terms) as study:
        while (asked := study.ask(lambda trials: len(trials) < 20)) is not None: ...

In write-ahead mode with `synchronous = NORMAL`, `kill -9` loses nothing that was told; a power cut may lose the last trials.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keelway.engines.optuna.terms import AGAIN, ENDED, ERROR, WORKER, distributions, pruner, sampler, tuning_trial
from keelway.engines.optuna.workers import Workers
from keelway.errors import EngineError, MissingExtraError, StorageError
from keelway.train.tuning import UNCOUNTED, Asked, StudyTerms, TuningTrial

if TYPE_CHECKING:
    import optuna

    from keelway.train.tuning import Space, Studies, Study

BUSY_TIMEOUT_S = 60
MAX_ERROR = 2000  # characters


class OptunaStudies:
    """Studies in one file; several workers of this machine may use it at once.

    Args:
        path: The SQLite file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def open(self, terms: StudyTerms) -> Iterator[OptunaStudy]:
        """Open a study as one worker; a new one where there is none of that name."""
        workers = Workers(self._path)
        with workers.joined() as me, self._storage(workers) as storage:
            with workers.turn(), _translated():
                study = _created(storage, terms)
            yield OptunaStudy(study, terms, workers=workers, me=me)

    def trials(self, name: str) -> Sequence[TuningTrial]:
        """Return the trials of a study, in order; none where there is no such study."""
        if not self._path.exists():
            return ()
        with self._storage(Workers(self._path)) as storage, _translated():
            import optuna

            try:
                study = optuna.load_study(study_name=name, storage=storage)
            except KeyError:
                return ()
            return tuple(tuning_trial(trial) for trial in _begun(study))

    def newest(self, prefix: str) -> str:
        """Return the name of the study that was made last, of those whose name starts so; empty where there is none."""
        if not self._path.exists():
            return ""
        with self._storage(Workers(self._path)) as storage, _translated():
            found = [study for study in storage.get_all_studies() if study.study_name.startswith(prefix)]
        return max(found, key=lambda study: study._study_id).study_name if found else ""

    def importances(self, space: Space, trials: Sequence[TuningTrial], *, seed: int) -> dict[str, float]:
        """Return what each parameter's choice is worth by fANOVA (Hutter et al. 2014), most first."""
        _optuna()
        import optuna
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        complete = [trial for trial in trials if trial.value is not None]
        if len({trial.value for trial in complete}) < 2:
            return {}
        with _translated():
            known = distributions(space)
            study = optuna.create_study()
            study.add_trials(
                optuna.trial.create_trial(params=dict(each.parameters), distributions=known, value=each.value)
                for each in complete
            )
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
        return {name: float(share) for name, share in found.items()}

    @contextmanager
    def _storage(self, workers: Workers) -> Iterator[optuna.storages.RDBStorage]:
        """Yield the file as Optuna's storage; tables are made by one process at a time."""
        _optuna()
        from optuna.storages import RDBStorage
        from sqlalchemy import event

        with workers.turn(), _translated():
            _make_writeahead(self._path)
            storage = RDBStorage(f"sqlite:///{self._path}", engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
            storage.engine.dispose()  # the connections that made the tables wait for the disk at every commit
            event.listen(storage.engine, "connect", _not_waiting)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


class OptunaStudy:
    """One worker's hand on a study.

    Args:
        study: Optuna's.
        terms: What decides which parameters it proposes.
        workers: Who else works on it.
        me: The name of this worker.
    """

    def __init__(self, study: optuna.Study, terms: StudyTerms, *, workers: Workers, me: str) -> None:
        self._study = study
        self._terms = terms
        self._workers = workers
        self._me = me
        self._space = distributions(terms.space)
        self._open: dict[int, optuna.Trial] = {}
        self._ended: dict[int, TuningTrial] = {}

    def ask(self, wanted: Callable[[Sequence[TuningTrial]], bool]) -> Asked | None:
        """Begin a trial, or return None where no more is wanted."""
        with self._workers.turn(), _translated():
            self._give_up_dead()
            trials = self.trials()
            if not wanted(trials):
                return None
            index = sum(trial.status not in UNCOUNTED for trial in trials)
            self._study.sampler = sampler(self._terms, index)
            trial = self._study.ask(fixed_distributions=self._space)
            trial.set_user_attr(WORKER, self._me)
        self._open[trial.number] = trial
        return Asked(trial.number, dict(trial.params))

    def report(self, number: int, means: Sequence[float]) -> bool:
        """Tell the newest mean, and return whether the trial should be pruned."""
        with _translated():
            self._open[number].report(means[-1], step=len(means))
            return self._open[number].should_prune()

    def tell(
        self,
        number: int,
        status: Literal["complete", "pruned", "failed", "stopped"],
        value: float | None = None,
        error: str = "",
    ) -> None:
        """End a trial that this worker began."""
        trial = self._open.pop(number)
        with _translated():
            if error:
                trial.set_user_attr(ERROR, error[:MAX_ERROR])
            if status == "stopped":
                trial.set_user_attr(ENDED, status)
            self._end(trial, status, value)

    def trials(self) -> Sequence[TuningTrial]:
        """Return all trials that were begun, in order."""
        with _translated():
            found = [self._ended.get(trial.number) or tuning_trial(trial) for trial in _begun(self._study)]
        self._ended |= {trial.number: trial for trial in found if trial.status != "running"}
        return found

    def _end(self, trial: optuna.Trial | int, status: str, value: float | None = None) -> None:
        from optuna.trial import TrialState

        if status == "complete":
            self._study.tell(trial, value)
        elif status == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _give_up_dead(self) -> None:
        """Mark the trials of dead workers as stale, and let their parameters be tried next; under the turn."""
        from optuna.trial import TrialState

        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        dead = [trial for trial in running if self._is_dead(trial)]
        if not dead:
            return
        again = {trial.user_attrs.get(AGAIN) for trial in self._study.get_trials(deepcopy=False)}
        for trial in dead:
            # First the new one, then the end of the old one: a crash between both is mended by doing it again.
            if trial.number not in again and len(trial.params) == len(self._space):
                self._study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})
            self._study._storage.set_trial_user_attr(trial._trial_id, ENDED, "stale")
            self._end(trial.number, "stale")

    def _is_dead(self, trial: optuna.trial.FrozenTrial) -> bool:
        worker = trial.user_attrs.get(WORKER, "")
        return worker != self._me and self._workers.is_dead(worker)


def _created(storage: optuna.storages.RDBStorage, terms: StudyTerms) -> optuna.Study:
    """Return the study of that name; a new one begins with the parameters that are declared."""
    import optuna

    study = optuna.create_study(
        study_name=terms.name,
        storage=storage,
        direction="maximize" if terms.larger_is_better else "minimize",
        pruner=pruner(terms),
        load_if_exists=True,
    )
    if terms.start and not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(terms.start))
    return study


def _begun(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a study that do not wait any more, in order."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]


def _optuna() -> None:
    """Import Optuna and keep it from telling of every trial.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise MissingExtraError(
            "Tuning needs one more package",
            expected="optuna",
            found="it is not installed",
            fix="pip install 'keelway[tuning]'",
        ) from error
    if optuna.logging.get_verbosity() == optuna.logging.INFO:
        optuna.logging.set_verbosity(optuna.logging.WARNING)


def _make_writeahead(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _not_waiting(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of Optuna and its database into Keelway's."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, OSError) as error:
        raise _broken(error) from error
    except OptunaError as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            raise _broken(error.__cause__) from error
        raise EngineError("Optuna failed", found=f"{type(error).__name__}: {error}") from error


def _broken(error: Exception) -> StorageError:
    return StorageError(
        "The database of studies cannot be used",
        found=str(error).splitlines()[0],
        fix="Free some space, or move studies.db away: a search then begins anew.",
    )


if TYPE_CHECKING:
    _studies: Studies = OptunaStudies(Path())
    _study: Study = OptunaStudy(None, None, workers=None, me="")  # type: ignore[arg-type]
