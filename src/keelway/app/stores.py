"""Chooses where files and served features lie: this machine or a server of others, by how the setting is written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import EngineSettings, Settings

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.features import OnlineStore
    from keelway.ingest import ObjectSource
    from keelway.ledger import CheckpointTarget
    from keelway.snapshot import TableStore

CACHE = ".keelway/cache"
"""Where copies of what lies in an object store are kept."""
TABLE_TIMEOUT_S = 30.0
"""For a request of a table's store; a commit holds the state's write lock meanwhile."""

CHECKPOINT_TIMEOUT_S = 30.0
"""For a request of a place for checkpoints; whoever runs a command waits for it."""


def object_source(engines: EngineSettings, *, root: Path) -> ObjectSource:
    """Return the store that raw files arrive in.

    Raises:
        SettingsError: The URL or an option is wrong, or a secret is missing.
        MissingExtraError: It is an object store, and the package for those is not installed.
    """
    if not _is_url(engines.objects):
        from keelway.engines.local.objects import LocalObjects

        return LocalObjects(root / engines.objects)
    from keelway.engines.obstore import StoreObjects, open_store

    return StoreObjects(open_store(engines.objects, _options(engines, root)))


def artifact_store(engines: EngineSettings, *, root: Path) -> ArtifactStore:
    """Return the store of artifacts; raises as `object_source` does."""
    if not _is_url(engines.artifacts):
        from keelway.engines.local.artifacts import LocalArtifacts

        return LocalArtifacts(root / engines.artifacts)
    from keelway.engines.obstore import ObjectArtifacts, open_store

    return ObjectArtifacts(open_store(engines.artifacts, _options(engines, root)), _cache(engines.artifacts, root))


def table_store(engines: EngineSettings, *, root: Path) -> TableStore:
    """Return the store of dataset tables; raises as `object_source` does."""
    from keelway.engines.delta import DeltaTables

    if not _is_url(engines.tables):
        return DeltaTables.below(root / engines.tables)
    from keelway.engines.obstore import Patience, open_store

    options = _options(engines, root)
    store = open_store(engines.tables, options, patience=Patience(request_timeout_s=TABLE_TIMEOUT_S))
    return DeltaTables.at(engines.tables, store.client, options=options, cache=_cache(engines.tables, root))


def online_store(engines: EngineSettings, *, root: Path, project: str) -> OnlineStore:
    """Return the online store that the settings name; on Redis, each project has keys of its own."""
    if engines.online.startswith("sqlite:"):
        from keelway.engines.sql.online import SqliteOnlineStore

        return SqliteOnlineStore(root / engines.online.removeprefix("sqlite:").removeprefix("///"))
    from keelway.engines.redis import RedisOnlineStore
    from keelway.identity import resolve_secret

    return RedisOnlineStore(
        engines.online,
        prefix=f"keelway:{project}",
        user=engines.online_user,
        password=resolve_secret(engines.online_password, root=root) if engines.online_password else "",
        ttl_s=engines.online_ttl_s,
    )


def checkpoint_target(place: str, settings: Settings, *, root: Path) -> CheckpointTarget:
    """Return a place for checkpoints: a folder, the URL of an object store, or `git:REPOSITORY` with `#REMOTE`.

    Raises as `object_source` does.
    """
    if place.startswith("git:"):
        from keelway.engines.git import GitCheckpoints

        repository, _, remote = place.removeprefix("git:").partition("#")
        return GitCheckpoints(root / repository, folder=settings.signing.name, remote=remote)
    if not _is_url(place):
        from keelway.engines.local.checkpoints import FolderCheckpoints

        return FolderCheckpoints(root / place)
    from keelway.engines.obstore import Patience, StoreCheckpoints, open_store

    patience = Patience(retries=2, connect_timeout_s=5.0, request_timeout_s=CHECKPOINT_TIMEOUT_S)
    return StoreCheckpoints(open_store(place, _options(settings.engines, root), patience=patience))


def _is_url(place: str) -> bool:
    return "://" in place


def _options(engines: EngineSettings, root: Path) -> dict[str, str]:
    """Return the options of the object stores, with the secrets that they refer to."""
    from keelway.identity import is_reference, resolve_secret

    return {
        name: resolve_secret(value, root=root) if is_reference(value) else value
        for name, value in engines.object_options.items()
    }


def _cache(url: str, root: Path) -> Path:
    return root / CACHE / hashlib.sha256(url.encode()).hexdigest()[:12]
