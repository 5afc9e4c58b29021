"""Deployments: which versions answer in an environment, canaries, and the way back."""

from keelway.deploy.assign import BUCKETS, CANARY, STABLE, assign, bucket_of
from keelway.deploy.deploy import advance, current, deploy, history, rollback, way_back
from keelway.deploy.layers import Allocation, Layer
from keelway.deploy.record import Deployment, SmokeResult, pointer_of

__all__ = [
    "BUCKETS",
    "CANARY",
    "STABLE",
    "Allocation",
    "Deployment",
    "Layer",
    "SmokeResult",
    "advance",
    "assign",
    "bucket_of",
    "current",
    "deploy",
    "history",
    "pointer_of",
    "rollback",
    "way_back",
]
