"""The exported model, ready to answer: columns in, probabilities out, with nothing between that is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keelway.errors import IntegrityError, ServingError
from keelway.features import FeatureColumn

NUMERIC, CATEGORICAL, PROBABILITIES = "numeric", "categorical", "probabilities"


class OnnxModel:
    """An ONNX Runtime session on one thread; safe to call from several.

    Args:
        data: The ONNX bytes, already checked.
        features: The columns it reads, as the model version names them.

    Raises:
        IntegrityError: The bytes are no ONNX model.
    """

    def __init__(self, data: bytes, features: Sequence[FeatureColumn]) -> None:
        import numpy as np
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

        self._np = np
        self.features = tuple(features)
        self._numeric = [each.name for each in features if each.kind == "numeric"]
        self._categorical = [each.name for each in features if each.kind == "categorical"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidGraph, InvalidProtobuf) as error:
            raise IntegrityError("These bytes are no ONNX model", found=str(error)[:200]) from error

    def probabilities(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return the probability of the outcome for each row; a null number is None or NaN, a null category None or ''.

        Raises:
            ServingError: A column is missing, columns differ in length, or a value has the wrong type.
        """
        np = self._np
        feeds: dict[str, Any] = {}
        try:
            if self._numeric:
                rows = np.array([columns[name] for name in self._numeric], dtype=np.float32)
                feeds[NUMERIC] = np.ascontiguousarray(rows.T)
            if self._categorical:
                texts = [["" if item is None else item for item in columns[name]] for name in self._categorical]
                feeds[CATEGORICAL] = np.ascontiguousarray(np.array(texts, dtype=object).T)
        except KeyError as error:
            raise ServingError(
                f"Feature {error.args[0]!r} is missing", expected="every feature of the model"
            ) from error
        except (TypeError, ValueError) as error:
            raise ServingError("Features cannot be read", expected="columns of one length", found=str(error)) from error
        if any(array.ndim != 2 for array in feeds.values()) or len({len(array) for array in feeds.values()}) > 1:
            raise ServingError("Columns differ in length", expected="columns of one length")
        found: list[float] = self._session.run([PROBABILITIES], feeds)[0][:, 1].tolist()
        return found
