"""Registration: numbered, signed model versions that are checked on every load."""

from keelway.register.card import (
    CardData,
    CardEntry,
    CardEvidence,
    Gap,
    ModelCard,
    card_markdown,
    card_page,
    model_card,
)
from keelway.register.convert import to_onnx
from keelway.register.load import ChampionScorer, champion_scorer, load_onnx, newest_version, version_named
from keelway.register.onnx_model import OnnxModel
from keelway.register.parity import check_parity
from keelway.register.records import ModelVersion, Parity
from keelway.register.register import next_semver, register

__all__ = [
    "CardData",
    "CardEntry",
    "CardEvidence",
    "ChampionScorer",
    "Gap",
    "ModelCard",
    "ModelVersion",
    "OnnxModel",
    "Parity",
    "card_markdown",
    "card_page",
    "champion_scorer",
    "check_parity",
    "load_onnx",
    "model_card",
    "newest_version",
    "next_semver",
    "register",
    "to_onnx",
    "version_named",
]
