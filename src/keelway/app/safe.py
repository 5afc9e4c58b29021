"""Where a project's keys are, and the artifact stores that need them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import Settings
from keelway.errors import SettingsError

if TYPE_CHECKING:
    from keelway.privacy import Keyring, PersonalData, SealedArtifacts, TenantKey

PLAIN_COPIES = ".keelway/plain"
"""Where sealed files lie opened while they are read."""


class Safe:
    """The key vault of a project, the tenant's key to it, and what is stored with them.

    Everything is opened when it is first used, so a project without personal data needs no keys.

    Args:
        root: The project's folder.
        settings: What `keelway.toml` says.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings

    @property
    def vault_path(self) -> Path:
        """The file of the key vault."""
        return self._root / self._settings.privacy.vault.removeprefix("sqlite:").removeprefix("///")

    @functools.cached_property
    def keyring(self) -> Keyring:
        """The key vault, and the tenant's key once it is needed."""
        from keelway.engines.sql.keys import SqliteKeyVault
        from keelway.privacy import Keyring

        return Keyring(self._tenant_key, SqliteKeyVault(self.vault_path))

    @functools.cached_property
    def artifacts(self) -> SealedArtifacts:
        """The artifact store; opens what is sealed, and seals nothing."""
        return self._store(seals=False)

    @functools.cached_property
    def personal(self) -> PersonalData:
        """What a dataset with personal data is brought in with.

        Raises:
            SettingsError: The tenant's key is missing or is not the vault's.
        """
        from keelway.privacy import PersonalData, Tokens

        return PersonalData(Tokens(self.keyring.tenant, self.keyring.vault), self._store(seals=True))

    def close(self) -> None:
        """Remove plain copies, and release the vault."""
        if "artifacts" in self.__dict__:
            self.artifacts.release()
        if "personal" in self.__dict__:
            self.personal.artifacts.release()
        if "keyring" in self.__dict__:
            self.keyring.vault.close()

    def _store(self, *, seals: bool) -> SealedArtifacts:
        from keelway.app.stores import artifact_store
        from keelway.privacy import SealedArtifacts

        inner = artifact_store(self._settings.engines, root=self._root)
        keyring = (lambda: self.keyring) if seals else self._keyring_if_any
        return SealedArtifacts(inner, keyring=keyring, folder=self._root / PLAIN_COPIES, seals=seals)

    def _keyring_if_any(self) -> Keyring | None:
        return self.keyring if self.vault_path.exists() else None

    def _tenant_key(self) -> TenantKey:
        from keelway.identity import resolve_secret
        from keelway.privacy import TenantKey

        reference = self._settings.privacy.key
        try:
            return TenantKey.parse(resolve_secret(reference, root=self._root))
        except SettingsError as error:
            raise SettingsError(
                "The tenant's key cannot be used",
                expected=f"64 hexadecimal digits at {reference}",
                found=error.found or str(error),
                fix="For a new project: keelway keys --init. Otherwise restore the key that its vault was made with.",
            ) from error
