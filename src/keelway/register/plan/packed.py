r"""A plan as bytes: a line that names the format, the length of the head, the head as canonical JSON, and the arrays as they are.

    KEELPLAN1\n | length of the head (8 bytes) | head | arrays, each begun at a multiple of 8 bytes

All numbers are little-endian. The same plan gives the same bytes. Nothing in them can be executed, and whatever does not fit
together (a tree that leads to itself, a column that is not there) is refused when they are read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from keelway.core import canonical_json, parse_json, plain, revive
from keelway.errors import IntegrityError
from keelway.register.plan.records import NOWHERE, PlanHead, PlanMember, PlanModel, ScoringPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"KEELPLAN1\n"
KINDS = ("<f4", "<f8", "<i4")
_LENGTH = struct.Struct("<Q")
_ALIGNED = 8


def plan_bytes(plan: ScoringPlan) -> bytes:
    """Return a plan as bytes."""
    told, parts, place = [], [], 0
    for name, array in sorted(plan.arrays.items()):
        kind = array.dtype.newbyteorder("<").str
        data = array.astype(kind).tobytes()
        told.append({"name": name, "kind": kind, "shape": list(array.shape), "at": place})
        parts.append(data + bytes(-len(data) % _ALIGNED))
        place += len(parts[-1])
    head = canonical_json({"plan": plain(plan.head), "arrays": told})
    front = MAGIC + _LENGTH.pack(len(head)) + head
    return b"".join([front, bytes(-len(front) % _ALIGNED), *parts])


def read_plan(data: bytes) -> ScoringPlan:
    """Return the plan that bytes hold.

    Raises:
        IntegrityError: They are no plan, or its parts do not fit together.
    """
    if not data.startswith(MAGIC):
        _refuse("the first line of a plan", repr(data[: len(MAGIC)]))
    try:
        begin = len(MAGIC) + _LENGTH.size
        (length,) = _LENGTH.unpack_from(data, len(MAGIC))
        told = parse_json(data[begin : begin + length])
        behind = begin + length + (-(begin + length) % _ALIGNED)
        plan = ScoringPlan(revive(told["plan"], PlanHead), _arrays(data, behind, told["arrays"]))
    except (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise IntegrityError(
            "A stored plan cannot be read", expected="a whole plan", found=repr(error)[:200]
        ) from error
    _check(plan)
    return plan


def _arrays(data: bytes, behind: int, told: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    import numpy as np

    found = {}
    for each in told:
        shape = tuple(int(size) for size in each["shape"])
        if each["kind"] not in KINDS or each["at"] < 0 or any(size < 0 for size in shape):
            raise ValueError(f"array {each['name']}")
        count = 1
        for size in shape:
            count *= size
        array = np.frombuffer(data, dtype=each["kind"], count=count, offset=behind + each["at"])
        found[each["name"]] = array.reshape(shape)
    return found


def _check(plan: ScoringPlan) -> None:
    """Refuse a plan whose parts do not fit together."""
    import numpy as np

    head = plan.head
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in plan.arrays.values()):
        _refuse("finite numbers", "others")
    if not head.members or (len(head.members) > 1 and head.mixture is None):
        _refuse("members, and how they are combined", f"{len(head.members)} members")
    outputs = len(head.classes) if head.task == "multiclass" else 1
    for member in head.members:
        _check_columns(member, plan)
        if not member.models:
            _refuse("an estimator in each member", "none")
        for model in member.models:
            if model.outputs != outputs or len(model.calibrations) not in (0, outputs) or not model.divisor:
                _refuse(f"{outputs} outputs", f"{model.outputs} outputs, {len(model.calibrations)} calibrations")
            _check_calibrations(model)
            (_check_linear if model.kind == "linear" else _check_trees)(model, member.width, plan)
    _check_mixture(head, outputs)


def _check_columns(member: PlanMember, plan: ScoringPlan) -> None:
    width = len(plan.head.features)
    for number in member.numbers:
        inside = all(NOWHERE <= place < member.width for place in (number.column, number.indicator))
        if not (inside and 0 <= number.feature < width):
            _refuse(f"columns below {member.width}", str(number))
    for each in member.levels:
        table = _array(plan, each.table)
        inside = all(0 <= place < member.width for place in each.columns) and 0 <= each.feature < width
        if not inside or table.shape != (len(each.levels) + 1, len(each.columns)):
            _refuse("a row for each level", f"{table.shape} for {len(each.levels)} levels")


def _check_calibrations(model: PlanModel) -> None:
    for each in model.calibrations:
        rising = all(low < high for low, high in zip(each.x, each.x[1:], strict=False))
        if len(each.x) != len(each.y) or not rising:
            _refuse("points of a calibration in order", f"{len(each.x)} and {len(each.y)}")


def _check_linear(model: PlanModel, width: int, plan: ScoringPlan) -> None:
    weights, intercepts = (_array(plan, f"{model.arrays}{part}") for part in ("weights", "intercepts"))
    if weights.shape != (model.outputs, width) or intercepts.shape != (model.outputs,):
        _refuse(f"weights of shape {(model.outputs, width)}", str(weights.shape))
    means = plan.arrays.get(f"{model.arrays}means")
    if means is not None and means.shape != (width,):
        _refuse(f"means of {width} columns", str(means.shape))


def _check_trees(model: PlanModel, width: int, plan: ScoringPlan) -> None:
    import numpy as np

    names = ("sizes", "outputs", "feature", "threshold", "left", "right", "values", "base")
    sizes, outputs, feature, threshold, left, right, values, base = (
        _array(plan, f"{model.arrays}{name}") for name in names
    )
    count = int(sizes.sum())
    shapes = {array.shape for array in (feature, threshold, left, right)}
    if shapes != {(count,)} or (sizes < 1).any() or outputs.shape != sizes.shape or base.shape != (model.outputs,):
        _refuse(f"arrays of {count} nodes", str(shapes))
    if values.shape not in {(count, 1), (count, model.outputs)}:
        _refuse("values of the nodes", str(values.shape))
    if (outputs < 0).any() or (outputs >= model.outputs).any() or (feature < 0).any() or (feature >= width).any():
        _refuse(f"columns below {width}", "others")
    cover = plan.arrays.get(f"{model.arrays}cover")
    if cover is not None and (cover.shape != (count,) or (cover < 0).any()):
        _refuse(f"a cover of {count} nodes", str(cover.shape))
    place = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    size = np.repeat(sizes, sizes)
    inner = left >= 0
    # A child stands behind its parent, so every way ends.
    for child in (left, right):
        if not (np.where(inner, (child > place) & (child < size), child == NOWHERE)).all():
            _refuse("trees whose ways end", "a node that leads elsewhere")


def _check_mixture(head: PlanHead, outputs: int) -> None:
    mixture, answers = head.mixture, outputs * len(head.members)
    if mixture is None:
        return
    rows = mixture.coefficients
    fits = (
        len(rows) == outputs == len(mixture.intercepts) and all(len(row) == answers for row in rows)
        if rows
        else len(mixture.weights) == len(head.members)
    )
    if not fits:
        _refuse(f"weights for {len(head.members)} members", f"{len(mixture.weights)} and {len(rows)} rows")


def _array(plan: ScoringPlan, name: str) -> NDArray[Any]:
    if name not in plan.arrays:
        _refuse(f"array {name}", ", ".join(plan.arrays)[:200])
    return plan.arrays[name]


def _refuse(expected: str, found: str) -> NoReturn:
    raise IntegrityError(
        "A stored plan cannot be read",
        expected=expected,
        found=found,
        fix="Do not use these bytes: registration stores no such plan. Register the model again.",
    )
