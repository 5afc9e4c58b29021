"""A version that is about to get traffic: which one is meant, and whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.app.wire import Workspace
from keelway.core import VersionName, digest_of
from keelway.errors import KeelwayError, MissingRecordError

if TYPE_CHECKING:
    from keelway.deploy import Smoke, SmokeResult
    from keelway.register import ModelVersion
    from keelway.serve import Scorer

SMOKE_ROWS = 50


def chosen_version(name: str, environment: str, *, at: Workspace) -> ModelVersion:
    """Return a version by name; for a model's name, the one the door let in last.

    Raises:
        MissingRecordError: There is no such version, or none was let in.
    """
    from keelway.promote import environment_pointer
    from keelway.register import ModelVersion, version_named

    with at.state.snapshot() as tx:
        if ":" in name:
            return version_named(VersionName(name), tx=tx)
        pointer = tx.pointer(environment_pointer(environment, name))
        if pointer is None:
            raise MissingRecordError(
                f"No version of {name} was let into {environment}",
                expected="one",
                found="none",
                fix=f"keelway promote {name} --to {environment}",
            )
        return tx.by_digest(ModelVersion, pointer.target)


def scorer_for(version: ModelVersion, at: Workspace) -> Scorer:
    """Load the form of a version that is served.

    Raises:
        IntegrityError: Its bytes or signature do not verify.
    """
    from keelway.register import load_scorer

    if version.served_form == "python":
        _ = at.project  # a stored pipeline may hold a class of the project's, which its module declares
    return load_scorer(version, artifacts=at.artifacts, public_key=at.signing.public_key)


def smoke_test(at: Workspace) -> Smoke:
    """Return what asks a version for answers to rows it was trained on and to a row of nothing but nulls."""

    def smoke(version: ModelVersion) -> SmokeResult:
        from keelway.deploy import SmokeResult
        from keelway.features import FeatureTable, columns_for_scoring, rows_of
        from keelway.serve import blank_row, strange_answers

        answers: list[Any] = []
        reasons: tuple[str, ...] = ()
        try:
            scorer = scorer_for(version, at)
            with at.state.snapshot() as tx:
                table = tx.by_digest(FeatureTable, version.feature_table)
            rows = rows_of(table, at.artifacts).slice(0, SMOKE_ROWS)
            columns = columns_for_scoring(rows, version.features)
            values = zip(*(columns[each.name] for each in version.features), strict=True)
            asked = [*(list(row) for row in values), blank_row(version.features)]
            answers = scorer.predictions(asked)
            reasons = strange_answers(answers, scorer.task, classes=len(scorer.classes))
        except KeelwayError as error:
            reasons = (str(error),)
        return SmokeResult(version.name, digest_of(version), not reasons, len(answers), reasons)

    return smoke
