"""Signed folders: the OpenSSF tool and Keelway accept each other's signatures, and both refuse every attack."""

from __future__ import annotations

import base64
import hmac
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_signing
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import IntegrityError, SettingsError, StorageError
from keelway.ledger import SigningKey
from keelway.register.folder import (
    FolderManifest,
    ModelKey,
    ModelPublicKey,
    Serialization,
    bundle_of,
    check_folder,
    manifest_in,
    manifest_of,
    open_bundle,
    read_public_key,
    sign_folder,
    vouch,
    vouched,
)

KEY = SigningKey("test", bytes(range(32)))
MODEL_KEY = ModelKey.of(KEY)
FILES = {"model.onnx": b"a model" * 99, "card.md": b"# A card", "parts/one.bin": b"1", "parts.txt": b"2", "empty": b""}


def written(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, data in (FILES if files is None else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that Keelway signed."""
    made = written(tmp_path / "model")
    sign_folder(made, key=MODEL_KEY)
    return made


def theirs(folder: Path, public: ModelPublicKey = MODEL_KEY.public, signature: Path | None = None) -> None:
    """Let the OpenSSF library verify a folder."""
    pem = folder.parent / "their.pub"
    pem.write_text(public.pem)
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=pem).verify(
        folder, signature or folder / "model.sig"
    )


def change(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[3] ^= 1
    (folder / "model.onnx").write_bytes(data)


def swap_for_a_link(folder: Path) -> None:
    """Put the very same bytes behind a link, so that no digest tells."""
    shutil.copy(folder / "model.onnx", folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def swap_a_folder_for_a_link(folder: Path) -> None:
    shutil.move(folder / "parts", folder.parent / "elsewhere")
    (folder / "parts").symlink_to(folder.parent / "elsewhere")


def swap_two(folder: Path) -> None:
    one, other = (folder / name for name in ("card.md", "parts.txt"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


ATTACKS: dict[str, Callable[[Path], object]] = {
    "changed": change,
    "emptied": lambda folder: (folder / "card.md").write_bytes(b""),
    "lengthened": lambda folder: (folder / "empty").write_bytes(b"x"),
    "added": lambda folder: (folder / "extra.py").write_text("import os"),
    "added empty": lambda folder: (folder / "extra").touch(),
    "added below": lambda folder: (folder / "parts" / "two.bin").write_text("2"),
    "removed": lambda folder: (folder / "card.md").unlink(),
    "renamed": lambda folder: (folder / "card.md").rename(folder / "README.md"),
    "swapped": swap_two,
    "link": swap_for_a_link,
    "folder link": swap_a_folder_for_a_link,
    "no signature": lambda folder: (folder / "model.sig").unlink(),
}


def test_the_openssf_tool_verifies_what_keelway_signed(folder: Path) -> None:
    theirs(folder)
    assert set(check_folder(folder, key=MODEL_KEY.public).resources) == set(FILES)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attacked_folder_is_refused_by_keelway_and_by_the_tool(
    folder: Path, attack: Callable[[Path], object]
) -> None:
    attack(folder)
    with pytest.raises(IntegrityError):
        check_folder(folder, key=MODEL_KEY.public)
    with pytest.raises((ValueError, OSError)):
        theirs(folder)


def test_a_wrong_key_is_refused_by_both(folder: Path) -> None:
    other = ModelKey.of(SigningKey.generate("other")).public
    with pytest.raises(IntegrityError, match="signed by another key"):
        check_folder(folder, key=other)
    with pytest.raises(ValueError, match="Key mismatch"):
        theirs(folder, other)


def with_bundle(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads((folder / "model.sig").read_text())
    change(told)
    (folder / "model.sig").write_text(json.dumps(told))


def test_a_wrong_key_under_the_right_hint_is_refused_by_both(folder: Path) -> None:
    """The hint is no evidence: an attacker writes there what he likes."""
    forged = bundle_of(manifest_of(folder).statement(), key=ModelKey.of(SigningKey.generate("other")))
    (folder / "model.sig").write_bytes(forged)
    hint = {"hint": MODEL_KEY.public.hint}
    with_bundle(folder, lambda told: told["verificationMaterial"].update(publicKey=hint))
    with pytest.raises(IntegrityError, match="does not hold"):
        check_folder(folder, key=MODEL_KEY.public)
    with pytest.raises(Exception):  # noqa: B017  (cryptography's InvalidSignature goes through as it is)
        theirs(folder)


def manifest(**changed: Any) -> dict[str, Any]:
    """Return the statement of a well-formed manifest of one file, changed."""
    made = FolderManifest("model", {"model.onnx": "00" * 32}, Serialization())
    told = made.statement()
    told["predicate"] |= changed
    return told


def test_an_empty_manifest_is_refused_even_for_an_empty_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {})
    folder.mkdir()
    with pytest.raises(IntegrityError, match="nothing to sign"):
        sign_folder(folder, key=MODEL_KEY)
    (folder / "model.sig").write_bytes(bundle_of(manifest_of(folder).statement(), key=MODEL_KEY))
    with pytest.raises(IntegrityError, match="manifest is empty"):
        check_folder(folder, key=MODEL_KEY.public)
    written(folder)
    with pytest.raises(ValueError, match="Extra files"):
        theirs(folder)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "a/../../b", "a//b", "./a", "a/", "..", "", "a\\b", "a\0b"]
)
def test_a_manifest_that_leaves_its_folder_is_refused_though_signed(folder: Path, name: str) -> None:
    (folder.parent / "model.onnx").write_bytes(FILES["model.onnx"])
    resource = {"name": name, "algorithm": "sha256", "digest": "00" * 32}
    told = FolderManifest("model", {name: "00" * 32}, Serialization()).statement()
    assert told["predicate"]["resources"] == [resource]
    (folder / "model.sig").write_bytes(bundle_of(told, key=MODEL_KEY))
    with pytest.raises(IntegrityError, match="outside its folder"):
        check_folder(folder, key=MODEL_KEY.public)
    with pytest.raises((ValueError, OSError)):
        theirs(folder)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (manifest(resources=[]), "manifest is empty"),
        (manifest(resources=manifest()["predicate"]["resources"] * 2), "names a file twice"),
        (manifest(resources=[{"name": "x", "algorithm": "sha256", "digest": "11" * 32}]), "contradicts itself"),
        (manifest(resources=[{"name": "x", "algorithm": "md5", "digest": "11" * 16}]), "malformed"),
        (manifest(resources=[{"name": "x", "algorithm": "sha256", "digest": "zz"}]), "malformed"),
        (manifest(resources=[{"name": "x", "algorithm": "sha256", "digest": "11"}]), "malformed"),
        (manifest(serialization={"method": "files", "hash_type": "blake3"}), "another hash"),
        (manifest(serialization={"method": "sums", "hash_type": "sha256"}), "something else"),
        (manifest(serialization={"method": "files", "hash_type": "sha256", "ignore_paths": ["../x"]}), "outside"),
        (manifest(serialization={"method": "shards", "hash_type": "sha256", "shard_size": 0}), "malformed"),
        (manifest(serialization={}), "malformed"),
        ({**manifest(), "predicateType": "https://slsa.dev/provenance/v1"}, "no signature of a model"),
        ({**manifest(), "subject": []}, "malformed"),
        ({**manifest(), "subject": manifest()["subject"] * 2}, "malformed"),
        ({}, "malformed"),
    ],
)  # fmt: skip
def test_a_signed_statement_that_is_no_sound_manifest_is_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        manifest_in(open_bundle(bundle_of(told, key=MODEL_KEY), key=MODEL_KEY.public))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(mediaType="application/json"),
        lambda told: told["dsseEnvelope"].update(payloadType="text/plain"),
        lambda told: told["dsseEnvelope"].update(signatures=[]),
        lambda told: told["dsseEnvelope"].update(signatures=told["dsseEnvelope"]["signatures"] * 2),
        lambda told: told["dsseEnvelope"].update(payload="no base64!"),
        lambda told: told["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()),
        lambda told: told["verificationMaterial"].update(publicKey=None),
        lambda told: told.pop("verificationMaterial"),
        lambda told: told.pop("dsseEnvelope"),
    ],
)
def test_a_bundle_that_was_touched_is_refused(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with_bundle(folder, change)
    with pytest.raises(IntegrityError):
        check_folder(folder, key=MODEL_KEY.public)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b'{"mediaType": 1}', b"[" * 100_000], ids=range(6))
def test_a_signature_that_is_no_bundle_is_refused(folder: Path, data: bytes) -> None:
    (folder / "model.sig").write_bytes(data)
    with pytest.raises(IntegrityError):
        check_folder(folder, key=MODEL_KEY.public)


def test_a_pipe_in_the_folder_is_refused_and_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(IntegrityError, match="pipe, a device, pipe or socket"):
        check_folder(folder, key=MODEL_KEY.public)


def test_what_the_tool_never_looks_at_is_refused_here(folder: Path) -> None:
    """The tool leaves git's files out whatever was signed; Keelway leaves out only what the signature says."""
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core] hooksPath = /tmp")
    theirs(folder)
    with pytest.raises(IntegrityError, match=r"added: \.git/config"):
        check_folder(folder, key=MODEL_KEY.public)


def test_a_link_is_refused_even_where_the_signer_allowed_links(folder: Path) -> None:
    told = manifest_of(folder).statement()
    told["predicate"]["serialization"]["allow_symlinks"] = True
    (folder / "model.sig").write_bytes(bundle_of(told, key=MODEL_KEY))
    check_folder(folder, key=MODEL_KEY.public)
    swap_for_a_link(folder)
    with pytest.raises(IntegrityError, match="a link"):
        check_folder(folder, key=MODEL_KEY.public)


CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}


def their_key(folder: Path, curve: ec.EllipticCurve) -> tuple[Path, ModelPublicKey]:
    key = ec.generate_private_key(curve)
    path = folder / "their.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return path, ModelPublicKey.parse(public.decode())


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES.keys())
@pytest.mark.parametrize("method", ["files", "shards"])
def test_keelway_verifies_what_the_tool_signed_and_refuses_it_attacked(
    tmp_path: Path, curve: ec.EllipticCurve, method: str
) -> None:
    folder = written(tmp_path / "model", {name: data for name, data in FILES.items() if data})
    private, public = their_key(tmp_path, curve)
    hashing = model_signing.hashing.Config()
    hashing = hashing.use_shard_serialization(shard_size=64) if method == "shards" else hashing
    hashing.set_ignored_paths(paths=[folder / "model.sig"])
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(hashing)
    config.sign(folder, folder / "model.sig")
    signed = check_folder(folder, key=public)
    assert signed.layout.shard_bytes == (64 if method == "shards" else 0)
    for name in ("changed", "added", "added empty", "removed", "renamed", "link"):
        attacked = tmp_path / name
        shutil.copytree(folder, attacked)
        ATTACKS[name](attacked)
        with pytest.raises(IntegrityError):
            check_folder(attacked, key=public)


def test_a_signature_may_lie_outside_the_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "model")
    outside = tmp_path / "elsewhere.sig"
    outside.write_bytes(bundle_of(manifest_of(folder).statement(), key=MODEL_KEY))
    assert check_folder(folder, key=MODEL_KEY.public, signature=outside).name == "model"
    theirs(folder, signature=outside)


@settings(max_examples=15, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=("C", "Z")), max_size=8)
        .filter(lambda name: name not in ("", ".", "..", "model.sig", "their.pub") and not name.startswith(".git"))
        .map(lambda name: name[:8]),
        min_size=1,
        max_size=5,
        unique_by=str.casefold,
    ),
    data=st.binary(max_size=64),
    depth=st.integers(0, 2),
)
def test_any_folder_that_is_signed_verifies_in_both(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: bytes, depth: int
) -> None:
    folder = tmp_path_factory.mktemp("any") / "model"
    written(folder, {"/".join(["d"] * (number % (depth + 1)) + [f"{name}"]): data for number, name in enumerate(names)})
    if any(path.is_dir() for path in folder.iterdir() if path.name in names):
        return
    sign_folder(folder, key=MODEL_KEY)
    assert manifest_in(manifest_of(folder).statement()) == manifest_of(folder)
    check_folder(folder, key=MODEL_KEY.public)
    theirs(folder)


def test_signing_again_gives_the_same_bytes(folder: Path) -> None:
    first = (folder / "model.sig").read_bytes()
    assert sign_folder(folder, key=MODEL_KEY).read_bytes() == first


def test_the_models_key_belongs_to_the_signing_key_alone() -> None:
    assert ModelKey.of(SigningKey("another name", KEY.seed)).public == MODEL_KEY.public
    assert ModelKey.of(SigningKey.generate("x")).public != MODEL_KEY.public
    assert str(MODEL_KEY.scalar) not in repr(MODEL_KEY)


def test_the_models_key_is_derived_as_the_decision_says() -> None:
    """By HKDF written out (RFC 5869), so that no version of Keelway derives another key from the same secret."""
    drawn = hmac.digest(bytes(32), KEY.seed, "sha256")
    made, block = b"", b""
    for number in (1, 2):
        block = hmac.digest(drawn, block + b"keelway/model-signing/ecdsa-p256/v1" + bytes([number]), "sha256")
        made += block
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    assert MODEL_KEY.scalar == int.from_bytes(made[:48]) % (order - 1) + 1
    numbers = ec.derive_private_key(MODEL_KEY.scalar, ec.SECP256R1()).public_key()
    pem = numbers.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert MODEL_KEY.public == ModelPublicKey(pem)


def test_the_projects_key_vouches_for_the_models_key() -> None:
    statement = vouch(MODEL_KEY.public, key=KEY)
    assert vouched(statement, key=KEY.public) == MODEL_KEY.public
    with pytest.raises(IntegrityError):
        vouched(statement, key=SigningKey.generate("other").public)


@pytest.mark.parametrize("change", ["type", "key", "subject"])
def test_a_statement_that_vouches_for_something_else_is_refused(change: str) -> None:
    from keelway.ledger import open_statement, sign_statement

    told = open_statement(vouch(MODEL_KEY.public, key=KEY), key=KEY.public)
    other = ModelKey.of(SigningKey.generate("other")).public
    if change == "type":
        told["predicateType"] = "https://slsa.dev/provenance/v1"
    if change == "key":
        told["predicate"]["publicKey"] = other.pem
    if change == "subject":
        told["subject"][0]["name"] = "something"
    with pytest.raises(IntegrityError):
        vouched(sign_statement(told, key=KEY), key=KEY.public)


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    strange = ec.generate_private_key(ec.SECP256K1()).public_key()
    for key in (edwards, strange):
        text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        with pytest.raises(SettingsError, match="another kind"):
            ModelPublicKey.parse(text)
    with pytest.raises(SettingsError, match="no public key"):
        ModelPublicKey.parse("-----BEGIN NOTHING-----")
    with pytest.raises(SettingsError, match="cannot be read"):
        ModelPublicKey.load(tmp_path / "none")


def test_either_public_key_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "ours.pub").write_text(KEY.public.pem())
    (tmp_path / "models.pub").write_text(MODEL_KEY.public.pem)
    assert read_public_key(tmp_path / "ours.pub") == KEY.public
    assert read_public_key(tmp_path / "models.pub") == MODEL_KEY.public


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IntegrityError, match="no folder"):
        manifest_of(tmp_path / "file")
    with pytest.raises(StorageError):
        manifest_of(tmp_path / "nothing")
