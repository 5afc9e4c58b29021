"""The columns of a feature table that are not features."""

from __future__ import annotations

ENTITY, AS_OF, LABEL, LABEL_KNOWN_AT = "entity", "as_of", "label", "label_known_at"
RESERVED = (ENTITY, AS_OF, LABEL, LABEL_KNOWN_AT)
