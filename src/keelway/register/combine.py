"""One ONNX graph of an ensemble: the graphs of its members beside each other, and a few nodes that combine their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.register.onnx_model import PROBABILITIES, TEXTS, VALUES

if TYPE_CHECKING:
    from keelway.train import EnsembleManifest


def combined_graph(manifest: EnsembleManifest, members: Sequence[Any]) -> Any:
    """Return the ONNX model that answers as the ensemble does; every member reads the same inputs.

    Raises:
        NotImplementedError: The members turn texts into columns differently.
    """
    from onnx import checker
    from onnx.compose import add_prefix
    from onnx.helper import make_graph, make_model, set_model_props

    texts = {prop.value for each in members for prop in each.metadata_props if prop.key == TEXTS}
    if len(texts) > 1:
        raise NotImplementedError("Members that turn texts into columns differently cannot be exported together")
    own = [add_prefix(each, f"member_{place}_", rename_inputs=False) for place, each in enumerate(members)]
    output = VALUES if manifest.task == "regression" else PROBABILITIES
    answers = [f"member_{place}_{output}" for place in range(len(own))]
    nodes, constants = _combination(manifest, answers, output)
    first = own[0].graph
    (shape,) = [each for each in members[0].graph.output if each.name == output]
    graph = make_graph(
        [*(node for each in own for node in each.graph.node), *nodes],
        "keelway",
        list(first.input),
        [shape],
        [*(each for one in own for each in one.graph.initializer), *constants],
    )
    made = make_model(graph, opset_imports=_opsets(own), ir_version=own[0].ir_version, producer_name="keelway")
    if texts:
        set_model_props(made, {TEXTS: texts.pop()})
    checker.check_model(made)
    return made


def _opsets(members: Sequence[Any]) -> list[Any]:
    """Return every operator set that a member uses, in its highest version."""
    from onnx.helper import make_opsetid

    versions: dict[str, int] = {}
    for each in members:
        for used in each.opset_import:
            versions[used.domain] = max(versions.get(used.domain, 0), used.version)
    return [make_opsetid(domain, version) for domain, version in sorted(versions.items())]


def _combination(manifest: EnsembleManifest, answers: list[str], output: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes that combine the members' answers, and their constants."""
    import numpy as np
    from onnx.helper import make_node
    from onnx.numpy_helper import from_array

    def constant(name: str, values: Any, kind: Any = np.float32) -> Any:
        return from_array(np.asarray(values, dtype=kind), name)

    if manifest.method != "stacking":
        weights = [constant(f"weight_{place}", [value]) for place, value in enumerate(manifest.weights)]
        nodes = [
            make_node("Mul", [answer, f"weight_{place}"], [f"weighed_{place}"]) for place, answer in enumerate(answers)
        ]
        return [*nodes, make_node("Sum", [f"weighed_{place}" for place in range(len(answers))], [output])], weights
    constants = [
        constant("coefficients", np.transpose(manifest.coefficients)),
        constant("intercepts", manifest.intercepts),
    ]
    nodes = []
    read = answers
    if manifest.task == "binary":
        constants += [constant("second", [1], np.int64), constant("one", [1.0])]
        read = [f"positive_{place}" for place in range(len(answers))]
        nodes = [
            make_node("Gather", [answer, "second"], [name], axis=1) for answer, name in zip(answers, read, strict=True)
        ]
    nodes.append(make_node("Concat", read, ["answers"], axis=1))
    scores = output if manifest.task == "regression" else "scores"
    nodes.append(make_node("Gemm", ["answers", "coefficients", "intercepts"], [scores]))
    if manifest.task == "multiclass":
        nodes.append(make_node("Softmax", ["scores"], [output], axis=1))
    elif manifest.task == "binary":
        nodes.append(make_node("Sigmoid", ["scores"], ["positive"]))
        nodes.append(make_node("Sub", ["one", "positive"], ["negative"]))
        nodes.append(make_node("Concat", ["negative", "positive"], [output], axis=1))
    return nodes, constants
