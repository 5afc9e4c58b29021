"""The layers of a small network as plain ONNX nodes."""

from __future__ import annotations

from typing import Any

from keelway.register.nodes import FLOAT, constant, input_of, label_of, node


def convert_network_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Write a network's probabilities, and the most probable class."""
    network_probabilities(
        scope, container, operator.raw_operator, input_of(operator), output=operator.outputs[1].full_name
    )
    label_of(scope, operator, container)


def convert_network_numbers(scope: Any, operator: Any, container: Any) -> None:
    """Write a network's numbers."""
    _outputs(scope, container, operator.raw_operator, input_of(operator), output=operator.outputs[0].full_name)


def network_probabilities(scope: Any, container: Any, network: Any, matrix: str, *, output: str = "") -> str:
    """Return the name of a network's probabilities, one column a class."""
    scores = _outputs(scope, container, network, matrix)
    return node(scope, container, "Softmax", [scores], output=output, axis=1)


def _outputs(scope: Any, container: Any, network: Any, matrix: str, *, output: str = "") -> str:
    """Return the name of what the last layer gives."""
    whole = node(scope, container, "Cast", [matrix], to=FLOAT)
    above = node(scope, container, "Max", [whole, constant(scope, container, network.low_)])
    found = node(scope, container, "Min", [above, constant(scope, container, network.high_)])
    layers = list(zip(network.weights_, network.biases_, strict=True))
    for place, (weights, bias) in enumerate(layers):
        told = [
            constant(scope, container, weights.ravel(), shape=list(weights.shape)),
            constant(scope, container, bias),
        ]
        if place == len(layers) - 1:
            return node(scope, container, "Gemm", [found, *told], output=output)
        found = node(scope, container, "Relu", [node(scope, container, "Gemm", [found, *told])])
    return found
