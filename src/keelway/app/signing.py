"""The keys that a project signs with and is checked with, and where what it signed is published."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import Settings
from keelway.errors import SettingsError

if TYPE_CHECKING:
    from keelway.ledger import CheckpointTarget, PublicKey, SigningKey


class Signing:
    """The signing keys of a project; each is read when it is first used, so that to check needs no private key.

    Args:
        root: The project's folder.
        settings: What `keelway.toml` says.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._all = settings
        self._settings = settings.signing

    @functools.cached_property
    def key(self) -> SigningKey:
        """The private key, from its secret reference, with the keys that it followed.

        Raises:
            SettingsError: It is missing, or the public key is another one's.
        """
        from keelway.identity import resolve_secret
        from keelway.ledger import SigningKey

        key = SigningKey.load(resolve_secret(self._settings.key, root=self._root))
        if not (self._root / self._settings.public_key).exists():
            return key
        if self.public_key.raw != key.public.raw:
            raise SettingsError(
                "The signing key and the public key do not belong together",
                expected=f"the private half of {self.public_key.key_id[:12]} in {self._settings.key}",
                found=key.key_id[:12],
                fix="Run `keelway keys rotate` again where a rotation broke off; else put the right file in its place.",
            )
        return replace(key, earlier=self.public_key.earlier)

    @functools.cached_property
    def public_key(self) -> PublicKey:
        """The public key that checkpoints, model versions and proofs are checked with."""
        from keelway.ledger import PublicKey

        return PublicKey.load(self._root / self._settings.public_key)

    @functools.cached_property
    def targets(self) -> tuple[CheckpointTarget, ...]:
        """The places where checkpoints are published, the folder of the project first."""
        from keelway.app.stores import checkpoint_target

        places = (self._settings.checkpoints, *self._settings.publish)
        return tuple(checkpoint_target(place, self._all, root=self._root) for place in places)
