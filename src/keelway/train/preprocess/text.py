"""Texts as numbers: words are counted into a bounded number of columns, the same way in training and in serving.

No exported graph splits a text into words just as Python does: ONNX Runtime's tokeniser knows ASCII words only, and the
converter says that its answers differ. So the text step is not exported. It is plain data, a `TextVectors`, which travels in
the exported model's metadata, and this module computes the columns on both sides.

>>> made = text_vectors(["free prize", "free lunch", "lunch at noon"], method="tfidf", columns=2)
>>> made.words
('free', 'lunch')
>>> made.matrix(["FREE!", ""]).tolist()
[[1.0, 0.0], [0.0, 0.0]]
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HASHING, TFIDF = "hashing", "tfidf"
MIN_TEXTS = 2  # a word that stands in a single text tells nothing about another
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TextVectors:
    """How a text becomes numbers.

    Attributes:
        columns: How many numbers a text becomes.
        words: The words that have a column, in order; empty where words are hashed into columns.
        weights: The weight of each word; empty where words are hashed.
    """

    columns: int
    words: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def matrix(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text, of length 1, or 0 where no word of it has a column."""
        import numpy as np

        made = np.zeros((len(texts), self.columns), dtype=np.float32)
        for row, text in enumerate(texts):
            found = self._weighed(text)
            length = math.sqrt(math.fsum(value * value for value in found.values()))
            for place, value in found.items():
                made[row, place] = value / length
        return made

    def _weighed(self, text: str) -> dict[int, float]:
        counts = Counter(split_words(text))
        found: dict[int, float] = {}
        for word, count in counts.items():
            if not self._hashes:
                place = self._places.get(word)
                if place is not None:
                    found[place] = count * self.weights[place]
            else:
                place = zlib.crc32(word.encode("utf-8", "replace")) % self.columns
                found[place] = found.get(place, 0.0) + count
        return found

    @property
    def _hashes(self) -> bool:
        return not self.words

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}


def text_vectors(texts: Iterable[str], *, method: str, columns: int) -> TextVectors:
    """Return how texts like these become numbers.

    Words are weighed by ln((1 + n) / (1 + d)) + 1, where d of n texts hold the word: the smoothed inverse document frequency of
    scikit-learn's user guide, section "Tf-idf term weighting". The words that stand in most texts get the columns.

    Args:
        texts: The training texts.
        method: `tfidf` or `hashing`.
        columns: How many columns there may be.
    """
    if method == HASHING:
        return TextVectors(columns)
    seen: Counter[str] = Counter()
    count = 0
    for count, text in enumerate(texts, 1):  # noqa: B007  (the last number is how many there are)
        seen.update(set(split_words(text)))
    ranked = sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:columns]
    kept = sorted(word for word, times in ranked if times >= MIN_TEXTS)
    weights = tuple(math.log((1 + count) / (1 + seen[word])) + 1 for word in kept)
    return TextVectors(len(kept), tuple(kept), weights) if kept else TextVectors(1)


def split_words(text: str) -> list[str]:
    """Return the words of a text in small letters.

    >>> split_words("Don't pay £5, Größe")
    ['don', 't', 'pay', '5', 'größe']
    """
    return _WORD.findall(text.lower())


def vectors_from(told: dict[str, Any]) -> TextVectors:
    """Return what `vectors_told` wrote down."""
    return TextVectors(told["columns"], tuple(told["words"]), tuple(told["weights"]))


def vectors_told(vectors: TextVectors) -> dict[str, Any]:
    """Return everything that decides how a text becomes numbers, as plain values."""
    return {"columns": vectors.columns, "words": list(vectors.words), "weights": list(vectors.weights)}
