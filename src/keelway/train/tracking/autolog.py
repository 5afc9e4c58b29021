"""Record every fit of scikit-learn, LightGBM and XGBoost while it is on, and change nothing about it.

    keelway.autolog()                     # on, until keelway.autolog(on=False)
    with keelway.autolog():               # on inside the block
        LogisticRegression().fit(x, y)    # one run: class, parameters, training score, duration, columns, warnings

All three derive their estimators from scikit-learn's base class; `fit` is wrapped on each of those classes that defines
one, those that are made or imported later included. A fit inside a fit (a pipeline's steps, a grid's candidates) belongs
to the outer one. What goes wrong in here is logged and never leaves: the fit ends as it would without.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import logging
import multiprocessing.dummy
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType
from typing import Any, Self

from keelway.train.tracking.active import ActiveRun
from keelway.train.tracking.fit_story import FitStory

BASE_MODULE = "sklearn.base"
OpenFitRun = Callable[[str, str], ActiveRun]
"""Opens the run of a fit, given its name and the class of the estimator."""

_LOG = logging.getLogger("keelway.autolog")
_ORIGINAL = "__keelway_original_fit__"
_lock = threading.RLock()
_inside = threading.local()
_running = 0  # fits going on in this process, whatever the thread
_switched_on: list[OpenFitRun] = []
_importer: _BaseImporter | None = None


class Autolog:
    """The switch that `keelway.autolog` returns: on already, and off at the end of a `with` block."""

    def __init__(self, open_run: OpenFitRun) -> None:
        self._open_run = open_run
        with _lock:
            _switched_on.append(open_run)
            if len(_switched_on) == 1:
                _patch()

    def off(self) -> None:
        """Switch it off; a second time does nothing."""
        with _lock:
            if self._open_run in _switched_on:
                _switched_on.remove(self._open_run)
                if not _switched_on:
                    _unpatch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.off()


def autolog_off() -> None:
    """Switch every autologging of this process off."""
    with _lock:
        if _switched_on:
            _switched_on.clear()
            _unpatch()


def _patch() -> None:
    global _importer  # noqa: PLW0603 - one hook for the process, removed again
    base = sys.modules.get(BASE_MODULE)
    if base is not None and hasattr(base, "BaseEstimator"):
        _patch_base(base)
    else:
        _importer = _BaseImporter()
        sys.meta_path.insert(0, _importer)


def _unpatch() -> None:
    global _importer  # noqa: PLW0603
    if _importer is not None:
        sys.meta_path.remove(_importer)
        _importer = None
    base = sys.modules.get(BASE_MODULE)
    if base is None or "__init_subclass__" not in vars(base.BaseEstimator):
        return
    del base.BaseEstimator.__init_subclass__
    for each in _estimators(base.BaseEstimator):
        wrapped = vars(each).get("fit")
        if (original := getattr(wrapped, _ORIGINAL, None)) is not None:
            each.fit = original


def _patch_base(base: ModuleType) -> None:
    """Wrap `fit` on every estimator there is, and on those to come."""
    estimator: Any = base.BaseEstimator

    def adopt(cls: Any, /, **arguments: Any) -> None:
        super(estimator, cls).__init_subclass__(**arguments)
        _wrap(cls)

    estimator.__init_subclass__ = classmethod(adopt)
    for each in _estimators(estimator):
        _wrap(each)


def _estimators(base: Any) -> list[Any]:
    found, waiting = [], [base]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += each.__subclasses__()
    return list(dict.fromkeys(found))


def _wrap(cls: Any) -> None:
    original = vars(cls).get("fit")
    if not callable(original) or hasattr(original, _ORIGINAL) or isinstance(original, (staticmethod, classmethod)):
        return

    @functools.wraps(original)
    def fit(self: Any, *arguments: Any, **named: Any) -> Any:
        story = _begun(self, arguments, named)
        if story is None:
            return original(self, *arguments, **named)
        try:
            fitted = original(self, *arguments, **named)
        except BaseException as error:
            _leave(story, error)
            raise
        _leave(story, None)
        return fitted

    setattr(fit, _ORIGINAL, original)
    cls.fit = fit


def _begun(estimator: Any, arguments: Sequence[Any], named: dict[str, Any]) -> FitStory | None:
    """Return the story of an outermost fit of something that predicts, else None."""
    global _running  # noqa: PLW0603
    depth = getattr(_inside, "depth", 0)
    # joblib's threads work for the fit that started them; a thread of the user's own starts a fit of its own.
    helper = _running > 0 and isinstance(threading.current_thread(), multiprocessing.dummy.DummyProcess)
    if depth or helper or not _switched_on:
        return None
    try:
        if not hasattr(estimator, "predict"):
            return None
        story = FitStory.begin(estimator, arguments, named, open_run=_switched_on[-1])
    except Exception:  # noqa: BLE001 - the edge to the user's fit: whatever is wrong in here is not theirs
        _LOG.warning("a fit of %s is not recorded", type(estimator).__name__, exc_info=True)
        return None
    with _lock:
        _inside.depth = 1
        _running += 1
    return story


def _leave(story: FitStory, error: BaseException | None) -> None:
    global _running  # noqa: PLW0603
    try:
        story.end(error)
    except Exception:  # noqa: BLE001 - the edge to the user's fit
        _LOG.warning("a fit of %s is recorded in part", story.name, exc_info=True)
    finally:
        with _lock:
            _inside.depth = 0
            _running -= 1


class _BaseImporter(importlib.abc.MetaPathFinder):
    """Waits for scikit-learn's base module to be imported, and wraps its estimators then."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != BASE_MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _BaseLoader(spec.loader)
        return spec


class _BaseLoader(importlib.abc.Loader):
    """Loads a module as its own loader does, and wraps its estimators then."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._inner
        with _lock:
            if _switched_on:
                _patch_base(module)
