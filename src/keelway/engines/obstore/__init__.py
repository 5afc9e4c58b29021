"""The engine for object stores: raw files and artifacts on S3, Google Cloud Storage and Azure Blob, through obstore."""

from keelway.engines.obstore.artifacts import ObjectArtifacts
from keelway.engines.obstore.checkpoints import StoreCheckpoints
from keelway.engines.obstore.objects import StoreObjects
from keelway.engines.obstore.store import OpenStore, Patience, open_store

__all__ = ["ObjectArtifacts", "OpenStore", "Patience", "StoreCheckpoints", "StoreObjects", "open_store"]
