"""Personal data: tokens in its place, sealed raw files, erasure by destroying keys, and a scrubber for text."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.privacy.erase import (
        ErasedFile,
        Erasure,
        ErasureDone,
        UsedVersion,
        Uses,
        carry_out,
        erased_files,
        must_not_be_erased,
        order_erasure,
        unfinished,
    )
    from keelway.privacy.folders import WORK, sweep, working_folder
    from keelway.privacy.personal import PersonalData
    from keelway.privacy.ports import ArtifactKey, KeyVault, Loss, ValueKey
    from keelway.privacy.scrub import Scrubber, ScrubFilter, scrub, scrub_logs, scrub_tracebacks
    from keelway.privacy.seal import SEALED_KINDS, Keyring, SealedArtifacts
    from keelway.privacy.tenant import Purpose, TenantKey
    from keelway.privacy.tokens import NamingColumn, Tokens, is_token
    from keelway.privacy.turns import FileTurns

__all__ = [
    "SEALED_KINDS",
    "WORK",
    "ArtifactKey",
    "ErasedFile",
    "Erasure",
    "ErasureDone",
    "FileTurns",
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
    "erased_files",
    "is_token",
    "must_not_be_erased",
    "order_erasure",
    "scrub",
    "scrub_logs",
    "scrub_tracebacks",
    "sweep",
    "unfinished",
    "working_folder",
]

open_door(__name__)
