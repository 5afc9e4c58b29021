"""Makes the tenant's key of a project."""

from __future__ import annotations

from pathlib import Path

from keelway.app.settings import Settings
from keelway.errors import UsageError

_SCHEME = "file:"


def make_tenant_key(root: Path, settings: Settings) -> bool:
    """Write a new tenant's key to the file that the settings name, readable by its owner alone; say that it did.

    Raises:
        UsageError: There is a key or a vault already, or the settings name no file.
        StorageError: The file cannot be written.
    """
    from keelway.ledger import write_atomically
    from keelway.privacy import TenantKey

    reference = settings.privacy.key
    if not reference.startswith(_SCHEME):
        raise UsageError(
            "Keelway makes keys in files only",
            expected=f"privacy.key = {_SCHEME}PATH",
            found=reference,
            fix="Put 64 random hexadecimal digits there yourself, such as those of `openssl rand -hex 32`.",
        )
    path = root / reference.removeprefix(_SCHEME)
    vault = root / settings.privacy.vault.removeprefix("sqlite:").removeprefix("///")
    for there in (path, vault):
        if there.exists():
            raise UsageError(
                "There are keys already",
                expected=f"no {there}",
                found="a file that tokens and sealed files depend on",
                fix="Keep it: without it every token changes and no sealed file can be opened.",
            )
    write_atomically(path, f"{TenantKey.generate().text()}\n".encode(), mode=0o600)
    return True
