"""Personal data: tokens in its place, sealed raw files, erasure by destroying keys, and a scrubber for text."""

from keelway.privacy.erase import Erasure, ErasureDone, UsedVersion, Uses, carry_out, order_erasure, unfinished
from keelway.privacy.personal import PersonalData
from keelway.privacy.ports import ArtifactKey, KeyVault, Loss, ValueKey
from keelway.privacy.scrub import Scrubber, ScrubFilter, scrub, scrub_logs, scrub_tracebacks
from keelway.privacy.seal import SEALED_KINDS, Keyring, SealedArtifacts
from keelway.privacy.tenant import Purpose, TenantKey
from keelway.privacy.tokens import NamingColumn, Tokens, is_token

__all__ = [
    "SEALED_KINDS",
    "ArtifactKey",
    "Erasure",
    "ErasureDone",
    "KeyVault",
    "Keyring",
    "Loss",
    "NamingColumn",
    "PersonalData",
    "Purpose",
    "ScrubFilter",
    "Scrubber",
    "SealedArtifacts",
    "TenantKey",
    "Tokens",
    "UsedVersion",
    "Uses",
    "ValueKey",
    "carry_out",
    "is_token",
    "order_erasure",
    "scrub",
    "scrub_logs",
    "scrub_tracebacks",
    "unfinished",
]
