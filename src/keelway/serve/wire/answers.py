"""Writes answers in the shape of each protocol; a number goes out as the prediction log holds it.

    /predict      {"entity": "00042", "prediction_id": "...", "probability": 0.81, "model": "churn", ...}
    v2            {"model_name": "churn", "model_version": "3", "outputs": [{"name": "probability", ...}, ...]}
    invocations   {"predictions": [0.81]}

A binary model answers the probability of its positive class, a regression a number, a multiclass model a probability
a class and the class that has the highest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import msgspec

from keelway.core import split_version
from keelway.serve.wire.open_inference import InferenceAsked
from keelway.serve.wire.refusal import refused, shown
from keelway.serve.wire.tensors import binary_numbers, binary_texts

if TYPE_CHECKING:
    from keelway.features import FeatureColumn
    from keelway.project import Task
    from keelway.serve.answer import Answer

BINARY = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What a model answers: its task, and the names of its classes (none for a regression)."""

    task: Task
    classes: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """What a prediction is called."""
        return {"binary": "probability", "multiclass": "probabilities", "regression": "prediction"}[self.task]


def prediction_text(answer: Answer) -> str:
    """Return a prediction as the log holds it: JSON of a number, or of a list with a number a class."""
    return answer.value


def named_answers(answers: Sequence[Answer], model: str, shape: AnswerShape, *, many: bool) -> bytes:
    """Return the body of an answer of `/predict`."""
    output, several = shape.output, shape.task == "multiclass"
    rests: dict[tuple[int, bool], str] = {}
    version, logged, rest = None, False, ""
    told = []
    for answer in answers:
        if answer.version is not version or answer.logged is not logged:
            version, logged = answer.version, answer.logged
            rest = rests.get((id(version), logged)) or _rest(answer, model)
            rests[id(version), logged] = rest
        value = _by_class(answer, shape) if several else answer.value
        told.append(
            f'{{"entity":{encode_basestring(answer.entity)},"prediction_id":"{answer.prediction_id}","{output}":{value}{rest}'
        )
    return (f'{{"predictions":[{",".join(told)}]}}' if many else told[0]).encode()


def _rest(answer: Answer, model: str) -> str:
    """Return what all answers of one version end with."""
    version = answer.version
    mark = f',"fallback":{encode_basestring(version.fallback)}' if version.fallback else ""
    return (
        f',"model":"{model}","version":"{version.version}","arm":"{version.arm}"{mark},'
        f'"logged":{"true" if answer.logged else "false"}}}'
    )


def invocation_answers(answers: Sequence[Answer], shape: AnswerShape) -> bytes:
    """Return the body of an answer of `/invocations`: a number a row, or for several classes a list a row."""
    if shape.task == "multiclass":
        return msgspec.json.encode({"predictions": [_numbers(each) for each in answers]})
    return ('{"predictions":[' + ",".join([prediction_text(each) for each in answers]) + "]}").encode()


def inference_metadata(
    model: str, versions: Sequence[str], features: Sequence[FeatureColumn], shape: AnswerShape
) -> bytes:
    """Return what `/v2/models/{model}` tells of a model's tensors."""
    inputs = [
        {
            "name": each.name,
            "datatype": "BYTES" if each.kind in {"categorical", "text"} else "FP64",
            "shape": [-1, each.length] if each.kind == "array" else [-1],
        }
        for each in features
    ]
    outputs = [
        {"name": name, "datatype": kind, "shape": [-1, wide] if wide else [-1]}
        for name, kind, wide, _ in _outputs(shape)
    ]
    told = {"name": model, "versions": list(versions), "platform": "keelway", "inputs": inputs, "outputs": outputs}
    return msgspec.json.encode(told)


def check_outputs(asked: InferenceAsked, shape: AnswerShape) -> None:
    """Refuse an output that the model does not have, before anything is scored.

    Raises:
        BadRequestError: One is asked for.
    """
    names = [name for name, _, _, _ in _outputs(shape)]
    for name in asked.outputs or ():
        if name not in names:
            raise refused("$.outputs", " or ".join(names), shown(name), what="An output is not known")


def inference_answers(
    answers: Sequence[Answer], asked: InferenceAsked, *, model: str, shape: AnswerShape
) -> tuple[bytes, int | None]:
    """Return the body of an inference answer, and how much of it is JSON where bytes follow that."""
    head: dict[str, Any] = {"model_name": model}
    versions = {each.version.version for each in answers}
    if len(versions) == 1:
        head["model_version"] = str(split_version(next(iter(versions)))[1])
    if asked.id:
        head["id"] = asked.id
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, kind, wide, values_of in _outputs(shape):
        if asked.outputs is not None and name not in asked.outputs:
            continue
        values = [value for each in answers for value in values_of(each)]
        output: dict[str, Any] = {
            "name": name,
            "datatype": kind,
            "shape": [len(answers), wide] if wide else [len(answers)],
        }
        if asked.outputs[name] if asked.outputs is not None else asked.binary:
            data = binary_texts(values) if kind == "BYTES" else binary_numbers(values)
            output["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            output["data"] = values
        outputs.append(output)
    text = msgspec.json.encode({**head, "outputs": outputs})
    return (text + b"".join(tail), len(text)) if tail else (text, None)


def _outputs(shape: AnswerShape) -> list[tuple[str, str, int, Callable[[Answer], list[Any]]]]:
    """Return name, datatype, width (0 for one value a row) and values of every output."""
    several = shape.task == "multiclass"
    found: list[tuple[str, str, int, Callable[[Answer], list[Any]]]] = [
        (shape.output, "FP64", len(shape.classes) if several else 0, _numbers)
    ]
    if several:
        found.append(("label", "BYTES", 0, lambda answer: [_label(answer, shape)]))
    found.append(("prediction_id", "BYTES", 0, lambda answer: [answer.prediction_id]))
    found.append(("version", "BYTES", 0, lambda answer: [answer.version.version]))
    return found


def _numbers(answer: Answer) -> list[float]:
    """Return the numbers of a prediction: one, or one a class."""
    found = msgspec.json.decode(prediction_text(answer))
    return [float(each) for each in found] if isinstance(found, list) else [float(found)]


def _label(answer: Answer, shape: AnswerShape) -> str:
    numbers = _numbers(answer)
    return shape.classes[numbers.index(max(numbers))]


def _by_class(answer: Answer, shape: AnswerShape) -> str:
    """Return a prediction of several classes as an object by their names, and the name of the likeliest."""
    pairs = zip(shape.classes, _numbers(answer), strict=True)
    return f'{msgspec.json.encode(dict(pairs)).decode()},"label":{encode_basestring(_label(answer, shape))}'
