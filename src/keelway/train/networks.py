"""Small neural networks for tables, trained by PyTorch and kept as plain numbers.

    Estimator("network", "keelway.train.networks.NetworkClassifier", {"width": 64, "layers": 2})

Layers of `max(0, x W + b)`, one after the other. PyTorch is needed to fit (the extra `torch`) and for nothing else: weights are
numpy arrays, so a network is stored without a pickle, answers without PyTorch, and is exported as it is.

Fitting is repeatable: weights, the order of rows and dropout follow the seed, on one thread and with PyTorch's deterministic
algorithms. A share of the training rows, drawn by the seed and class by class, is not learnt from; the weights that do best on it are
kept, and fitting ends when they have not been beaten for a while. Numbers beyond those of the training rows are taken for the nearest
one there: like trees, a network knows nothing of what lies outside, and would else answer with anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from keelway.errors import MissingExtraError
from keelway.train.deal import dealt

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TableNetwork(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What both networks share.

    Args:
        width: Numbers in each hidden layer.
        layers: Hidden layers; 0 is a linear model.
        dropout: Share of a hidden layer's numbers that a step of training leaves out.
        learning_rate: Size of Adam's steps (Kingma and Ba 2015).
        weight_decay: How strongly weights are pulled to zero (AdamW, Loshchilov and Hutter 2019).
        batch_rows: Rows in one step.
        max_epochs: How often each row is seen at most.
        patience: After how many epochs without a better one fitting ends.
        validation_share: Share of the training rows that the epochs are judged by; 0 for none, and `max_epochs` are done.
        random_state: The seed of everything random.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_rows: int = 256,
        max_epochs: int = 100,
        patience: int = 10,
        validation_share: float = 0.1,
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.layers = layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_rows = batch_rows
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_share = validation_share
        self.random_state = random_state

    def _learn(self, matrix: Any, targets: NDArray[Any], codes: NDArray[np.intp], loss: Any, outputs: int) -> None:
        """Fit the weights.

        Args:
            matrix: Shape (rows, columns).
            targets: What the loss compares with, one a row.
            codes: The class of each row, from 0, for the draw of the validation rows.
            loss: Returns the loss module, given PyTorch.
            outputs: How many numbers the network gives a row.
        """
        rows = np.asarray(matrix, dtype=np.float32)
        self.n_features_in_ = rows.shape[1]
        self.low_, self.high_ = rows.min(axis=0), rows.max(axis=0)
        shares = (1 - self.validation_share, self.validation_share)
        groups = np.arange(len(rows), dtype=np.intp)
        held_out = dealt(codes, groups, shares=shares, seed=self.random_state) == 1
        if not self.validation_share or held_out.all():
            held_out[:] = False
        torch = _torch()
        with _repeatable(torch, self.random_state):
            network = _layers(torch, rows.shape[1], self.width, self.layers, outputs, self.dropout)
            parts = [tuple(torch.from_numpy(each[part]) for each in (rows, targets)) for part in (~held_out, held_out)]
            self.epochs_ = self._epochs(torch, network, loss(torch), *parts)
            linear = [each for each in network if isinstance(each, torch.nn.Linear)]
            self.weights_ = [each.weight.detach().numpy().T.copy() for each in linear]
            self.biases_ = [each.bias.detach().numpy().copy() for each in linear]
        if not all(np.isfinite(each).all() for each in (*self.weights_, *self.biases_)):
            raise ValueError("the network's weights became infinite; scale the features, or lower learning_rate")

    def _epochs(self, torch: Any, network: Any, loss: Any, learn: tuple[Any, Any], held_out: tuple[Any, Any]) -> int:
        """Train until nothing gets better, leave the best weights in the network, and return after how many epochs they came."""
        steps = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        best, best_epoch, kept = float("inf"), 0, None
        for epoch in range(1, self.max_epochs + 1):
            network.train()
            for batch in torch.randperm(len(learn[0])).split(self.batch_rows):
                steps.zero_grad()
                loss(network(learn[0][batch]), learn[1][batch]).backward()
                steps.step()
            if not len(held_out[0]):
                continue
            network.eval()
            with torch.no_grad():
                value = float(loss(network(held_out[0]), held_out[1]))
            if value < best:
                best, best_epoch = value, epoch
                kept = {name: each.clone() for name, each in network.state_dict().items()}
            elif epoch - best_epoch >= self.patience:
                break
        if kept is None:
            return self.max_epochs
        network.load_state_dict(kept)
        return best_epoch

    def _outputs(self, matrix: Any) -> NDArray[np.float64]:
        """Return what the last layer gives, one row per row; computed in 64 bits with weights of 32."""
        check_is_fitted(self)
        found = np.clip(np.asarray(matrix, dtype=np.float64), self.low_, self.high_)
        for place, (weights, bias) in enumerate(zip(self.weights_, self.biases_, strict=True)):
            found = (np.maximum(found, 0) if place else found) @ weights.astype(np.float64) + bias
        return found


class NetworkClassifier(ClassifierMixin, TableNetwork):  # type: ignore[misc]
    """A network that gives one probability a class; the arguments are those of `TableNetwork`, and one more.

    Args:
        class_weight: `balanced` lets each class weigh as much as any other; None each row.
        choices: Those of `TableNetwork`.
    """

    def __init__(
        self,
        width: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_rows: int = 256,
        max_epochs: int = 100,
        patience: int = 10,
        validation_share: float = 0.1,
        class_weight: str | None = None,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            width, layers, dropout, learning_rate, weight_decay, batch_rows, max_epochs, patience, validation_share,
            random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, matrix: Any, labels: Any) -> Self:
        """Learn from rows and their classes."""
        self.classes_, codes = np.unique(labels, return_inverse=True)
        counts = np.bincount(codes)
        balanced = (len(codes) / (len(counts) * counts)).astype(np.float32)

        def loss(torch: Any) -> Any:
            return torch.nn.CrossEntropyLoss(
                weight=torch.from_numpy(balanced) if self.class_weight == "balanced" else None
            )

        self._learn(matrix, codes.astype(np.int64), codes.astype(np.intp), loss, len(counts))
        return self

    def predict_proba(self, matrix: Any) -> NDArray[np.float64]:
        """Return one probability per class for each row."""
        scores = self._outputs(matrix)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def predict(self, matrix: Any) -> NDArray[Any]:
        """Return the most probable class."""
        named: NDArray[Any] = self.classes_[self.predict_proba(matrix).argmax(axis=1)]
        return named


class NetworkRegressor(RegressorMixin, TableNetwork):  # type: ignore[misc]
    """A network that gives a number; the arguments are those of `TableNetwork`."""

    def fit(self, matrix: Any, labels: Any) -> Self:
        """Learn from rows and their numbers, which are brought to mean 0 and deviation 1 meanwhile."""
        numbers = np.asarray(labels, dtype=np.float64)
        mean, spread = float(numbers.mean()), float(numbers.std()) or 1.0
        targets = ((numbers - mean) / spread).astype(np.float32).reshape(-1, 1)
        self._learn(matrix, targets, np.zeros(len(numbers), dtype=np.intp), lambda torch: torch.nn.MSELoss(), 1)
        self.weights_[-1] = (self.weights_[-1] * spread).astype(np.float32)
        self.biases_[-1] = (self.biases_[-1] * spread + mean).astype(np.float32)
        return self

    def predict(self, matrix: Any) -> NDArray[np.float64]:
        """Return the number for each row."""
        return self._outputs(matrix)[:, 0]


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Fitting a network needs one more package",
            expected="torch",
            found="it is not installed",
            fix="pip install 'keelway[torch]'",
        ) from error
    return torch


def _layers(torch: Any, columns: int, width: int, layers: int, outputs: int, dropout: float) -> Any:
    """Return the untrained layers."""
    made: list[Any] = []
    for place in range(layers):
        made += [torch.nn.Linear(width if place else columns, width), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
    return torch.nn.Sequential(*made, torch.nn.Linear(width if layers else columns, outputs))


@contextmanager
def _repeatable(torch: Any, seed: int) -> Iterator[None]:
    """Let the same seed give the same numbers, and leave PyTorch's settings and its own draws as they were."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)
