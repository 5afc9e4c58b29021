"""Features that cannot see the future: built as of a cut date, with labels that carry when they become known."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.features.build import build_features, columns_for_scoring, online_row, rows_of
    from keelway.features.combine import merged_profile, recounted
    from keelway.features.labels import labels_for
    from keelway.features.leakage import LeakageFinding, LeakageReport, RowFold, leakage
    from keelway.features.online import (
        Materialised,
        MissingShare,
        OnlineStatus,
        materialise,
        online_features,
        online_status,
    )
    from keelway.features.parity import ParityMismatch, ParityReport, parity
    from keelway.features.poison import PoisonedWorld, PoisonFinding, PoisonReport, poison
    from keelway.features.ports import OnlineCut, OnlineRow, OnlineStore, OnlineValue
    from keelway.features.profile import OTHER_LEVELS, coded_texts, counted_levels, profile_of
    from keelway.features.propose import auto_features
    from keelway.features.reads import FeatureReads, features_read, label_reads
    from keelway.features.records import ColumnProfile, CutRows, FeatureColumn, FeatureTable, Profile
    from keelway.features.sketch import QuantileSketch, quantile_of
    from keelway.features.sql import SQL_ENGINES, FeatureSql, SqlEngine, feature_sql
    from keelway.features.stored_row import (
        UNREADABLE,
        check_rows,
        cut_bytes,
        cut_of_bytes,
        entity_twice,
        row_bytes,
        row_of_bytes,
    )

__all__ = [
    "OTHER_LEVELS",
    "SQL_ENGINES",
    "UNREADABLE",
    "ColumnProfile",
    "CutRows",
    "FeatureColumn",
    "FeatureReads",
    "FeatureSql",
    "FeatureTable",
    "LeakageFinding",
    "LeakageReport",
    "Materialised",
    "MissingShare",
    "OnlineCut",
    "OnlineRow",
    "OnlineStatus",
    "OnlineStore",
    "OnlineValue",
    "ParityMismatch",
    "ParityReport",
    "PoisonFinding",
    "PoisonReport",
    "PoisonedWorld",
    "Profile",
    "QuantileSketch",
    "RowFold",
    "SqlEngine",
    "auto_features",
    "build_features",
    "check_rows",
    "coded_texts",
    "columns_for_scoring",
    "counted_levels",
    "cut_bytes",
    "cut_of_bytes",
    "entity_twice",
    "feature_sql",
    "features_read",
    "label_reads",
    "labels_for",
    "leakage",
    "materialise",
    "merged_profile",
    "online_features",
    "online_row",
    "online_status",
    "parity",
    "poison",
    "profile_of",
    "quantile_of",
    "recounted",
    "row_bytes",
    "row_of_bytes",
    "rows_of",
]

open_door(__name__)
