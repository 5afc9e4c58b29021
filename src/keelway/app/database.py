"""The state database as its operator sees it: where it is, which tables it has, back to older ones, to another place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from keelway.app.wire import database_url
from keelway.identity import resolve_secret

if TYPE_CHECKING:
    from keelway.app.wire import Workspace


@dataclass(frozen=True, slots=True)
class StateView:
    """Where the state is, and what it holds.

    Attributes:
        url: Without a password.
        found: The version of the tables before anything was done; None where there were none.
        version: The version that they have now.
        newest: The version that this Keelway works with.
        rows: How many rows each table has; empty where that was not asked.
    """

    url: str
    found: str | None
    version: str
    newest: str
    rows: dict[str, int]


def show_state(workspace: Workspace) -> StateView:
    """Return where the state is and what it holds; older tables are migrated, as every command does."""
    from keelway.engines.sql import HEAD, row_counts

    url, password = state_url(workspace), state_password(workspace)
    workspace.state.close()
    return StateView(_shown(url), HEAD, HEAD, HEAD, row_counts(url, password=password))


def migrate_state(workspace: Workspace, to: str = "") -> StateView:
    """Bring the tables to a version, up or down, by default to the newest.

    Raises:
        UsageError: There is no such version.
        StorageError: What the database holds does not fit into the older tables; nothing was changed.
    """
    from keelway.engines.sql import HEAD, migrate

    url = state_url(workspace)
    found, version = migrate(url, to or HEAD, password=state_password(workspace))
    return StateView(_shown(url), found, version, HEAD, {})


def copy_to(workspace: Workspace, target: str, *, password: str = "") -> StateView:
    """Copy the state into an empty database.

    Args:
        target: `sqlite:PATH` or `postgresql://USER@HOST/NAME`.
        password: A secret reference to the password of the target's user, or empty.

    Raises:
        ConflictError: The target holds a state already.
    """
    from keelway.engines.sql import HEAD, copy_state

    url = database_url(target, root=workspace.root)
    workspace.state.close()  # opened once: older tables are migrated first
    rows = copy_state(
        state_url(workspace),
        url,
        source_password=state_password(workspace),
        target_password=resolve_secret(password, root=workspace.root) if password else "",
    )
    return StateView(_shown(url), None, HEAD, HEAD, rows)


def state_url(workspace: Workspace) -> str:
    """Return the URL of a project's state."""
    return database_url(workspace.settings.engines.state, root=workspace.root)


def state_password(workspace: Workspace) -> str:
    """Return the password that the settings refer to, or empty text."""
    reference = workspace.settings.engines.state_password
    return resolve_secret(reference, root=workspace.root) if reference else ""


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
