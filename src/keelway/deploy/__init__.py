"""Deployments: which versions answer in an environment, rollouts of new ones, and the way back."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.deploy.assign import assign
    from keelway.deploy.begin import BegunRollout, begin_rollout
    from keelway.deploy.buckets import BUCKETS, bucket_of
    from keelway.deploy.change import Smoke, StandingTraffic, standing
    from keelway.deploy.deploy import Follow, current, deploy, history, rollback, way_back
    from keelway.deploy.fits import must_fit
    from keelway.deploy.layers import NOBODY, Allocation, Layer
    from keelway.deploy.moves import RolloutScene, carry_out, rollout_scene, seen, turn
    from keelway.deploy.next_move import NextMove, failing_part, next_move
    from keelway.deploy.places import layer_of, layer_pointer
    from keelway.deploy.ports import ObservedReplica, ObservedTraffic, ServingTarget, TargetCapabilities
    from keelway.deploy.record import (
        ASKED,
        CANARY,
        CONTROL,
        EVERYBODY,
        SHADOW,
        STABLE,
        Deployment,
        SmokeResult,
        pointer_of,
    )
    from keelway.deploy.rollouts import (
        ArmVerdict,
        Move,
        RolloutLook,
        RolloutStart,
        RolloutState,
        RolloutTurn,
        deployments_of,
        looks_of,
        rollout_state,
        rollouts_of,
        running_rollout,
        turns_of,
    )
    from keelway.deploy.stages import trial_shares

__all__ = [
    "ASKED",
    "BUCKETS",
    "CANARY",
    "CONTROL",
    "EVERYBODY",
    "NOBODY",
    "SHADOW",
    "STABLE",
    "Allocation",
    "ArmVerdict",
    "BegunRollout",
    "Deployment",
    "Follow",
    "Layer",
    "Move",
    "NextMove",
    "ObservedReplica",
    "ObservedTraffic",
    "RolloutLook",
    "RolloutScene",
    "RolloutStart",
    "RolloutState",
    "RolloutTurn",
    "ServingTarget",
    "Smoke",
    "SmokeResult",
    "StandingTraffic",
    "TargetCapabilities",
    "assign",
    "begin_rollout",
    "bucket_of",
    "carry_out",
    "current",
    "deploy",
    "deployments_of",
    "failing_part",
    "history",
    "layer_of",
    "layer_pointer",
    "looks_of",
    "must_fit",
    "next_move",
    "pointer_of",
    "rollback",
    "rollout_scene",
    "rollout_state",
    "rollouts_of",
    "running_rollout",
    "seen",
    "standing",
    "trial_shares",
    "turn",
    "turns_of",
    "way_back",
]

open_door(__name__)
