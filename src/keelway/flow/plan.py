"""A plan: the steps of a run as plain data, so that any engine can execute them.

A step names the function it uses, the steps whose outputs it needs, and its parameters. A plan is checked when
it is made: no name twice, no need that nothing answers, no circle. Its digest names it.

>>> plan = Plan("demo", (Step("load", "shop.steps:load"), Step("count", "shop.steps:count", {"rows": "load"})))
>>> [step.name for step in plan.in_order()]
['load', 'count']
>>> Plan.from_json(plan.to_json()) == plan
True
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from keelway.core import Digest, Scalar, canonical_json, digest_of, parse_json, revive
from keelway.errors import UsageError

_STEP_NAME = re.compile(r"[a-z][a-z0-9_.:-]{0,127}")


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work.

    Attributes:
        name: Unique in its plan.
        uses: The name of a registered step, or `package.module:function`.
        needs: Argument of the function to the step whose output it takes, or to several for a list of outputs.
        parameters: Argument of the function to its value.
        retries: How often the step is tried again after an error that may pass.
        backoff_s: Seconds before the first retry; doubled for each one after it, with jitter.
        cache: Whether an earlier output for the same code, parameters and inputs may stand in.
    """

    name: str
    uses: str
    needs: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    parameters: dict[str, Scalar] = field(default_factory=dict)
    retries: int = 0
    backoff_s: float = 1.0
    cache: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", {key: _as_need(need) for key, need in self.needs.items()})
        if not _STEP_NAME.fullmatch(self.name):
            raise UsageError(
                "This is not a name for a step",
                expected="a lower-case letter, then lower-case letters, digits, '_', '.', ':' or '-' (128 at most)",
                found=repr(self.name),
            )
        _check_arguments(self)
        if self.retries < 0 or not self.backoff_s >= 0:
            raise UsageError(
                f"Step {self.name!r} cannot be retried like this",
                expected="retries and backoff_s of zero or more",
                found=f"retries={self.retries}, backoff_s={self.backoff_s}",
            )

    def needed(self) -> tuple[str, ...]:
        """Return the names of the steps this one waits for, each once, in the order they are given."""
        names = [name for need in self.needs.values() for name in ((need,) if isinstance(need, str) else need)]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps that form no circle.

    Raises:
        UsageError: No step, a name twice, a need that no step answers, or a circle.
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise UsageError(f"Plan {self.name!r} has no steps", expected="at least one step", found="none")
        _check_names(self)
        _sorted_names(self)

    def step(self, name: str) -> Step:
        """Return a step by its name.

        Raises:
            UsageError: The plan has no such step.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise UsageError(
            f"Plan {self.name!r} has no step of that name",
            expected=f"one of {', '.join(step.name for step in self.steps)}",
            found=repr(name),
        )

    def in_order(self) -> tuple[Step, ...]:
        """Return the steps so that each comes after those it needs; otherwise in the order of the plan."""
        by_name = {step.name: step for step in self.steps}
        return tuple(by_name[name] for name in _sorted_names(self))

    def digest(self) -> Digest:
        """Return the digest that names this plan."""
        return digest_of(self)

    def to_json(self) -> bytes:
        """Return the plan as canonical JSON."""
        return canonical_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Return the plan that `to_json` wrote."""
        return revive(parse_json(data), cls)


def _as_need(need: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return need if isinstance(need, str) else tuple(need)


def _check_arguments(step: Step) -> None:
    wrong = [name for name in (*step.needs, *step.parameters) if not name.isidentifier()]
    if wrong:
        raise UsageError(
            f"Step {step.name!r} names an argument no function can have",
            expected="Python identifiers",
            found=", ".join(map(repr, wrong)),
        )
    twice = sorted(step.needs.keys() & step.parameters.keys())
    if twice:
        raise UsageError(
            f"Step {step.name!r} gives an argument twice",
            expected="a need or a parameter",
            found=f"both for {', '.join(twice)}",
        )


def _check_names(plan: Plan) -> None:
    names = [step.name for step in plan.steps]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise UsageError(
            f"Plan {plan.name!r} names steps twice", expected="each name once", found=f"{', '.join(twice)} again"
        )
    known = set(names)
    for step in plan.steps:
        unknown = [name for name in step.needed() if name not in known]
        if unknown:
            raise UsageError(
                f"Step {step.name!r} of plan {plan.name!r} needs a step that is not there",
                expected=f"one of {', '.join(names)}",
                found=", ".join(unknown),
            )


def _sorted_names(plan: Plan) -> list[str]:
    """Return the names in dependency order, the plan's own order deciding between equals."""
    place = {step.name: index for index, step in enumerate(plan.steps)}
    sorter = TopologicalSorter({step.name: step.needed() for step in plan.steps})
    try:
        sorter.prepare()
    except CycleError as error:
        raise UsageError(
            f"Plan {plan.name!r} goes round in a circle",
            expected="steps that need only earlier ones",
            found=" -> ".join(reversed(error.args[1])),
        ) from error
    names: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        names.extend(ready)
        sorter.done(*ready)
    return names
