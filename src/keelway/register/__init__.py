"""Registration: numbered, signed model versions that are checked on every load."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
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
    from keelway.register.export import ExportedForms
    from keelway.register.folder import (
        ModelFolder,
        ModelKey,
        ModelPublicKey,
        check_kept,
        export_folder,
        keep_signature,
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
        load_plan,
        load_scorer,
        load_served,
        newest_version,
        scorer_of,
        version_named,
    )
    from keelway.register.onnx_model import OnnxModel
    from keelway.register.onnx_scorer import OnnxScorer
    from keelway.register.parity import check_parity, check_plan
    from keelway.register.plan import (
        ExplanationMethod,
        MarginScale,
        PlanExplainer,
        PlanScorer,
        RowExplanation,
        ScoringPlan,
        compile_plan,
        plan_bytes,
        read_plan,
        with_means,
    )
    from keelway.register.records import ModelVersion, Parity
    from keelway.register.register import proposal_of, register
    from keelway.register.row_lengths import check_row_lengths
    from keelway.register.semver import Candidate, Proposal, propose

__all__ = [
    "BillOfMaterials",
    "Candidate",
    "CardData",
    "CardEntry",
    "CardEvidence",
    "ChampionScorer",
    "Collection",
    "ExplanationMethod",
    "ExportedForms",
    "Gap",
    "LifecycleChange",
    "MarginScale",
    "ModelCard",
    "ModelFolder",
    "ModelKey",
    "ModelPublicKey",
    "ModelVersion",
    "OnnxModel",
    "OnnxScorer",
    "PackageList",
    "Parity",
    "PlanExplainer",
    "PlanScorer",
    "Proposal",
    "RetentionRules",
    "RowExplanation",
    "ScoringPlan",
    "bill_evidence",
    "bill_now",
    "card_markdown",
    "card_page",
    "champion_scorer",
    "change_life",
    "check_if_registered",
    "check_kept",
    "check_parity",
    "check_plan",
    "check_row_lengths",
    "check_version",
    "collect",
    "compile_plan",
    "export_folder",
    "keep_signature",
    "life_evidence",
    "life_of",
    "live_places",
    "load_onnx",
    "load_plan",
    "load_scorer",
    "load_served",
    "model_card",
    "newest_version",
    "plan_bytes",
    "proposal_of",
    "propose",
    "read_plan",
    "read_public_key",
    "register",
    "retired_reasons",
    "scorer_of",
    "to_onnx",
    "verify_folder",
    "version_named",
    "vouch",
    "was_collected",
    "with_means",
]

open_door(__name__)
