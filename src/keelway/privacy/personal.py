"""What a dataset with personal data is brought in with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from keelway.privacy.seal import SealedArtifacts
from keelway.privacy.tokens import Tokens


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The tokens for its values, and the store that seals its raw files, quarantined rows and predictions.

    Attributes:
        at_work: Keeps erasures out while a batch is brought in.
    """

    tokens: Tokens
    artifacts: SealedArtifacts
    at_work: Callable[[], AbstractContextManager[None]] = nullcontext
