"""Checks a proof bundle with nothing but a public key: no database, no network, no trust in who sent it.

The bundle must be canonical JSON, so there is no byte in it that could change unnoticed. Then everything inside is
checked again on its own, so that a failure names the record, entry, statement or file that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelway.core import (
    DIGEST_PREFIX,
    Action,
    Decision,
    Digest,
    canonical_json,
    digest_bytes,
    digest_file,
    parse_json,
    references,
    revive,
)
from keelway.errors import IntegrityError, KeelwayError
from keelway.ledger.bundle import PREDICATE_TYPE, VERSION_KIND, ProofBundle, ProofLine
from keelway.ledger.checkpoint import Checkpoint, verify_checkpoint
from keelway.ledger.explain import explain
from keelway.ledger.keys import PublicKey, RetiredKey
from keelway.ledger.merkle import leaf_hash, verify_inclusion
from keelway.ledger.record import decision_in
from keelway.ledger.statement import open_statement, opened, subject_digests, subject_list
from keelway.ledger.tree import ProvenChain, tree_lines
from keelway.ledger.witness import NO_WITNESSES, Quorum


@dataclass(frozen=True, slots=True)
class Verification:
    """What a bundle proved.

    Attributes:
        subject: The name of the thing the bundle is about.
        chain: The classes of the records on the way, in the order they are reached.
        records: How many records were checked.
        decisions: How many ledger entries were checked.
        statements: How many signed statements were checked.
        materials: How many further digests are named.
        raw_files: How many raw files the chain ends in.
        files_checked: How many of them were compared with files on disk.
        checkpoint: The signed checkpoint that covers the entries.
        tree: Lines to print.
        explanation: The same as a longer tree, which says of every part why it is believed.
    """

    subject: str
    chain: tuple[str, ...]
    records: int
    decisions: int
    statements: int
    materials: int
    raw_files: int
    files_checked: int
    checkpoint: Checkpoint
    tree: tuple[str, ...]
    explanation: tuple[str, ...] = ()


def verify_bundle(
    data: bytes, *, key: PublicKey, files: Path | None = None, quorum: Quorum = NO_WITNESSES
) -> Verification:
    """Check a proof bundle.

    With `files`, the folder the raw files lie in, every raw file of the bundle must be there, unchanged. With a quorum, the
    bundle's checkpoint must be signed by enough witnesses.

    Raises:
        IntegrityError: Something does not hold; the message says what.
    """
    content, signer = _opened(data, key)
    bundle = _predicate(content)
    checkpoint = verify_checkpoint(bundle.checkpoint, key=key)
    if isinstance(signer, RetiredKey):
        signer.must_reach(checkpoint.size)
    quorum.must_hold(bundle.checkpoint)
    values = _checked_records(bundle)
    decisions = _checked_decisions(bundle, key)
    statements = _checked_statements(bundle, key)
    _must_resolve(bundle, values, statements)
    _must_be_signed(bundle, values, statements)
    chain = _reached(bundle, values, decisions)
    subject = _checked_subject(content, bundle, chain)
    return Verification(
        subject=subject,
        chain=tuple(dict.fromkeys(bundle.records[digest].kind for digest in chain.order)),
        records=len(bundle.records),
        decisions=len(decisions),
        statements=len(statements),
        materials=len(bundle.materials),
        raw_files=len(chain.raw_files),
        files_checked=_check_files(chain, files) if files is not None else 0,
        checkpoint=checkpoint,
        tree=tuple(tree_lines(subject, bundle, chain)),
        explanation=tuple(explain(subject, bundle, chain, checkpoint=checkpoint, signer=signer, quorum=quorum)),
    )


def _opened(data: bytes, key: PublicKey) -> tuple[dict[str, Any], PublicKey | RetiredKey]:
    try:
        envelope = parse_json(data)
        canonical = canonical_json(envelope)
    except (ValueError, RecursionError, KeelwayError) as error:
        raise IntegrityError(
            "The bundle is damaged",
            expected="canonical JSON",
            found=str(error),
            fix="Get the file again from its source.",
        ) from error
    if canonical != data:
        raise IntegrityError("The bundle was altered", expected="canonical JSON", found="another spelling of it")
    signer = _only_signature(envelope)
    if signer not in (key.key_id, *(retired.key.key_id for retired in key.earlier)):
        raise IntegrityError(
            "The bundle is signed by another key",
            expected=key.key_id,
            found=signer[:80],
            fix="If the key was rotated, get the signer's new public key: it verifies what both of them signed.",
        )
    try:
        return opened(data, key=key)
    except IntegrityError as error:
        raise _explained(error, envelope, key) from error


def _only_signature(envelope: Any) -> str:
    """Return the key id of the bundle's signature; there is one, and nothing beside it."""
    signatures = envelope.get("signatures") if isinstance(envelope, dict) else None
    only = signatures[0] if isinstance(signatures, list) and len(signatures) == 1 else None
    if not isinstance(only, dict) or only.keys() != {"keyid", "sig"}:
        raise IntegrityError("The bundle was altered", expected="one signature", found=repr(signatures)[:80])
    return str(only["keyid"])


def _explained(error: IntegrityError, envelope: dict[str, Any], key: PublicKey) -> IntegrityError:
    """Return the error with the part of the bundle that was altered, where one can be told."""
    import base64

    try:
        bundle = _predicate(parse_json(base64.b64decode(str(envelope.get("payload")))))
        _checked_records(bundle)
        _checked_decisions(bundle, key)
        _checked_statements(bundle, key)
    except IntegrityError as inner:
        return IntegrityError(f"{error.what}; {inner.what}", expected=inner.expected, found=inner.found, fix=error.fix)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return error  # too broken to say where
    return error


def _predicate(content: dict[str, Any]) -> ProofBundle:
    if content.get("predicateType") != PREDICATE_TYPE:
        raise IntegrityError(
            "This is no proof bundle", expected=PREDICATE_TYPE, found=str(content.get("predicateType"))[:80]
        )
    return revive(content.get("predicate"), ProofBundle)


def _checked_records(bundle: ProofBundle) -> dict[Digest, Any]:
    """Return the value of every record, each checked against its digest."""
    values: dict[Digest, Any] = {}
    for digest, record in bundle.records.items():
        found = digest_bytes(record.text.encode())
        if found != digest:
            raise IntegrityError(f"The record {record.kind} was altered", expected=digest, found=found)
        values[digest] = _json(record.text, f"The record {record.kind} {digest}")
    return values


def _checked_decisions(bundle: ProofBundle, key: PublicKey) -> dict[int, Decision]:
    """Return the decisions by index, each proven to be in the ledger that the checkpoint signs."""
    checkpoint = verify_checkpoint(bundle.checkpoint, key=key)
    decisions: dict[int, Decision] = {}
    for entry in bundle.decisions:
        try:
            path = [bytes.fromhex(step) for step in entry.proof]
            hashed = leaf_hash(entry.leaf.encode())
            verify_inclusion(hashed, entry.index, checkpoint.size, path, bytes.fromhex(checkpoint.root))
        except (IntegrityError, ValueError) as error:
            raise IntegrityError(
                f"Ledger entry {entry.index} or its proof was altered",
                expected=f"root {checkpoint.root}",
                found=str(error),
            ) from error
        decisions[entry.index] = decision_in(entry.leaf.encode(), entry.index)
    return decisions


def _checked_statements(bundle: ProofBundle, key: PublicKey) -> dict[Digest, dict[str, Any]]:
    """Return the content of every embedded statement, each checked against its digest and signature."""
    opened: dict[Digest, dict[str, Any]] = {}
    for digest, text in bundle.statements.items():
        found = digest_bytes(text.encode())
        if found != digest:
            raise IntegrityError("A signed statement was altered", expected=digest, found=found)
        opened[digest] = open_statement(text.encode(), key=key)
    return opened


def _must_resolve(bundle: ProofBundle, values: dict[Digest, Any], statements: dict[Digest, dict[str, Any]]) -> None:
    known = bundle.records.keys() | bundle.statements.keys() | bundle.materials.keys()
    named = {f"The record {bundle.records[digest].kind} {digest}": value for digest, value in values.items()}
    named |= {f"Ledger entry {entry.index}": parse_json(entry.leaf.encode()) for entry in bundle.decisions}
    for what, value in named.items():
        for reference in references(value):
            if reference not in known:
                raise IntegrityError(f"{what} names something the bundle lacks", expected=reference, found="nothing")
    for digest, content in statements.items():
        for about in subject_digests(content):
            if about not in known:
                raise IntegrityError(f"The statement {digest} is about something else", expected=about, found="nothing")


def _must_be_signed(bundle: ProofBundle, values: dict[Digest, Any], statements: dict[Digest, dict[str, Any]]) -> None:
    """Refuse a version unless the statement that it names is about its exported model and its plan, and nothing else."""
    for digest, value in values.items():
        if bundle.records[digest].kind != VERSION_KIND:
            continue
        name, plan = value.get("name"), value.get("plan")
        subjects = {f"{name}": value.get("onnx"), **({f"{name}/plan": plan} if plan is not None else {})}
        expected = subject_list({each: Digest(str(about)) for each, about in subjects.items()})
        told = statements.get(value.get("statement"), {}).get("subject")
        if told != expected:
            raise IntegrityError(
                f"The signed statement of {name} is about something else", expected=str(expected), found=str(told)
            )


def _reached(bundle: ProofBundle, values: dict[Digest, Any], decisions: dict[int, Decision]) -> ProvenChain:
    """Follow the records from the start to the raw files."""
    lost = [digest for digest in bundle.start if digest not in values]
    if lost or not bundle.start:
        raise IntegrityError("The bundle does not hold what it is about", expected=str(lost or "a start"))
    order: dict[Digest, None] = {}
    waiting = list(reversed(bundle.start))
    while waiting:
        digest = waiting.pop()
        if digest in order:
            continue
        order[digest] = None
        waiting.extend(reference for reference in references(values[digest]) if reference in values)
    raw = {pair: size for digest in order for pair, size in _raw_files(values[digest])}
    return ProvenChain(values=values, order=tuple(order), decisions=decisions, raw_files=raw)


def _raw_files(value: Any) -> Iterator[tuple[tuple[str, Digest], int]]:
    """Yield name, digest and size of the raw files that a batch lists."""
    files = value.get("files") if isinstance(value, dict) and "pulled_at" in value else None
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry, dict) and {"name", "digest", "size_bytes"} <= entry.keys():
            yield (str(entry["name"]), Digest(str(entry["digest"]))), int(entry["size_bytes"])


def _checked_subject(content: dict[str, Any], bundle: ProofBundle, chain: ProvenChain) -> str:
    """Return the subject's name, once it is shown to be what the chain begins at."""
    subjects = content.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise IntegrityError("The bundle is not about one thing", expected="one subject", found=repr(subjects)[:80])
    name = str(subjects[0].get("name"))
    about = DIGEST_PREFIX + str(subjects[0].get("digest", {}).get("sha256"))
    if bundle.line is None:
        if about not in bundle.start:
            raise IntegrityError(f"{name} does not begin the chain", expected=about, found=str(bundle.start))
        if bundle.records[Digest(about)].kind == VERSION_KIND:
            _must_have_raw_files(name, chain)
        return name
    if digest_bytes(bundle.line.line.encode()) != about:
        raise IntegrityError(
            f"{name} is another prediction", expected=about, found=digest_bytes(bundle.line.line.encode())
        )
    _check_line(bundle.line, chain)
    _check_admitted(name, bundle, chain)
    _must_have_raw_files(name, chain)
    return name


def _check_line(line: ProofLine, chain: ProvenChain) -> None:
    segment = chain.values.get(line.segment)
    if not isinstance(segment, dict):
        raise IntegrityError("The prediction's segment is not in the bundle", expected=line.segment)
    try:
        path = [bytes.fromhex(step) for step in line.proof]
        root, count = bytes.fromhex(str(segment.get("root"))), int(segment.get("count", 0))
        verify_inclusion(leaf_hash(line.line.encode()), line.index, count, path, root)
    except (IntegrityError, ValueError) as error:
        raise IntegrityError(
            "The prediction is not in its segment", expected=f"line {line.index} of {line.segment}", found=str(error)
        ) from error


def _check_admitted(name: str, bundle: ProofBundle, chain: ProvenChain) -> None:
    """Check that the version that answered was let into the environment that it answered in."""
    line = _json(bundle.line.line if bundle.line else "", name)
    version, environment = line.get("version"), line.get("environment")
    named = {
        d for d in chain.order if bundle.records[d].kind == VERSION_KIND and chain.values[d].get("name") == version
    }
    if not named:
        raise IntegrityError(f"{name} was answered by a version the bundle lacks", expected=str(version))
    for decision in chain.decisions.values():
        rests_on = {*decision.evidence.values(), *(move.after for move in decision.moves)}
        allowed = decision.allowed and decision.environment == environment
        if allowed and decision.action in (Action.PROMOTE, Action.SKIP_GATE) and rests_on & named:
            return
        moved = {move.after for move in decision.moves if move.name.startswith(f"environment/{environment}/")}
        if allowed and moved & named:  # by a way back, or past the gate: the tree says which
            return
    raise IntegrityError(
        f"{name} was answered by a version that was never let in",
        expected=f"an allowed promotion of {version} to {environment}",
        found="none",
    )


def _must_have_raw_files(name: str, chain: ProvenChain) -> None:
    if not chain.raw_files:
        raise IntegrityError(f"The chain of {name} does not reach raw files", expected="a batch with files")


def _check_files(chain: ProvenChain, folder: Path) -> int:
    """Compare every raw file with the one on disk and return how many were compared."""
    root = folder.resolve()
    for name, digest in sorted(chain.raw_files):
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise IntegrityError(f"The raw file {name} lies outside the folder", expected=str(folder), found=str(path))
        try:
            found = digest_file(path)
        except OSError as error:
            raise IntegrityError(f"The raw file {name} is missing", expected=digest, found=str(error)) from error
        if found != digest:
            raise IntegrityError(f"The raw file {name} differs", expected=digest, found=found)
    return len(chain.raw_files)


def _json(text: str, what: str) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError as error:
        raise IntegrityError(f"{what} is no JSON", found=str(error)) from error
