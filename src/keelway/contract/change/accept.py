"""Decides about a changed contract before anything is loaded by it.

The contract of the batch before is compared with the one at hand. What adds or widens passes, and the ledger says so
once; what breaks a reader or keeps out rows that were kept is refused, with each such change, until somebody accepts
the step from exactly that contract to exactly this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.contract.change.between import changes_between
from keelway.contract.change.kinds import ChangeLevel, ContractChange, ContractDiff
from keelway.contract.checked import CheckedBatch
from keelway.contract.contract import Contract
from keelway.core import Action, Decision, Digest, PrincipalId, digest_of, short
from keelway.errors import ContractError, UsageError
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction


@dataclass(frozen=True, slots=True)
class ContractAcceptance:
    """Somebody lets a breaking change in.

    Attributes:
        old: Digest of the contract before.
        new: Digest of the contract that may follow it.
    """

    dataset: str
    old: Digest
    new: Digest
    actor: PrincipalId
    at: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class ContractStep:
    """The step from one contract of a dataset to the next.

    Attributes:
        accepted: Digest of the acceptance, where there is one.
    """

    dataset: str
    old: Digest
    new: Digest
    diff: ContractDiff
    accepted: Digest | None

    @property
    def refused(self) -> bool:
        """Whether the step breaks something and nobody accepted it."""
        return self.diff.level is ChangeLevel.BREAKING and self.accepted is None

    def decision(self, *, actor: PrincipalId, at: datetime, batch: Digest) -> Decision:
        """Return the entry of the ledger that says what became of the step."""
        evidence = {"old": self.old, "new": self.new, "batch": batch}
        if self.accepted is not None:
            evidence["accepted"] = self.accepted
        breaking = self.diff.of_level(ChangeLevel.BREAKING)
        return Decision(
            action=Action.CONTRACT,
            subject=self.dataset,
            allowed=not self.refused,
            reasons=tuple(change_text(change) for change in breaking) if self.refused else (),
            principal=actor,
            at=at,
            evidence=evidence,
            comment=f"{self.diff.level}: {'; '.join(change_text(change) for change in self.diff.changes)}",
        )

    def refusal(self) -> ContractError:
        """Return the error that names each breaking change."""
        breaking = self.diff.of_level(ChangeLevel.BREAKING)
        return ContractError(
            f"The contract of {self.dataset} changed in a way that breaks what was built on it",
            expected="a change that adds or widens, or one that somebody accepted",
            found="; ".join(change_text(change) for change in breaking),
            fix=f"See who is hit with `keelway contract impact {self.dataset}`; then mend the contract, or let it in "
            f"with `keelway contract accept {self.dataset}`.",
        )


def change_text(change: ContractChange) -> str:
    """Return a change in one line.

    >>> from keelway.contract.change.kinds import ChangeKind, change_of
    >>> change_text(change_of(ChangeKind.VALUE_REMOVED, "plan", "gold"))
    'plan: allowed value removed (gold)'
    """
    told = " -> ".join(each for each in (change.old, change.new) if each)
    named = f"{change.column}: {change.what}" if change.column else str(change.what)
    return f"{named} ({told})" if told else named


def contract_key(contract: Contract) -> str:
    """Return the key that a contract is stored under."""
    return f"{contract.dataset}/{contract.version}/{short(digest_of(contract))}"


def next_step(contract: Contract, *, tx: Transaction) -> ContractStep | None:
    """Return the step from the contract of the dataset's last batch to this one; None where nothing changes."""
    last = tx.newest(CheckedBatch, parent=contract.dataset, limit=1)
    new = digest_of(contract)
    if not last or last[0].contract == new:
        return None
    old = last[0].contract
    diff = changes_between(tx.by_digest(Contract, old), contract)
    if diff.level is None:
        return None
    accepted = tx.find(ContractAcceptance, _key(contract.dataset, old, new))
    return ContractStep(contract.dataset, old, new, diff, None if accepted is None else digest_of(accepted))


def accept_change(
    contract: Contract, *, state: StateStore, actor: PrincipalId, now: datetime, comment: str
) -> ContractAcceptance:
    """Let a breaking change of a dataset's contract in, from the next batch on.

    Accepting the same step again returns what is stored.

    Raises:
        UsageError: There is no comment, or nothing to accept: the contract breaks nothing.
    """
    if not comment.strip():
        raise UsageError("A breaking change needs a reason", expected="a comment", found="none")
    with state.transaction() as tx:
        step = next_step(contract, tx=tx)
        if step is None or step.diff.level is not ChangeLevel.BREAKING:
            level = step.diff.level if step else "nothing new"
            raise UsageError(
                f"The contract of {contract.dataset} needs nobody's consent",
                expected="a breaking change against the contract of the last batch",
                found=str(level),
                fix="Ingest; it is loaded as it is.",
            )
        if step.accepted is not None:
            return tx.by_digest(ContractAcceptance, step.accepted)
        tx.insert(contract_key(contract), contract, parent=contract.dataset, at=now)
        acceptance = ContractAcceptance(contract.dataset, step.old, step.new, actor, now, comment.strip())
        digest = tx.insert(_key(contract.dataset, step.old, step.new), acceptance, parent=contract.dataset, at=now)
        record_decision(_consent(step, acceptance, digest), tx=tx)
    return acceptance


def _consent(step: ContractStep, acceptance: ContractAcceptance, digest: Digest) -> Decision:
    return Decision(
        action=Action.CONTRACT,
        subject=step.dataset,
        allowed=True,
        principal=acceptance.actor,
        at=acceptance.at,
        evidence={"old": step.old, "new": step.new, "accepted": digest},
        comment=acceptance.comment,
    )


def _key(dataset: str, old: Digest, new: Digest) -> str:
    return f"{dataset}/{short(old)}/{short(new)}"
