"""Features that cannot see the future: built as of a cut date, with labels that carry when they become known."""

from keelway.features.build import build_features, columns_for_scoring, online_row, rows_of
from keelway.features.labels import labels_for
from keelway.features.profile import OTHER_LEVELS, profile_of
from keelway.features.reads import FeatureReads, features_read, label_reads
from keelway.features.records import ColumnProfile, FeatureColumn, FeatureTable, Profile

__all__ = [
    "OTHER_LEVELS",
    "ColumnProfile",
    "FeatureColumn",
    "FeatureReads",
    "FeatureTable",
    "Profile",
    "build_features",
    "columns_for_scoring",
    "features_read",
    "label_reads",
    "labels_for",
    "online_row",
    "profile_of",
    "rows_of",
]
