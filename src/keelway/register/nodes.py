"""Nodes and constants of an ONNX graph, as a converter adds them to the converter's container."""

from __future__ import annotations

from typing import Any

FLOAT = 1  # onnx.TensorProto.FLOAT


def node(
    scope: Any,
    container: Any,
    kind: str,
    inputs: list[str],
    *,
    output: str = "",
    domain: str = "",
    version: int | None = None,
    **attributes: Any,
) -> str:
    """Add a node and return the name of its output."""
    made = output or str(scope.get_unique_variable_name(kind.lower()))
    name = scope.get_unique_operator_name(kind)
    container.add_node(kind, inputs, made, op_domain=domain, op_version=version, name=name, **attributes)
    return made


def constant(
    scope: Any, container: Any, values: Any, *, whole: bool = False, text: bool = False, shape: list[int] | None = None
) -> str:
    """Return the name of a new constant: 32-bit numbers, whole numbers or texts."""
    from onnx import TensorProto

    name = scope.get_unique_variable_name("constant")
    kind = TensorProto.INT64 if whole else TensorProto.STRING if text else TensorProto.FLOAT
    listed = [str(each).encode() if text else int(each) if whole else float(each) for each in values]
    container.add_initializer(name, kind, [len(listed)] if shape is None else shape, listed)
    return str(name)


def column(scope: Any, container: Any, matrix: str, place: int) -> str:
    """Return the name of one column of a matrix, as a matrix of one column."""
    return node(scope, container, "Gather", [matrix, constant(scope, container, [place], whole=True)], axis=1)


def input_of(operator: Any) -> str:
    """Return the name of what a stage reads."""
    return str(operator.inputs[0].full_name)


def two_classes(scope: Any, container: Any, positive: str, *, output: str = "") -> str:
    """Return the name of the probabilities of two classes, made from that of the second."""
    one = constant(scope, container, [1.0])
    negative = node(scope, container, "Sub", [one, positive])
    return node(scope, container, "Concat", [negative, positive], output=output, axis=1)


def label_of(scope: Any, operator: Any, container: Any) -> None:
    """Write a classifier's first output, the most probable class, from its second one, the probabilities."""
    from skl2onnx.common.data_types import Int64TensorType

    best = node(scope, container, "ArgMax", [operator.outputs[1].full_name], axis=1, keepdims=0)
    classes = operator.raw_operator.classes_
    whole = isinstance(operator.outputs[0].type, Int64TensorType)
    names = constant(scope, container, classes, whole=True) if whole else constant(scope, container, classes, text=True)
    node(scope, container, "Gather", [names, best], output=operator.outputs[0].full_name, axis=0)


def class_shapes(operator: Any) -> None:
    """Say that a classifier gives the most probable class and one probability a class."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    classes = operator.raw_operator.classes_
    operator.outputs[0].type = (StringTensorType if classes.dtype.kind in "OU" else Int64TensorType)([None])
    operator.outputs[1].type = FloatTensorType([None, len(classes)])
