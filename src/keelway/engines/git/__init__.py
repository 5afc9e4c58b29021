"""A git repository as the place where checkpoints are published."""

from keelway.engines.git.checkpoints import GitCheckpoints

__all__ = ["GitCheckpoints"]
