"""What explains the answers of a server's versions: their plans, or rows that they were trained on.

Rows of the training never leave the process: features of a request are put into them, and the version answers that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.app.serving import VersionSource, last_good
from keelway.app.training_rows import training_rows
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.serve import Explainers, LoadedVersion, RowExplainer

REFERENCE_ROWS = 100
"""Rows of the training that features are put into, at equal distances."""


def explainers_for(model: str, environment: str, *, at: Workspace) -> Explainers:
    """Return what explains the versions of a model; each is read when it is first asked about."""
    from keelway.serve import Explainers

    source = VersionSource(at, last_good(model, environment, at=at))
    return Explainers(lambda version: _explainer(version, source, at))


def _explainer(version: LoadedVersion, source: VersionSource, at: Workspace) -> RowExplainer:
    """Return what explains a version, exactly where that can be.

    Raises:
        NotImplementedError: Its answers are no sum, and no rows of its training are left.
        KeelwayError: Its record, its plan or the rows cannot be read now.
    """
    from keelway.register import PlanExplainer, read_plan
    from keelway.serve import SampledExplainer

    record = source.record(version.version, version.digest)
    plan = source.plan(record, version.digest)
    reason = record.no_plan or "it has no plan"
    if plan is not None:
        try:
            return PlanExplainer(read_plan(plan))
        except NotImplementedError as error:
            reason = str(error)
    try:
        rows = training_rows(record, at=at, limit=REFERENCE_ROWS, spread=True)
    except MissingRecordError as error:
        raise NotImplementedError(f"{reason}, and the rows of its training are gone") from error
    if not rows:
        raise NotImplementedError(f"{reason}, and there are no rows of its training")
    return SampledExplainer(version.scorer, rows)
