"""The composition root: settings, the choice of engines, and the use cases that every surface calls."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.app.keys import make_tenant_key
    from keelway.app.settings import FILE_NAME, Settings, find_root, read_settings
    from keelway.app.use_cases import App
    from keelway.app.wire import Workspace

__all__ = ["FILE_NAME", "App", "Settings", "Workspace", "find_root", "make_tenant_key", "read_settings"]

open_door(__name__)
