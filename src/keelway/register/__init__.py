"""Registration: numbered, signed model versions that are checked on every load."""

from keelway.register.bom import BillOfMaterials, PackageList, bill_evidence, bill_now
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
from keelway.register.collect import Collection, RetentionRules, collect, was_collected
from keelway.register.convert import to_onnx
from keelway.register.folder import (
    ModelFolder,
    ModelKey,
    ModelPublicKey,
    export_folder,
    read_public_key,
    verify_folder,
    vouch,
)
from keelway.register.lifecycle import (
    LifecycleChange,
    change_life,
    life_evidence,
    life_of,
    live_places,
    retired_reasons,
)
from keelway.register.load import (
    ChampionScorer,
    champion_scorer,
    check_if_registered,
    check_version,
    load_onnx,
    newest_version,
    version_named,
)
from keelway.register.onnx_model import OnnxModel
from keelway.register.parity import check_parity
from keelway.register.records import ModelVersion, Parity
from keelway.register.register import proposal_of, register
from keelway.register.semver import Candidate, Proposal, propose

__all__ = [
    "BillOfMaterials",
    "Candidate",
    "CardData",
    "CardEntry",
    "CardEvidence",
    "ChampionScorer",
    "Collection",
    "Gap",
    "LifecycleChange",
    "ModelCard",
    "ModelFolder",
    "ModelKey",
    "ModelPublicKey",
    "ModelVersion",
    "OnnxModel",
    "PackageList",
    "Parity",
    "Proposal",
    "RetentionRules",
    "bill_evidence",
    "bill_now",
    "card_markdown",
    "card_page",
    "champion_scorer",
    "change_life",
    "check_if_registered",
    "check_parity",
    "check_version",
    "collect",
    "export_folder",
    "life_evidence",
    "life_of",
    "live_places",
    "load_onnx",
    "model_card",
    "newest_version",
    "proposal_of",
    "propose",
    "read_public_key",
    "register",
    "retired_reasons",
    "to_onnx",
    "verify_folder",
    "version_named",
    "vouch",
    "was_collected",
]
