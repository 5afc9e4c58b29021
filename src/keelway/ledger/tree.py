"""Draws a verified chain for people: what rests on what, who let it in, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import Decision, Digest, parse_json, references, short, time_text

if TYPE_CHECKING:
    from keelway.ledger.bundle import ProofBundle

_LABELS = ("name", "request_id", "run_id", "segment", "dataset", "estimator", "model", "principal", "environment")


@dataclass(frozen=True, slots=True)
class ProvenChain:
    """What a bundle's start leads to.

    Attributes:
        values: Digest of a record to its plain value.
        order: The digests that the start leads to, in the order they were reached.
        decisions: Ledger index to decision.
        raw_files: Name and digest of a raw file to its size in bytes.
    """

    values: dict[Digest, Any]
    order: tuple[Digest, ...]
    decisions: dict[int, Decision]
    raw_files: dict[tuple[str, Digest], int]


def tree_lines(subject: str, bundle: ProofBundle, chain: ProvenChain) -> Iterator[str]:
    """Yield the lines of the tree, and then the decisions."""
    yield subject
    if bundle.line is not None:
        value = parse_json(bundle.line.line.encode())
        yield f"  answered {value.get('value')} for {value.get('entity')} by {value.get('version')}"
    shown: set[Digest] = set()
    for digest in bundle.start:
        yield from _branch(digest, bundle, chain, shown, depth=1)
    if chain.raw_files:
        total = sum(chain.raw_files.values())
        yield f"Raw files: {len(chain.raw_files)} ({total} bytes)"
        unseen = sum(bundle.materials.get(digest) is None for _, digest in chain.raw_files)
        if unseen:
            yield f"  {unseen} of them by their digests alone: sealed, erased, or kept elsewhere"
    if chain.decisions:
        yield "Decisions:"
    for index, decision in sorted(chain.decisions.items()):
        verdict = "allowed" if decision.allowed else "refused: " + "; ".join(decision.reasons)
        where = f" in {decision.environment}" if decision.environment else ""
        who = f"by {decision.principal} at {time_text(decision.at)}"
        yield f"  #{index} {decision.action} {decision.subject}{where} {who}: {verdict}"


def _branch(
    digest: Digest, bundle: ProofBundle, chain: ProvenChain, shown: set[Digest], *, depth: int
) -> Iterator[str]:
    if digest in shown or digest not in chain.values:
        return
    value, earlier = chain.values[digest], 0
    shown.add(digest)
    older = value.get("parent") if isinstance(value, dict) else None
    while older in chain.values and older not in shown:
        shown.add(older)  # a long history is one line, not a staircase
        earlier, older = earlier + 1, chain.values[older].get("parent")
    files = value.get("files") if isinstance(value, dict) and "pulled_at" in value else None
    extra = f", {len(files)} raw files" if isinstance(files, list) else ""
    extra += f", and {earlier} before it" if earlier else ""
    yield f"{'  ' * depth}{bundle.records[digest].kind} {label_of(value)} [{short(digest)}]{extra}"
    for reference in references(value):
        yield from _branch(reference, bundle, chain, shown, depth=depth + 1)


def label_of(value: Any) -> str:
    """Return what people call a record, from its fields."""
    if not isinstance(value, dict):
        return ""
    label = next((str(value[name]) for name in _LABELS if isinstance(value.get(name), str) and value[name]), "")
    number = value.get("number")
    return f"{label} {number}" if isinstance(number, int) and ":" not in label else label
