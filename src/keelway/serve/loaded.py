"""Versions that are loaded and answer, and what answers in the place of one that cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keelway.core import Digest, VersionName, digest_of
from keelway.deploy import ASKED, SHADOW, STABLE, Deployment
from keelway.errors import ServingError
from keelway.serve.fallback import ARM, ConstantScorer, Fallback
from keelway.serve.line import LineWriter, WriterParts
from keelway.serve.ports import Scorer
from keelway.serve.schema import RequestSchema


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One version, verified and ready to answer.

    Attributes:
        schema: Reads the requests for its features.
        writer: Writes its lines of the prediction log.
        fallback: The mark of its answers where it answers in another's place; else empty.
        backups: What answers in its place when it cannot, in their order.
        deployment: The digest of the deployment that it has this part in.
    """

    version: VersionName
    digest: Digest
    arm: str
    scorer: Scorer
    schema: RequestSchema
    writer: LineWriter
    fallback: str = ""
    backups: tuple[LoadedVersion, ...] = ()
    deployment: Digest | None = None


@dataclass(frozen=True, slots=True)
class LoadedDeployment:
    """A deployment with every version it needs.

    Attributes:
        versions: What answers, or waits to, by version.
        waits: Whether answering waits for another process, so that it must not be done in an event loop.
        arms: The same by arm; two arms of one version differ in what they log.
        shadows: What scores copies of requests and answers nobody.
        asked: What answers requests that name a version themselves, by version: in an arm that no rollout counts.
    """

    deployment: Deployment
    versions: dict[VersionName, LoadedVersion]
    waits: bool = False
    arms: dict[str, LoadedVersion] = field(default_factory=dict)
    shadows: tuple[LoadedVersion, ...] = ()
    asked: dict[VersionName, LoadedVersion] = field(default_factory=dict)

    @property
    def stable(self) -> LoadedVersion:
        """The version that answers what no trial takes."""
        return self.versions[self.deployment.stable]

    def version_for(self, entity: str) -> LoadedVersion:
        """Return the version that answers for an entity, as a part of its arm."""
        if len(self.arms) < 2:  # also where a caller named the version
            return next(iter(self.arms.values()), self.stable)
        return self.arms[self.deployment.arm_of(entity)]


@dataclass(frozen=True, slots=True)
class VersionAtHand:
    """A version's scorer, before it has a part in a deployment."""

    version: VersionName
    digest: Digest
    scorer: Scorer


Find = Callable[[VersionName], VersionAtHand | None]
"""Returns a version that a fallback may use, or None where it cannot be had."""


def assembled(
    deployment: Deployment,
    at_hand: Mapping[VersionName, VersionAtHand],
    *,
    chain: Sequence[Fallback] = (),
    previous: VersionAtHand | None = None,
    baseline: Find = lambda _version: None,
) -> LoadedDeployment:
    """Return a deployment whose versions all know their part, and what answers in their place.

    Args:
        at_hand: The versions with traffic, and the shadows that could be loaded and take the same requests.
        previous: What was stable before; None where that is not known or not at hand.
        baseline: Finds a baseline by name.

    Raises:
        ServingError: A version on trial takes other requests than the stable version.
    """
    stable = at_hand[deployment.stable]
    schema = RequestSchema(stable.scorer.features)

    def taking_part(name: VersionName, arm: str) -> LoadedVersion:
        hand = at_hand[name]
        must_take_the_same_requests(hand, stable)
        part = _part(hand, deployment, arm=arm, schema=schema)
        before = stable if name != deployment.stable else previous
        return replace(part, backups=tuple(_backups(part, deployment, chain, before, baseline)))

    arms = {arm: taking_part(deployment.version_of(arm), arm) for arm in deployment.arms}
    versions = {part.version: part for part in reversed(arms.values())}
    versions |= {name: taking_part(name, STABLE) for name in deployment.traffic if name not in versions}
    parts = [part for each in (*arms.values(), *versions.values()) for part in (each, *each.backups)]
    waits = any(getattr(part.scorer, "waits", False) for part in parts)
    shadows = tuple(
        _part(at_hand[name], deployment, arm=SHADOW, schema=schema) for name in deployment.shadows if name in at_hand
    )
    asked = {name: _asked(part, at_hand[name], deployment) for name, part in versions.items()}
    return LoadedDeployment(deployment, versions, waits, arms, shadows, asked)


def _asked(part: LoadedVersion, hand: VersionAtHand, deployment: Deployment) -> LoadedVersion:
    """Return a version as it answers those who name it, whatever arm their entities are in; nothing answers in its place."""
    return _part(hand, deployment, arm=ASKED, schema=part.schema)


def _part(
    hand: VersionAtHand, deployment: Deployment, *, arm: str, schema: RequestSchema, fallback: str = ""
) -> LoadedVersion:
    digest = digest_of(deployment)
    writer = LineWriter(
        WriterParts(
            model=deployment.model,
            version=hand.version,
            version_digest=hand.digest,
            deployment=digest,
            environment=deployment.environment,
            arm=arm,
            policy=deployment.policies.get(hand.version, ""),
            features=schema.names,
        )
    )
    return LoadedVersion(hand.version, hand.digest, arm, hand.scorer, schema, writer, fallback, deployment=digest)


def _backups(
    part: LoadedVersion,
    deployment: Deployment,
    chain: Sequence[Fallback],
    before: VersionAtHand | None,
    baseline: Find,
) -> list[LoadedVersion]:
    """Return what answers in the place of a version; a link that cannot be had, or takes other rows, is left out."""
    found = []
    for link in chain:
        if link.kind == "constant":
            hand: VersionAtHand | None = VersionAtHand(
                part.version, part.digest, ConstantScorer(link.value, like=part.scorer)
            )
        else:
            hand = before if link.kind == "previous" else baseline(link.version or part.version)
        if hand is None or tuple(hand.scorer.features) != tuple(part.scorer.features):
            continue
        if hand.version == part.version and link.kind != "constant":
            continue
        mark = link.mark(hand.version)
        found.append(_part(hand, deployment, arm=ARM + mark, schema=part.schema, fallback=mark))
    return found


def must_take_the_same_requests(version: VersionAtHand, stable: VersionAtHand) -> None:
    """Refuse a version on trial that asks for other features: a caller does not know which arm will answer."""
    expected = tuple(stable.scorer.features)
    if tuple(version.scorer.features) != expected:
        raise ServingError(
            f"{version.version} takes other requests than {stable.version}",
            expected=", ".join(feature.name for feature in expected),
            found=", ".join(feature.name for feature in version.scorer.features),
            fix="Deploy it to all traffic at once, after the callers send what it needs.",
        )
