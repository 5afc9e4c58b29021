"""The keys that a project signs with and is checked with, and where what it signed is published."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import Settings

if TYPE_CHECKING:
    from keelway.ledger import PublicKey, SigningKey


class Signing:
    """The signing keys of a project; each is read when it is first used, so that to check needs no private key.

    Args:
        root: The project's folder.
        settings: What `keelway.toml` says.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings.signing

    @functools.cached_property
    def key(self) -> SigningKey:
        """The private key, from its secret reference."""
        from keelway.identity import resolve_secret
        from keelway.ledger import SigningKey

        return SigningKey.load(resolve_secret(self._settings.key, root=self._root))

    @functools.cached_property
    def public_key(self) -> PublicKey:
        """The public key that checkpoints, model versions and proofs are checked with."""
        from keelway.ledger import PublicKey

        return PublicKey.load(self._root / self._settings.public_key)

    @property
    def checkpoints(self) -> Path:
        """The folder where checkpoints are published."""
        return self._root / self._settings.checkpoints
