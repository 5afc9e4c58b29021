"""The nouns and the words that every slice shares."""

from keelway.core.artifact import Artifact, ArtifactKind, ArtifactStore
from keelway.core.clock import Clock, SimulatedClock, SystemClock, in_utc, parse_duration, parse_time, time_text
from keelway.core.decision import Action, Decision, PointerMove
from keelway.core.digest import (
    DIGEST_PREFIX,
    Digest,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_of,
    is_digest,
    parse_json,
    plain,
    references,
    revive,
    short,
)
from keelway.core.ids import (
    Environment,
    PrincipalId,
    RunId,
    VersionName,
    checked_name,
    sortable_id,
    split_version,
    version_name,
)
from keelway.core.observation import Outcome, Prediction
from keelway.core.policy import Evidence, PolicyEngine, PolicySet, Verdict
from keelway.core.run import CodeState, Run, RunStarted, RunStatus, Scalar, StepFinished
from keelway.core.state import Pointer, Pointers, Records

__all__ = [
    "DIGEST_PREFIX",
    "Action",
    "Artifact",
    "ArtifactKind",
    "ArtifactStore",
    "Clock",
    "CodeState",
    "Decision",
    "Digest",
    "Environment",
    "Evidence",
    "Outcome",
    "Pointer",
    "PointerMove",
    "Pointers",
    "PolicyEngine",
    "PolicySet",
    "Prediction",
    "PrincipalId",
    "Records",
    "Run",
    "RunId",
    "RunStarted",
    "RunStatus",
    "Scalar",
    "SimulatedClock",
    "StepFinished",
    "SystemClock",
    "Verdict",
    "VersionName",
    "canonical_json",
    "checked_name",
    "digest_bytes",
    "digest_file",
    "digest_of",
    "in_utc",
    "is_digest",
    "parse_duration",
    "parse_json",
    "parse_time",
    "plain",
    "references",
    "revive",
    "short",
    "sortable_id",
    "split_version",
    "time_text",
    "version_name",
]
