"""The bodies of the OpenAPI document: requests and answers of each protocol, made from a model's features."""

from __future__ import annotations

from typing import Any

from keelway.features import FeatureColumn
from keelway.serve.wire import ENTITY_PATTERN, LARGEST, MAX_ENTITY, MAX_ID, MAX_TEXT, MAX_WORDS, AnswerShape, WireLimits
from keelway.surfaces.scoring.route import ModelReaders

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_ENTITY: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ENTITY, "pattern": ENTITY_PATTERN}
_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
_TEXT_KINDS = ("categorical", "text")


def closed(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return an object with these fields and no other."""
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def named_request(readers: ModelReaders, limits: WireLimits, *, looks_up: bool) -> Schema:
    """Return what `/predict` takes."""
    row = closed({feature.name: value_schema(feature) for feature in readers.features})
    fields = {"entity": _ENTITY, "as_of": _MOMENT, "features": row}
    one = closed(fields, optional=("as_of", "features") if looks_up else ("as_of",))
    return {"anyOf": [one, closed({"instances": _several(one, limits)})]}


def named_answer(shape: AnswerShape) -> Schema:
    """Return what `/predict` answers."""
    text = {"type": "string"}
    fields: Schema = {"entity": text, "prediction_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
    fields[shape.output] = _prediction(shape)
    if shape.task == "multiclass":
        fields["label"] = {"enum": list(shape.classes)}
    fields |= {"model": text, "version": text, "arm": text, "fallback": text, "logged": {"type": "boolean"}}
    one = closed(fields, optional=("fallback",))
    return {"anyOf": [one, closed({"predictions": {"type": "array", "items": one, "minItems": 1}})]}


def explanation_answer(readers: ModelReaders) -> Schema:
    """Return what `/explain` answers."""
    shape, text, number = readers.shape, {"type": "string"}, {"type": "number"}
    one: Schema = closed(dict.fromkeys(shape.classes, number)) if shape.task == "multiclass" else number
    by_feature = closed({feature.name: one for feature in readers.features})
    fields: Schema = {"entity": text, shape.output: _prediction(shape), "model": text, "version": text, "arm": text}
    fields |= {
        "method": {"enum": ["linear-shap", "tree-shap", "permutation"]},
        "scale": {"enum": ["log-odds", "softmax", "probability", "logarithm", "number"]},
        "base": one,
        "contributions": by_feature,
        "margin": one,
        "sampling": closed({"seed": {"type": "integer"}, "orders": {"type": "integer"}, "errors": by_feature}),
    }
    told = closed(fields, optional=("sampling",))
    return {"anyOf": [told, closed({"explanations": {"type": "array", "items": told, "minItems": 1}})]}


def invocation_request(readers: ModelReaders, limits: WireLimits) -> Schema:
    """Return what `/invocations` takes as JSON."""
    names = [feature.name for feature in readers.features]
    values = {feature.name: value_schema(feature) for feature in readers.features}
    beside = {name: schema for name, schema in (("entity", _ENTITY), ("as_of", _MOMENT)) if name not in names}
    record = closed(values)
    row = {
        "type": "array",
        "prefixItems": list(values.values()),
        "minItems": len(names),
        "maxItems": len(names),
    }
    split = {
        "columns": {
            "description": "In this order, or any other that `data` follows; `entity` and `as_of` may be among them.",
            "type": "array",
            "prefixItems": [{"const": name} for name in names],
            "minItems": len(names),
            "maxItems": len(names),
        },
        "index": {"type": ["array", "null"], "items": {**_NUMBER, "type": ["number", "string"]}},
        "data": _several(row, limits),
    }
    columns = closed({name: {**_several(schema, limits), "maxItems": 1} for name, schema in values.items()})
    columns["description"] = (
        f"One value a row for each, all of one length; also {' and '.join(beside) or 'none other'}."
    )
    rows = {"anyOf": [_several(record, limits), _several(row, limits)]}
    params: Schema = {"type": ["object", "null"], "maxProperties": 0}
    layouts: dict[str, Schema] = {
        "dataframe_split": closed(split, optional=("index",)),
        "dataframe_records": _several(record, limits),
        "instances": rows,
        "inputs": {"anyOf": [columns, *rows["anyOf"]]},
    }
    return {"anyOf": [closed({name: each, "params": params}, optional=("params",)) for name, each in layouts.items()]}


def invocation_answer(shape: AnswerShape) -> Schema:
    """Return what `/invocations` answers."""
    one = _probabilities(shape) if shape.task == "multiclass" else _prediction(shape)
    return closed({"predictions": {"type": "array", "items": one, "minItems": 1}})


def inference_request(readers: ModelReaders, limits: WireLimits) -> Schema:
    """Return what `/v2/models/{model}/infer` takes as JSON: a tensor for each feature."""
    tensors = [_tensor(feature, limits) for feature in readers.features]
    outputs = {"type": "array", "items": closed({"name": {"enum": _output_names(readers.shape)}}), "uniqueItems": True}
    fields: Schema = {
        "inputs": {
            "type": "array",
            "prefixItems": tensors,
            "minItems": len(tensors),
            "maxItems": len(tensors),
            "description": "In any order. A model of numbers alone also takes one tensor, rows x features.",
        },
        "id": {"type": ["string", "null"], "maxLength": MAX_ID},
        "outputs": outputs,
    }
    return closed(fields, optional=("id", "outputs"))


def inference_answer(shape: AnswerShape) -> Schema:
    """Return what `/v2/models/{model}/infer` answers."""
    output = closed(
        {
            "name": {"enum": _output_names(shape)},
            "datatype": {"enum": ["FP64", "BYTES"]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "data": {"type": "array"},
        }
    )
    fields: Schema = {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": output, "minItems": 1},
    }
    return closed(fields, optional=("model_version", "id"))


def value_schema(feature: FeatureColumn) -> Schema:
    """Return the schema of a feature's value."""
    if feature.kind == "numeric":
        return {**_NUMBER, "type": ["number", "null"]}
    if feature.kind == "array":
        return {"type": "array", "items": _NUMBER, "minItems": feature.length, "maxItems": feature.length}
    return {"type": ["string", "null"], "maxLength": MAX_WORDS if feature.kind == "text" else MAX_TEXT}


def _tensor(feature: FeatureColumn, limits: WireLimits) -> Schema:
    """Return a feature's tensor as the document shows it: of one row, because no schema can count elements."""
    wide = feature.length if feature.kind == "array" else 1
    value = _NUMBER if feature.kind == "array" else value_schema(feature)
    shape = [{"const": 1}, {"const": wide}] if feature.kind == "array" else [{"const": 1}]
    told = closed(
        {
            "name": {"const": feature.name},
            "shape": {"type": "array", "prefixItems": shape, "minItems": len(shape), "maxItems": len(shape)},
            "datatype": {"const": "BYTES"} if feature.kind in _TEXT_KINDS else {"enum": ["FP32", "FP64"]},
            "data": {"type": "array", "items": value, "minItems": wide, "maxItems": wide},
        }
    )
    rows = f"of 1 to {limits.rows} rows: shape [rows{f', {wide}' if feature.kind == 'array' else ''}]"
    return {**told, "description": f"Shown for one row; a request is {rows}. Whole numbers are taken as INT and UINT."}


def _several(schema: Schema, limits: WireLimits) -> Schema:
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": limits.rows}


def _prediction(shape: AnswerShape) -> Schema:
    if shape.task == "regression":
        return {"type": "number"}
    if shape.task == "multiclass":
        return closed(dict.fromkeys(shape.classes, _probability()))
    return _probability()


def _probability() -> Schema:
    return {"type": "number", "minimum": 0, "maximum": 1}


def _probabilities(shape: AnswerShape) -> Schema:
    count = len(shape.classes)
    return {"type": "array", "items": _probability(), "minItems": count, "maxItems": count}


def _output_names(shape: AnswerShape) -> list[str]:
    label = ["label"] if shape.task == "multiclass" else []
    return [shape.output, *label, "prediction_id", "version"]
