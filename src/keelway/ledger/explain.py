"""Tells a verified bundle as a tree: what rests on what, and why each part is believed.

Every line names a thing that was checked; the words behind the dash say by what. A thing that is met a second time is named
and not unfolded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keelway.core import Decision, Digest, is_digest, parse_json, references, short, time_text
from keelway.ledger.keys import PublicKey, RetiredKey
from keelway.ledger.tree import ProvenChain, label_of
from keelway.ledger.witness import Quorum, cosigned_at

if TYPE_CHECKING:
    from keelway.ledger.bundle import ProofBundle
    from keelway.ledger.checkpoint import Checkpoint


@dataclass(slots=True)
class _Branch:
    """One line of the tree with what hangs below it."""

    text: str
    below: list[_Branch] = field(default_factory=list)

    def add(self, text: str) -> _Branch:
        """Hang a line below this one and return it."""
        made = _Branch(text)
        self.below.append(made)
        return made


def explain(
    subject: str,
    bundle: ProofBundle,
    chain: ProvenChain,
    *,
    checkpoint: Checkpoint,
    signer: PublicKey | RetiredKey,
    quorum: Quorum,
) -> Iterator[str]:
    """Yield the lines of the tree."""
    top = _Branch(subject)
    _tell_signatures(top, checkpoint, signer, quorum)
    story = _Story(bundle, chain, checkpoint)
    if bundle.line is not None:
        story.tell_line(top)
    for digest in bundle.start:
        story.tell_record(top, digest)
    story.tell_rest(top)
    story.tell_files(top)
    yield top.text
    yield from _drawn(top, "")


@dataclass(slots=True)
class _Story:
    """What was told already."""

    bundle: ProofBundle
    chain: ProvenChain
    checkpoint: Checkpoint
    told: set[Digest] = field(default_factory=set)
    entries: set[int] = field(default_factory=set)

    def tell_line(self, above: _Branch) -> None:
        """Tell the line of a segment that the proof is about."""
        line = self.bundle.line
        assert line is not None
        value, count = parse_json(line.line.encode()), self.chain.values[line.segment].get("count")
        what = f"answered {value.get('value')} for {value.get('entity')} by {value.get('version')}"
        made = above.add(f"{what} in {value.get('environment')} at {value.get('event_time', 'a time not told')}")
        made.add(
            f"it is line {line.index} of {count} in the sealed segment {short(line.segment)} - a Merkle path of "
            f"{len(line.proof)} hashes leads from it to the segment's root"
        )

    def tell_record(self, above: _Branch, digest: Digest, role: str = "") -> None:
        """Tell a record, the decisions about it, and what it names."""
        value = self.chain.values[digest]
        name = f"{role + ': ' if role else ''}{self.bundle.records[digest].kind} {label_of(value)}".rstrip()
        if digest in self.told:
            above.add(f"{name} [{short(digest)}] (told above)")
            return
        self.told.add(digest)
        made = above.add(f"{name} [{short(digest)}] - its text has this digest")
        for index in self._about(digest):
            self.tell_entry(made, index)
        value = self._without_the_past(value, made)
        for inner, named in _named(value):
            if named in self.chain.values:
                self.tell_record(made, named, inner)
            elif named in self.bundle.statements:
                made.add(f"{inner}: signed statement [{short(named)}] - {self._statement(named)}")
            elif not inner.startswith("files"):
                size = self.bundle.materials.get(named)
                made.add(
                    f"{inner}: [{short(named)}]" + (f" - {size} bytes, named by digest" if size is not None else "")
                )

    def tell_entry(self, above: _Branch, index: int) -> None:
        """Tell a decision, and who let it happen."""
        decision = self.chain.decisions[index]
        where = f" in {decision.environment}" if decision.environment else ""
        text = f"entry {index}: {decision.action} {decision.subject}{where} by {decision.principal}"
        if index in self.entries:
            above.add(f"{text} (told above)")
            return
        self.entries.add(index)
        (entry,) = (one for one in self.bundle.decisions if one.index == index)
        verdict = "allowed" if decision.allowed else f"REFUSED: {'; '.join(decision.reasons)}"
        made = above.add(
            f"{text} at {time_text(decision.at)}: {verdict} - in the ledger, by a path of {len(entry.proof)} hashes"
        )
        self._tell_judgement(made, decision)

    def tell_rest(self, above: _Branch) -> None:
        """Tell the decisions that hang at no record told so far."""
        rest = sorted(self.chain.decisions.keys() - self.entries)
        made = above.add(f"further decisions that rest on these ({len(rest)})") if rest else above
        for index in rest:
            self.tell_entry(made, index)

    def tell_files(self, above: _Branch) -> None:
        """Tell the raw files that everything came from."""
        raw = self.chain.raw_files
        if not raw:
            return
        made = above.add(f"raw files: {len(raw)}, {sum(raw.values())} bytes - each named by digest in its batch")
        for (name, digest), size in sorted(raw.items())[:5]:
            made.add(f"{name} [{short(digest)}] {size} bytes")
        if len(raw) > 5:
            made.add(f"and {len(raw) - 5} more")

    def _tell_judgement(self, above: _Branch, decision: Decision) -> None:
        if decision.policy is not None:
            above.add(f"judged by the policy [{short(decision.policy)}]")
        if decision.comment:
            above.add(f'"{decision.comment}"')
        for role, digest in sorted(decision.evidence.items()):
            if role.startswith(("approval", "request", "admission")) and digest in self.bundle.records:
                above.add(f"{role}: {_answer(parse_json(self.bundle.records[digest].text.encode()))} [{short(digest)}]")
        for move in decision.moves:
            before = short(move.before) if move.before else "nothing"
            above.add(f"moved {move.name} from {before} to {short(move.after)}")

    def _about(self, digest: Digest) -> list[int]:
        """Return the decisions that a record is the subject of, in order."""
        return [
            index
            for index, decision in sorted(self.chain.decisions.items())
            if digest in {*decision.evidence.values(), *(move.after for move in decision.moves)}
        ]

    def _without_the_past(self, value: Any, made: _Branch) -> Any:
        """Return a record without the one before it of its kind; a long history is one line, not a staircase."""
        older, count = value.get("parent") if isinstance(value, dict) else None, 0
        while isinstance(older, str) and Digest(older) in self.chain.values and Digest(older) not in self.told:
            self.told.add(Digest(older))
            count, older = count + 1, self.chain.values[Digest(older)].get("parent")
        if not count:
            return value
        made.add(f"and {count} before it, each naming the one before by digest")
        return {name: item for name, item in value.items() if name != "parent"}

    def _statement(self, digest: Digest) -> str:
        import base64

        envelope = parse_json(self.bundle.statements[digest].encode())
        content = parse_json(base64.b64decode(envelope["payload"]))
        names = ", ".join(str(subject.get("name")) for subject in content.get("subject", ()))
        return f"{content.get('predicateType')} of {names}; its signature holds"


def _tell_signatures(top: _Branch, checkpoint: Checkpoint, signer: PublicKey | RetiredKey, quorum: Quorum) -> None:
    key = signer if isinstance(signer, PublicKey) else signer.key
    retired = "" if isinstance(signer, PublicKey) else f", retired after {signer.until} entries"
    top.add(f"this bundle - signed by {key.name} (key {key.key_id[:12]}{retired}), no byte of it altered")
    made = top.add(
        f"checkpoint of {checkpoint.origin}: {checkpoint.size} entries, root {checkpoint.root[:12]} - signed by the same key"
    )
    for witness in quorum.keys:
        at = cosigned_at(checkpoint.text, key=witness)
        made.add(f"witnessed by {witness.name} at {time_text(at)}" if at else f"not witnessed by {witness.name}")


def _named(value: Any, path: str = "") -> Iterator[tuple[str, Digest]]:
    """Yield every digest in a record with the field that names it, each digest once."""
    if is_digest(value):
        yield path, Digest(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            for digest in references(name):
                yield path, digest
            yield from _named(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, path)


def _answer(value: Any) -> str:
    """Return who wrote a request or an approval, when, and what."""
    who = value.get("principal") or value.get("requested_by") or "somebody"
    said = f": {value['comment']}" if value.get("comment") else ""
    refused = " REJECTED" if value.get("approved") is False else ""
    return f"by {who} at {value.get('at', '')}{refused}{said}"


def _drawn(branch: _Branch, margin: str) -> Iterator[str]:
    for number, below in enumerate(branch.below):
        last = number == len(branch.below) - 1
        yield f"{margin}{'└─ ' if last else '├─ '}{below.text}"
        yield from _drawn(below, margin + ("   " if last else "│  "))
