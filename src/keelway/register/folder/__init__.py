"""Versions as signed folders, in the formats of OpenSSF model-signing."""

from keelway.register.folder.bundle import bundle_of, check_folder, open_bundle, sign_folder
from keelway.register.folder.export import ModelFolder, export_folder, read_public_key, verify_folder
from keelway.register.folder.kept import check_kept, keep_signature
from keelway.register.folder.keys import ModelKey, ModelPublicKey, vouch, vouched
from keelway.register.folder.manifest import SIGNATURE_FILE, FolderManifest, Serialization, manifest_in, manifest_of

__all__ = [
    "SIGNATURE_FILE",
    "FolderManifest",
    "ModelFolder",
    "ModelKey",
    "ModelPublicKey",
    "Serialization",
    "bundle_of",
    "check_folder",
    "check_kept",
    "export_folder",
    "keep_signature",
    "manifest_in",
    "manifest_of",
    "open_bundle",
    "read_public_key",
    "sign_folder",
    "verify_folder",
    "vouch",
    "vouched",
]
