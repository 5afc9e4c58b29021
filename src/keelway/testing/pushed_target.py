"""A target that has to be told: a control plane in memory whose replicas load late, refuse, or whose network loses a call.

target = PushedTarget(clock=clock)
target.lose(1, heard=False)              # the next call does not arrive
target.turn()                            # every replica does its next step
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from keelway.core import Clock, VersionName
from keelway.deploy import Deployment, ObservedReplica, ObservedTraffic, TargetCapabilities
from keelway.errors import EngineError

EVERYTHING = TargetCapabilities(sticky=True, shadows=True)


@dataclass(slots=True)
class PushedReplica:
    """A replica of a control plane, for one model in one environment.

    Attributes:
        answers_by: The numbers of all deployments that it ever answered by, in their order.
        loading: The number that it gets ready for, and how many turns that still takes.
    """

    answers_by: list[int] = field(default_factory=list)
    since: datetime | None = None
    loading: tuple[int, int] = (0, 0)
    problem: str = ""

    def step(self, wanted: Deployment, *, turns: int, refused: set[VersionName], now: datetime) -> None:
        """Come one turn nearer to the wanted deployment; what it was getting ready for before is given up."""
        if self.answers_by[-1:] == [wanted.number]:
            self.problem = ""
            return
        if bad := refused & set(wanted.versions):
            self.problem = f"{', '.join(sorted(bad))} does not load"
            return
        left = self.loading[1] if self.loading[0] == wanted.number else turns
        if left > 0:
            self.loading, self.problem = (wanted.number, left - 1), f"gets ready for deployment {wanted.number}"
            return
        self.answers_by.append(wanted.number)
        self.since, self.problem = now, ""


class PushedTarget:
    """A control plane that keeps what it was told, and brings its replicas there.

    Args:
        replicas: Their names.

    Attributes:
        changes: How often what it holds changed.
        stalled: The replicas that do nothing.
        turns_to_load: So many turns a replica takes to get ready for a deployment.
        refused: The versions that no replica can load.
        is_away: Whether it can be neither told nor asked.
        silent: Since when replicas are not heard of any more.
    """

    name = "pushed"

    def __init__(
        self, replicas: tuple[str, ...] = ("a", "b"), *, clock: Clock, capabilities: TargetCapabilities = EVERYTHING
    ) -> None:
        self._names, self._clock = replicas, clock
        self.capabilities = capabilities
        self.changes = 0
        self.stalled: set[str] = set()
        self.turns_to_load = 0
        self.refused: set[VersionName] = set()
        self.is_away = False
        self.silent: dict[str, datetime] = {}
        self._lost: list[bool] = []
        self._held: dict[str, Deployment] = {}
        self._replicas: dict[str, dict[str, PushedReplica]] = {}
        self._guard = threading.Lock()

    def lose(self, calls: int, *, heard: bool) -> None:
        """Let the next calls of `apply` fail, before they were heard or after."""
        self._lost += [heard] * calls

    def apply(self, deployment: Deployment) -> None:
        """Hold a deployment, unless a newer one is held.

        Raises:
            EngineError: The call, or its answer, was lost.
        """
        self._must_be_there()
        with self._guard:
            heard = self._lost.pop(0) if self._lost else None
            if heard is not False:
                self._take(deployment)
        if heard is not None:
            raise EngineError("The control plane does not answer", expected="an answer", found="a call that was lost")

    def observed(self, model: str, environment: str) -> ObservedTraffic:
        """Return what is held, and by what each replica answers.

        Raises:
            EngineError: It is away.
        """
        self._must_be_there()
        with self._guard:
            held = self._held.get(f"{environment}/{model}")
            return ObservedTraffic(held.number if held else None, tuple(self._seen(f"{environment}/{model}")))

    def turn(self) -> None:
        """Let every replica that is not stalled do its next step."""
        with self._guard:
            for place, wanted in self._held.items():
                for name in set(self._names) - self.stalled:
                    replica = self._replicas[place][name]
                    replica.step(wanted, turns=self.turns_to_load, refused=self.refused, now=self._clock.now())

    def answered_by(self, model: str, environment: str, replica: str) -> list[int]:
        """Return the numbers of all deployments that a replica ever answered by."""
        return list(self._replicas[f"{environment}/{model}"][replica].answers_by)

    def _take(self, deployment: Deployment) -> None:
        place = f"{deployment.environment}/{deployment.model}"
        self._replicas.setdefault(place, {name: PushedReplica() for name in self._names})
        held = self._held.get(place)
        if held is None or held.number < deployment.number:
            self._held[place] = deployment
            self.changes += 1

    def _seen(self, place: str) -> Iterator[ObservedReplica]:
        for name, replica in sorted(self._replicas.get(place, {}).items()):
            number = replica.answers_by[-1] if replica.answers_by else None
            yield ObservedReplica(name, number, replica.since, replica.problem, self.silent.get(name))

    def _must_be_there(self) -> None:
        if self.is_away:
            raise EngineError("The control plane is away", expected="an answer", found="none")
