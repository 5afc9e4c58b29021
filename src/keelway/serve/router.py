"""Which loaded versions answer for a model: the deployment as it stands, read again every second.

A new version is loaded, verified, measured and warmed before it answers anything, then everything is switched at once; a
request sees one deployment from its beginning to its end. Where the state cannot be read, or a version fails a check, the
last known good deployment goes on and `problem` says why. With a `LastGood` beside it, a router also starts so, and obeys
a pin: a rollback that was asked for on this machine while the state could not be written.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, Environment, VersionName, digest_of
from keelway.deploy import Deployment, current
from keelway.errors import EngineError, IntegrityError, KeelwayError, MissingRecordError
from keelway.serve.budget import MemoryBudget
from keelway.serve.fallback import Fallback
from keelway.serve.last_good import LastGood, Pin, pinned, with_ways_back
from keelway.serve.loaded import LoadedDeployment, VersionAtHand, assembled, must_take_the_same_requests
from keelway.serve.ports import LoadScorer, Scorer
from keelway.serve.presence import Presence
from keelway.serve.repeating import Repeating
from keelway.serve.warm import warm_up

if TYPE_CHECKING:
    from keelway.ledger import StateStore

POLL_EVERY_S = 1.0
GRACE_POLLS = 30
"""A scorer that nobody needs any more is closed so many polls later: requests that began with it are answered by then."""

_log = logging.getLogger(__name__)
_AWAY = (EngineError, MissingRecordError, IntegrityError)
"""What keeps a server from learning what should answer: a state that is down, lost or damaged."""


@dataclass(frozen=True, slots=True)
class ServingCare:
    """What is done for a deployment beyond loading it.

    Attributes:
        budget: Judges whether one more version fits into memory.
        size_of: Returns how many bytes a version's artifacts take in the store.
        chain: What answers in the place of a version that cannot.
        rows_of: Returns rows that a version was trained on, to warm it with; none where they are not at hand.
        fetch: Reads what loading a version would read, checked, so that it is kept.
        digest_named: Returns the record's digest of a version, for a baseline.
        last_good: What is kept on this machine; None keeps nothing.
        record_pin: Makes a pin a decision of the ledger.
        presence: Keeps what this process says of itself; None says nothing.
    """

    budget: MemoryBudget
    size_of: Callable[[VersionName, Digest], int] = lambda _name, _digest: 0
    rows_of: Callable[[VersionName, Digest], Sequence[Sequence[Any]]] = lambda _name, _digest: ()
    fetch: Callable[[VersionName, Digest], None] = lambda _name, _digest: None
    chain: tuple[Fallback, ...] = ()
    digest_named: Callable[[VersionName], Digest] | None = None
    last_good: LastGood | None = None
    record_pin: Callable[[Pin], None] | None = None
    presence: Presence | None = None


class Router:
    """Keeps the deployment of one model in one environment loaded.

    Args:
        load: Loads a version and refuses it when a byte is not as promised.
        care: Memory, fallbacks and what is kept on this machine.
        on_switch: Told whenever another deployment begins to answer.

    Attributes:
        loaded: What answers; replaced as a whole.
        problem: Why something else than the state asks for answers, why a rollback is not recorded, or why a shadow is not
            loaded; else empty.
    """

    def __init__(
        self,
        model: str,
        environment: Environment,
        *,
        state: StateStore,
        load: LoadScorer,
        care: ServingCare | None = None,
        on_switch: Callable[[LoadedDeployment], None] = lambda _loaded: None,
    ) -> None:
        self.model = model
        self.environment = environment
        self._state = state
        self._load = load
        self._care = care or ServingCare(MemoryBudget())
        self._on_switch = on_switch
        self._turn = threading.Lock()
        self._polling = Repeating(self.refresh, every_s=POLL_EVERY_S, name=f"keelway-router-{model}")
        self._at_hand: dict[VersionName, VersionAtHand] = {}
        self._retired: list[tuple[int, Scorer]] = []
        self._standing: Deployment | None = None
        self._unkept = True
        self._trouble = self._shadow_trouble = ""
        self.loaded = self._first()

    @property
    def problem(self) -> str:
        """What is not as it should be, in words; see the class."""
        return self._trouble or self._shadow_trouble

    def start(self) -> None:
        """Begin to look for other deployments in the background."""
        self._say()
        self._polling.start()

    def close(self) -> None:
        """Stop looking, and let go of every scorer."""
        self._polling.close()
        if self._care.presence is not None:
            self._care.presence.close()
        for scorer in (*(hand.scorer for hand in self._at_hand.values()), *(each for _, each in self._retired)):
            _close(scorer)

    def refresh(self) -> bool:
        """Load what the state or a pin asks for now; say whether something else answers from here on.

        Where that cannot be loaded, what was loaded before goes on and `problem` says why.
        """
        with self._turn:
            switched = self._switched()
            self._say()
            if switched:
                self._keep()
            return switched

    def _switched(self) -> bool:
        self._close_retired()
        try:
            desired, problem = self._desired()
            if desired == self.loaded.deployment:
                self._trouble = problem
                if self._unkept:
                    self._keep()
                return False
            loaded = self._prepared(desired)
        except KeelwayError as error:
            self._tell(error)
            return False
        self.loaded = loaded
        self._trouble = problem
        _log.info("%s is answered by another deployment: %s", self.model, _traffic_text(desired))
        self._on_switch(loaded)
        return True

    def _say(self) -> None:
        """Say by which deployment this process answers, where anybody wants to know."""
        if self._care.presence is not None:
            self._care.presence.say(self.loaded.deployment, self.problem)

    def _first(self) -> LoadedDeployment:
        """Load what answers first: what the state asks for, or the last known good where that cannot be had."""
        desired, problem = self._desired()
        try:
            loaded = self._prepared(desired)
        except KeelwayError as error:
            kept = self._kept()
            if not kept or kept[0] == desired:
                raise
            self._tell(error)
            return self._prepared(kept[0])
        self._trouble = problem
        self._keep()
        return loaded

    def _desired(self) -> tuple[Deployment, str]:
        """Return what should answer, and why that is not simply what the state says."""
        problem = ""
        try:
            self._standing = self._in_state()
        except _AWAY as error:
            kept = () if self._standing else self._kept()
            standing = self._standing or (kept[0] if kept else None)
            if standing is None:
                raise
            self._standing, problem = standing, str(error)
        last_good = self._care.last_good
        if last_good is None:
            return self._standing, problem
        try:
            pin = last_good.pin()
            if pin is not None and not problem:
                problem = self._recorded(pin, last_good)
            return pinned(self._standing, pin, last_good.deployments() if pin else ()), problem
        except KeelwayError as error:
            return self._standing, f"The rollback that was asked for on this machine is not obeyed: {error}"

    def _recorded(self, pin: Pin, last_good: LastGood) -> str:
        """Record a pin in the ledger, which makes it void, and return why that cannot be done."""
        try:
            if self._standing is not None and digest_of(self._standing) == pin.instead_of:
                if self._care.record_pin is None:
                    return f"The rollback to {pin.version} on this machine is not recorded yet"
                self._care.record_pin(pin)
                self._standing = self._in_state()
            last_good.remove_pin()
        except KeelwayError as error:
            return f"The rollback to {pin.version} on this machine cannot be recorded: {error}"
        return ""

    def _in_state(self) -> Deployment:
        with self._state.snapshot() as tx:
            deployment = current(self.model, self.environment, tx)
        if deployment is None:
            raise MissingRecordError(
                f"{self.model} is not deployed to {self.environment}",
                expected="a deployment",
                found="none",
                fix=f"keelway deploy {self.model} --env {self.environment}",
            )
        return deployment

    def _kept(self) -> tuple[Deployment, ...]:
        return self._care.last_good.deployments() if self._care.last_good else ()

    def _prepared(self, deployment: Deployment) -> LoadedDeployment:
        """Load what is not loaded yet, for the deployment and its fallbacks; a version that is keeps its scorer."""
        needed: dict[VersionName, VersionAtHand] = {}

        def take(name: VersionName, digest: Digest) -> VersionAtHand:
            if name not in needed:
                needed[name] = self._at_hand_of(name, digest)
            return needed[name]

        def baseline(name: VersionName) -> VersionAtHand | None:
            named = self._care.digest_named
            return self._spare(name, lambda: take(name, named(name)) if named else None)

        try:
            at_hand = {name: take(name, deployment.versions[name]) for name in deployment.traffic}
            trouble = self._take_shadows(deployment, take, at_hand)
            previous = self._spare("previous", lambda: self._previous(deployment, take))
            loaded = assembled(deployment, at_hand, chain=self._care.chain, previous=previous, baseline=baseline)
        except BaseException:
            for name, hand in needed.items():
                if self._at_hand.get(name) != hand:
                    _close(hand.scorer)
            raise
        for name, hand in self._at_hand.items():
            if needed.get(name) != hand:
                self._retired.append((GRACE_POLLS, hand.scorer))
        self._at_hand = needed
        self._shadow_trouble = trouble
        return loaded

    def _take_shadows(
        self,
        deployment: Deployment,
        take: Callable[[VersionName, Digest], VersionAtHand],
        at_hand: dict[VersionName, VersionAtHand],
    ) -> str:
        """Load the shadows, and return why one is not there: that keeps nothing from answering."""
        troubles = []
        for name in deployment.shadows:
            try:
                hand = take(name, deployment.versions[name])
                must_take_the_same_requests(hand, at_hand[deployment.stable])
                at_hand[name] = hand
            except KeelwayError as error:
                troubles.append(f"{name} does not shadow: {error}")
                _log.error("%s", troubles[-1])
        return "; ".join(troubles)

    def _at_hand_of(self, name: VersionName, digest: Digest) -> VersionAtHand:
        known = self._at_hand.get(name)
        if known is not None and known.digest == digest:
            return known
        size = self._care.size_of(name, digest)
        before = self._care.budget.check(name, digest, size)
        scorer = self._load(name, digest)
        try:
            warm_up(scorer, self._care.rows_of(name, digest))
            self._care.budget.loaded(name, digest, size, before=before)
        except BaseException:
            _close(scorer)
            raise
        return VersionAtHand(name, digest, scorer)

    def _previous(
        self, deployment: Deployment, take: Callable[[VersionName, Digest], VersionAtHand]
    ) -> VersionAtHand | None:
        """Return what was stable before, loaded, where a fallback wants it."""
        if not any(link.kind == "previous" for link in self._care.chain):
            return None
        ways = self._ways_back(deployment)
        before = next((each for each in ways[1:] if each.stable != deployment.stable), None)
        return take(before.stable, before.versions[before.stable]) if before else None

    def _spare(self, what: str, find: Callable[[], VersionAtHand | None]) -> VersionAtHand | None:
        """Return what a fallback needs; that it cannot be had keeps nothing from answering."""
        try:
            return find()
        except KeelwayError as error:
            _log.warning("%s has no fallback %s: %s", self.model, what, error)
            return None

    def _ways_back(self, deployment: Deployment) -> tuple[Deployment, ...]:
        try:
            with self._state.snapshot() as tx:
                return with_ways_back(deployment, tx)
        except _AWAY:
            kept = self._kept()
            return (deployment, *(each for each in kept if each != deployment))

    def _keep(self) -> None:
        """Keep what answers now and where a rollback would go; a disk that takes nothing only costs a warning."""
        last_good = self._care.last_good
        self._unkept = last_good is not None
        if last_good is None or self._trouble:
            return
        try:
            with self._state.snapshot() as tx:
                ways = with_ways_back(self._standing or self.loaded.deployment, tx)
            for name, digest in {name: each.versions[name] for each in ways for name in each.traffic}.items():
                self._care.fetch(name, digest)
            last_good.keep(ways)
            self._unkept = False
        except KeelwayError as error:
            _log.warning("The last known good deployment of %s is not kept: %s", self.model, error)

    def _tell(self, error: KeelwayError) -> None:
        if str(error) != self._trouble:
            _log.error("The deployment of %s goes on as it was: %s", self.model, error)
        self._trouble = str(error)

    def _close_retired(self) -> None:
        for polls, scorer in self._retired:
            if polls <= 0:
                _close(scorer)
        self._retired = [(polls - 1, scorer) for polls, scorer in self._retired if polls > 0]


def _traffic_text(deployment: Deployment) -> str:
    """Return the percentages of a deployment as a sentence has them."""
    return ", ".join(f"{name} {share} %" for name, share in deployment.traffic.items())


def _close(scorer: Scorer) -> None:
    """Let go of a scorer that holds a process or a connection."""
    close = getattr(scorer, "close", None)
    if close is not None:
        close()
