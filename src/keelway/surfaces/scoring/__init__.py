"""Answers predictions over HTTP: a plain ASGI app on uvicorn, with nothing between a request and the model."""

from keelway.surfaces.scoring.app import ScoringApp
from keelway.surfaces.scoring.gate import CallerGate, TokenRule, token_rule
from keelway.surfaces.scoring.route import ModelRoute
from keelway.surfaces.scoring.server import serve

__all__ = ["CallerGate", "ModelRoute", "ScoringApp", "TokenRule", "serve", "token_rule"]
