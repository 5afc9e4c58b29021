"""Verifies a Keelway proof bundle; written from docs/proofs.md alone, and it imports nothing of Keelway.

    python standalone_verifier.py BUNDLE.json PUBLIC_KEY.pem

The letters and numbers are those of the rules in that document.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key


class Refused(Exception):
    """The bundle does not hold."""


def must(holds: object, what: str) -> None:
    if not holds:
        raise Refused(what)


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def b64(text: str) -> bytes:
    must(base64.b64encode(base64.b64decode(text)).decode() == text, "base64 is not canonical")
    return base64.b64decode(text)


def must_sign(raw: bytes, signature: bytes, message: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        raise Refused(f"{what}: the signature does not hold") from None


def pae(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def read_keys(text: str) -> list[dict]:
    """Return the key and those that it followed, newest first (rules K1 to K4)."""
    key = load_pem_public_key(text[text.index("-----BEGIN") :].encode())
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    named = re.search(r"^Key-Name: (\S+)$", text, re.MULTILINE)
    keys = [{"name": named[1] if named else "keelway", "raw": raw, "until": None, "statements": None}]
    for line in reversed(re.findall(r"^Rotation: (.+)$", text, re.MULTILINE)):
        envelope = json.loads(line)
        kind, payload, newer = envelope["payloadType"], b64(envelope["payload"]), keys[-1]
        told, old = json.loads(payload), bytes.fromhex(json.loads(payload)["old"])
        must(kind == "application/vnd.keelway.key-rotation+json", "K2: another type")
        must(bytes.fromhex(told["new"]) == newer["raw"] and told["name"] == newer["name"], "K3: another key")
        signed = {entry["keyid"]: b64(entry["sig"]) for entry in envelope["signatures"]}
        for each in (old, newer["raw"]):
            must_sign(each, signed.get(hashlib.sha256(each).hexdigest(), b""), pae(kind, payload), "K4")
        keys.append({"name": told["name"], "raw": old, "until": told["until"], "statements": set(told["statements"])})
    return keys


def open_envelope(text: str, keys: list[dict]) -> tuple[dict, dict]:
    """Return the statement of a DSSE envelope and the key that signed it (rules E1 to E3)."""
    envelope = json.loads(text)
    must(set(envelope) == {"payload", "payloadType", "signatures"}, "E1: other fields")
    must(envelope["payloadType"] == "application/vnd.in-toto+json", "E1: another type")
    payload = b64(envelope["payload"])
    for key in keys:
        for entry in envelope["signatures"]:
            if entry["keyid"] == hashlib.sha256(key["raw"]).hexdigest():
                must_sign(key["raw"], b64(entry["sig"]), pae(envelope["payloadType"], payload), "E2")
                statement = json.loads(payload)
                must(statement["_type"] == "https://in-toto.io/Statement/v1", "E3: no statement")
                return statement, key
    raise Refused("E2: signed by another key")


def read_checkpoint(text: str, keys: list[dict]) -> tuple[int, bytes]:
    """Return size and root of a signed note (rules C1 to C4)."""
    body, blank, lines = text.rpartition("\n\n")
    origin, size, root = [*body.split("\n"), "", "", ""][:3]
    must(blank and origin and size == str(int(size)) and lines.endswith("\n") and len(b64(root)) == 32, "C1: malformed")
    for key in keys:
        tag = hashlib.sha256(key["name"].encode() + b"\n\x01" + key["raw"]).digest()[:4]
        for line in lines[:-1].split("\n"):
            dash, name, blob = line.split(" ")
            must(dash == "\u2014", "C1: malformed")
            if name == key["name"] and b64(blob)[:4] == tag:
                must_sign(key["raw"], b64(blob)[4:], f"{body}\n".encode(), "C3")
                must(key["until"] is None or int(size) <= key["until"], "C4: the key was retired before")
                return int(size), b64(root)
    raise Refused("C2: not signed by the key")


def leads_to(data: bytes, index: int, size: int, path: list[str], root: bytes) -> bool:
    """Say whether a Merkle path leads from a leaf to a root (RFC 9162, 2.1.3.2)."""
    must(0 <= index < size, "D1: beyond the end")
    node, place, last = hashlib.sha256(b"\x00" + data).digest(), index, size - 1
    for step in path:
        sibling = bytes.fromhex(step)
        must(last, "D1: the path is too long")
        if place & 1 or place == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def named(value: object) -> list[str]:
    """Return every digest that a JSON value names, as a key or as a value."""
    if isinstance(value, str):
        return [value] if re.fullmatch("sha256:[0-9a-f]{64}", value) else []
    items = [item for pair in value.items() for item in pair] if isinstance(value, dict) else value
    return [digest for item in items for digest in named(item)] if isinstance(items, list) else []


def verify(data: bytes, key_text: str) -> dict:
    """Check a bundle and return what it proves. Raises Refused."""
    keys = read_keys(key_text)
    envelope = json.loads(data)
    must(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() == data, "B1: not canonical")
    must(len(envelope["signatures"]) == 1 and set(envelope["signatures"][0]) == {"keyid", "sig"}, "B2: one signature")
    content, signer = open_envelope(data.decode(), keys)
    must(content["predicateType"] == "https://keelway.dev/proof/v1", "B3: no proof")
    bundle = content["predicate"]
    size, root = read_checkpoint(bundle["checkpoint"], keys)
    must(signer["until"] is None or size <= signer["until"], "B4: the signer was retired before")
    records = {}
    for digest, record in bundle["records"].items():
        must(sha(record["text"].encode()) == digest, f"R1: the record {record['kind']} was altered")
        records[digest] = json.loads(record["text"])
    decisions = {}
    for entry in bundle["decisions"]:
        index, leaf = entry["index"], entry["leaf"].encode()
        must(leads_to(leaf, index, size, entry["proof"], root), f"D1: entry {index}")
        told = json.loads(leaf)
        must(set(told) == {"decision", "index"} and told["index"] == index, "D2: out of place")
        decisions[index] = told["decision"]
    known, subjects = {*records, *bundle["statements"], *bundle["materials"]}, {}
    for digest, text in bundle["statements"].items():
        must(sha(text.encode()) == digest, "S1: a statement was altered")
        statement, by = open_envelope(text, keys)
        must(by["statements"] is None or digest in by["statements"], "S2: the key was retired before")
        subjects[digest] = [(each["name"], "sha256:" + each["digest"]["sha256"]) for each in statement["subject"]]
        must(all(about in known for _, about in subjects[digest]), "S3: about what?")
    for version in (records[digest] for digest in records if bundle["records"][digest]["kind"] == "ModelVersion"):
        forms = [(version["name"], version["onnx"]), (version["name"] + "/plan", version.get("plan"))]
        must(subjects.get(version["statement"]) == [each for each in forms if each[1]], "S4: about another model")
    lost = [each for value in [*records.values(), *decisions.values()] for each in named(value) if each not in known]
    must(not lost, f"N1: {lost[:1]} is named and not told of")
    must(bundle["start"] and records.keys() >= set(bundle["start"]), "N2: no start")
    reached, waiting = {}, list(bundle["start"])
    while waiting:
        if (digest := waiting.pop()) in records and digest not in reached:
            reached[digest] = records[digest]
            waiting += named(records[digest])
    files = [file for value in reached.values() if "pulled_at" in value for file in value.get("files", ())]
    (subject,) = content["subject"]
    check_subject("sha256:" + subject["digest"]["sha256"], bundle, reached, decisions, files)
    return {"subject": subject["name"], "records": len(records), "entries": len(decisions), "raw_files": len(files)}


def check_subject(about: str, bundle: dict, reached: dict, decisions: dict, files: list) -> None:
    line, kinds = bundle["line"], {digest: record["kind"] for digest, record in bundle["records"].items()}
    if line is None:
        must(about in bundle["start"], "P1: the subject does not begin the chain")
        must(kinds[about] != "ModelVersion" or files, "P5: no raw files are reached")
        return
    must(sha(line["line"].encode()) == about, "P2: another prediction")
    segment, told = reached[line["segment"]], json.loads(line["line"])
    path = (line["index"], segment["count"], line["proof"], bytes.fromhex(segment["root"]))
    must(leads_to(line["line"].encode(), *path), "P3: not in its segment")
    versions = {d for d, v in reached.items() if kinds[d] == "ModelVersion" and v["name"] == told["version"]}
    must(any(lets_in(each, versions, told["environment"]) for each in decisions.values()), "P4: never let in")
    must(files, "P5: no raw files are reached")


def lets_in(decision: dict, versions: set, environment: str) -> bool:
    moved = {move["after"] for move in decision["moves"] if move["name"].startswith(f"environment/{environment}/")}
    promoted = set(decision["evidence"].values()) if decision["action"] == "promote" else set()
    return decision["allowed"] and decision["environment"] == environment and bool((moved | promoted) & versions)


if __name__ == "__main__":
    try:
        print(json.dumps(verify(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_text("utf8"))))
    except (Refused, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"refused: {error}")
