"""The exported model, ready to answer: columns in, answers out, with nothing between that is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import parse_json
from keelway.errors import IntegrityError, ServingError
from keelway.features import FeatureColumn
from keelway.train import TextVectors, vectors_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUMERIC, CATEGORICAL, TEXTS, ARRAYS = "numeric", "categorical", "texts", "arrays"
PROBABILITIES, VALUES = "probabilities", "variable"


class OnnxModel:
    """An ONNX Runtime session on one thread; safe to call from several.

    Args:
        data: The ONNX bytes, already checked.
        features: The columns it reads, as the model version names them.

    Raises:
        IntegrityError: The bytes are no ONNX model, or do not say how a text becomes numbers.
    """

    def __init__(self, data: bytes, features: Sequence[FeatureColumn]) -> None:
        import numpy as np
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

        self._np = np
        self.features = tuple(features)
        self._numeric = [each.name for each in features if each.kind == "numeric"]
        self._categorical = [each.name for each in features if each.kind == "categorical"]
        self._arrays = [each for each in features if each.kind == "array"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidGraph, InvalidProtobuf) as error:
            raise IntegrityError("These bytes are no ONNX model", found=str(error)[:200]) from error
        self._texts = self._text_vectors()
        outputs = [each.name for each in self._session.get_outputs()]
        self._output = PROBABILITIES if PROBABILITIES in outputs else VALUES

    @property
    def gives_numbers(self) -> bool:
        """Whether the answers are numbers of a regression, and no probabilities."""
        return self._output == VALUES

    def probabilities(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return the probability of the outcome for each row; a null number is None or NaN, a null category None or ''.

        Raises:
            ServingError: A column is missing, columns differ in length, a value has the wrong type, or the model
                answers with something else than the probability of one outcome.
        """
        answers = self._answers(columns)
        if self.gives_numbers or answers.shape[1] != 2:
            raise ServingError(
                "This model does not answer with the probability of one outcome",
                expected="a model of task binary",
                found="a number" if self.gives_numbers else f"probabilities of {answers.shape[1]} classes",
                fix="Ask for `predictions`.",
            )
        found: list[float] = answers[:, 1].tolist()
        return found

    def predictions(self, columns: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """Return the answers of a model of any task.

        Returns:
            Shape (n,): the probability of the outcome, or the number. Shape (n, k): the probability of each of k classes.

        Raises:
            ServingError: A column is missing, columns differ in length, or a value has the wrong type.
        """
        answers: NDArray[np.float64] = self._answers(columns).astype(self._np.float64)
        if self.gives_numbers:
            return answers.reshape(len(answers))
        return answers[:, 1] if answers.shape[1] == 2 else answers

    def _answers(self, columns: Mapping[str, Sequence[Any]]) -> Any:
        try:
            feeds = self._feeds(columns)
        except KeyError as error:
            raise ServingError(
                f"Feature {error.args[0]!r} is missing", expected="every feature of the model"
            ) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ServingError("Features cannot be read", expected="columns of one length", found=str(error)) from error
        if any(array.ndim != 2 for array in feeds.values()) or len({len(array) for array in feeds.values()}) > 1:
            raise ServingError("Columns differ in length", expected="columns of one length")
        return self._session.run([self._output], feeds)[0]

    def _feeds(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Return the tensors that the graph reads, one row per row."""
        np = self._np
        feeds: dict[str, Any] = {}
        if self._numeric:
            rows = np.array([columns[name] for name in self._numeric], dtype=np.float32)
            feeds[NUMERIC] = np.ascontiguousarray(rows.T)
        if self._categorical:
            texts = [["" if item is None else item for item in columns[name]] for name in self._categorical]
            feeds[CATEGORICAL] = np.ascontiguousarray(np.array(texts, dtype=object).T)
        if self._texts:
            feeds[TEXTS] = np.hstack(
                [made.matrix(["" if item is None else item for item in columns[name]]) for name, made in self._texts]
            )
        if self._arrays:
            feeds[ARRAYS] = np.hstack([self._array(each, columns[each.name]) for each in self._arrays])
        return feeds

    def _array(self, feature: FeatureColumn, values: Sequence[Any]) -> Any:
        """Return the numbers of one array feature, one row per row."""
        made = self._np.array([list(each) for each in values], dtype=self._np.float32)
        if made.shape != (len(values), feature.length):
            raise ValueError(f"{feature.name} needs {feature.length} numbers in each row")
        return made

    def _text_vectors(self) -> list[tuple[str, TextVectors]]:
        """Return how each text becomes numbers, in the order of the graph's columns."""
        names = [each.name for each in self.features if each.kind == "text"]
        told = self._session.get_modelmeta().custom_metadata_map.get(TEXTS, "[]")
        found = [(each["feature"], vectors_from(each)) for each in parse_json(told.encode())]
        if sorted(name for name, _ in found) != sorted(names):
            raise IntegrityError(
                "These bytes do not say how each text becomes numbers",
                expected=", ".join(names) or "no text",
                found=", ".join(name for name, _ in found) or "no text",
            )
        return found
