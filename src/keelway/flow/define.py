"""`@step`: turns a function into something a plan can use.

The function takes the context first, then, by keyword, the records it needs and its parameters; it returns one
record (a frozen dataclass) or None. Its return annotation names the class of the record, which is how the record
is read back from the store; where the class is imported lazily, `returns="package.module:Class"` names it.

    @step()
    def count(ctx: Context, *, snapshot: Snapshot, minimum: int = 0) -> RowCount:
        return RowCount(rows=max(snapshot.rows, minimum))

A registered name is found once its module is imported; `package.module:function` is found always.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from types import CodeType, NoneType
from typing import Any, TypeVar, overload

from keelway.core import Digest, digest_bytes, digest_of
from keelway.errors import UsageError
from keelway.flow.plan import Plan, Step

StepFunction = TypeVar("StepFunction", bound=Callable[..., object])

STANDARD_STEPS = "keelway.flow.steps"  # the module that registers the steps of the standard plans
_MARK = "__keelway_step__"


@dataclass(frozen=True, slots=True, eq=False)
class StepDefinition:
    """A function that plans may use.

    Attributes:
        name: What `Step.uses` calls it.
        cache: False for a function that looks at the outside world, where an old answer must not stand in.
        returns: The class of the record it returns, its import path, or None to read the annotation.
    """

    name: str
    function: Callable[..., object]
    cache: bool
    returns: type | str | None

    def output_class(self) -> type:
        """Return the class of the record that the function returns.

        Raises:
            UsageError: It is not declared, cannot be imported, or is no dataclass.
        """
        return _output_class(self)

    def source_digest(self) -> Digest:
        """Return the digest of the function's source text (of its compiled code where there is no text)."""
        return _source_digest(self.function)


_registered: dict[str, StepDefinition] = {}


@overload
def step(name: StepFunction) -> StepFunction: ...


@overload
def step(
    name: str | None = None, *, cache: bool = True, returns: type | str | None = None
) -> Callable[[StepFunction], StepFunction]: ...


def step(name: Any = None, *, cache: bool = True, returns: type | str | None = None) -> Any:
    """Register a function as a step; the function itself stays as it is.

    Args:
        name: What plans call it; `module:function` when None.
        cache: False when the function looks at the outside world.
        returns: The class of the record it returns, or its import path; the return annotation when None.

    Raises:
        UsageError: Another function already has that name.
    """
    if callable(name):
        return step()(name)

    def register(function: StepFunction) -> StepFunction:
        definition = StepDefinition(name or _path_of(function), function, cache, returns)
        known = _registered.setdefault(definition.name, definition)
        if _path_of(known.function) != _path_of(function):
            raise UsageError(
                f"Two functions want to be the step {definition.name!r}",
                expected="one function a name",
                found=f"{_path_of(known.function)} and {_path_of(function)}",
                fix="Give one of them another name: @step(name=...).",
            )
        _registered[definition.name] = definition  # a module that is imported again brings its newest function
        setattr(function, _MARK, definition)
        return function

    return register


def definition_of(uses: str) -> StepDefinition:
    """Return the definition behind the `uses` of a step, importing its module where needed.

    Raises:
        UsageError: There is none.
    """
    if uses in _registered:
        return _registered[uses]
    if ":" in uses:
        return _imported(uses)
    importlib.import_module(STANDARD_STEPS)
    if uses in _registered:
        return _registered[uses]
    raise UsageError(
        f"No step is registered as {uses!r}",
        expected=f"one of {', '.join(sorted(_registered))}, or package.module:function",
        found=repr(uses),
        fix="Import the module that defines it from the project's module, or name it by package.module:function.",
    )


def check_plan(plan: Plan) -> None:
    """Find every step's function and compare its arguments with the plan, before anything runs.

    Raises:
        UsageError: A function is not to be had, or does not take what the plan gives.
    """
    for item in plan.steps:
        definition = definition_of(item.uses)
        definition.output_class()
        _check_signature(item, definition)


def _check_signature(item: Step, definition: StepDefinition) -> None:
    arguments = list(inspect.signature(definition.function).parameters.values())[1:]
    given = {*item.needs, *item.parameters}
    takes_any = any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in arguments)
    named = [argument for argument in arguments if argument.kind is not inspect.Parameter.VAR_KEYWORD]
    required = {argument.name for argument in named if argument.default is inspect.Parameter.empty}
    missing = required - given
    surplus = set() if takes_any else given - {argument.name for argument in named}
    if missing or surplus:
        raise UsageError(
            f"Step {item.name!r} does not fit its function {item.uses!r}",
            expected=f"the arguments {', '.join(argument.name for argument in named) or '(none)'}",
            found=", ".join([f"no {name}" for name in sorted(missing)] + [f"a surplus {n}" for n in sorted(surplus)]),
        )


def _path_of(function: Callable[..., object]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _imported(path: str) -> StepDefinition:
    definition = getattr(_object_at(path, what="step"), _MARK, None)
    if not isinstance(definition, StepDefinition):
        raise UsageError(
            f"{path!r} is not a step", expected="a function under @step", found="one without it", fix="Add @step()."
        )
    return definition


def _object_at(path: str, *, what: str) -> object:
    module, _, names = path.partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The {what} {path!r} cannot be imported", expected="package.module:name", found=str(error)
        ) from error
    return found


@lru_cache(maxsize=1024)
def _output_class(definition: StepDefinition) -> type:
    declared = definition.returns
    found = _object_at(declared, what="record class") if isinstance(declared, str) else declared
    if found is None:
        found = _annotated_class(definition)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise UsageError(
            f"Step function {definition.name!r} must say what record it returns",
            expected="a return annotation that names one dataclass (or that and None)",
            found=repr(found),
            fix="Annotate it, or give @step(returns='package.module:Class').",
        )
    return found


def _annotated_class(definition: StepDefinition) -> object:
    function = definition.function
    bearer = types.SimpleNamespace(__annotations__={"return": function.__annotations__.get("return")})
    try:
        hint = typing.get_type_hints(bearer, globalns=function.__globals__)["return"]
    except NameError as error:
        raise UsageError(
            f"The return annotation of step function {definition.name!r} cannot be read",
            expected="a class that is imported in its module",
            found=str(error),
            fix="Import it at the top of the module, or give @step(returns='package.module:Class').",
        ) from error
    members = [member for member in typing.get_args(hint) if member is not NoneType]
    return members[0] if len(members) == 1 else hint


@lru_cache(maxsize=1024)
def _source_digest(function: Callable[..., object]) -> Digest:
    try:
        return digest_bytes(textwrap.dedent(inspect.getsource(function)).encode())
    except (OSError, TypeError):  # defined in a notebook that is gone, or by exec
        return digest_of(_compiled(inspect.unwrap(function).__code__))


def _compiled(code: CodeType) -> list[object]:
    constants = [_compiled(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]
