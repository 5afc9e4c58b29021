"""Commands on risk: risk assess, show, inventory."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import click

from keelway.core import short, time_text
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.risk import InventoryLine, RiskView

COLUMNS = (
    "model",
    "declared",
    "owner",
    "purpose",
    "tier",
    "state",
    "data_classes",
    "versions",
    "newest",
    "live",
    "last_review",
    "reviewed_by",
    "review_by",
    "open_incidents",
)


class _RiskGroup(DefaultGroup):
    default = "inventory"


@click.group(name="risk", cls=_RiskGroup)
def risk() -> None:
    """Assess the risk of models by what the project declares, and list every model with its risk."""


@command(name="assess")
@click.argument("model")
@click.option("--renew", is_flag=True, help="Assess again although the standing assessment holds.")
@click.option("--comment", default="", help="What was looked at; kept in the ledger.")
def assess(session: Session, model: str, *, renew: bool, comment: str) -> None:
    """Confirm what MODEL declares about its risk; the tier that follows holds until its review.

    Takes the role risk-owner, approver, auditor or admin.
    """
    made = session.app.governance.risk.assess(model, comment=comment, renew=renew)

    def human() -> None:
        click.echo(f"{made.model}: risk tier {made.tier}, assessed by {made.assessed_by}")
        for reason in made.reasons:
            click.echo(f"  {reason.tier}: {reason.rule} ({reason.reference})")
        click.echo(f"  holds until {time_text(made.review_by)}, or until the declaration changes")

    session.show(made, human)


@command(name="show")
@click.argument("model")
def show(session: Session, model: str) -> None:
    """Show what MODEL declares about its risk, which tier follows, and who assessed it when."""
    view = session.app.governance.risk.show(model)
    session.show(view, lambda: _tell(view))


@command(name="inventory")
@click.option("--csv", "as_csv", is_flag=True, help="Answer as CSV, one model a row.")
def inventory(session: Session, *, as_csv: bool) -> None:
    """List every model: owner, purpose, tier, data, versions, where it is live, last review, open incidents."""
    lines = session.app.governance.risk.inventory()

    def human() -> None:
        if as_csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([_safe(cells[name]) for name in COLUMNS] for cells in map(_cells, lines))
            return
        shown = ("model", "tier", "state", "owner", "data_classes", "versions", "live", "last_review", "open_incidents")
        table([name.replace("_", " ") for name in shown], [[_cells(line)[name] for name in shown] for line in lines])
        for line in lines:
            click.echo(f"{line.model}: {line.purpose or 'no purpose on its card'}")

    session.show(lines, human)


for _command in (assess, show, inventory):
    risk.add_command(_command)


def _cells(line: InventoryLine) -> dict[str, str]:
    return {
        "model": line.model,
        "declared": "yes" if line.declared else "no",
        "owner": line.owner,
        "purpose": line.purpose,
        "tier": line.tier or "",
        "state": line.state,
        "data_classes": " ".join(line.data_classes),
        "versions": str(line.versions),
        "newest": line.newest,
        "live": " ".join(f"{environment}={version}" for environment, version in sorted(line.live.items())),
        "last_review": time_text(line.last_review) if line.last_review else "",
        "reviewed_by": line.reviewed_by,
        "review_by": time_text(line.review_by) if line.review_by else "",
        "open_incidents": str(line.open_incidents),
    }


def _safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _tell(view: RiskView) -> None:
    click.echo(f"{view.model}: {view.state}")
    if view.declared is not None:
        click.echo(f"  declared: tier {view.declared_tier}, owner {view.declared.owner}")
        for reason in view.reasons:
            click.echo(f"    {reason.tier}: {reason.rule} ({reason.reference})")
    for one in view.history:
        click.echo(
            f"  assessment {one.number}: tier {one.tier} by {one.assessed_by} at {time_text(one.assessed_at)}, "
            f"review by {time_text(one.review_by)}, of declaration {short(one.declaration)}"
        )
    if view.state == "stale":
        click.echo(f"  the declaration changed since; assess again: keelway risk assess {view.model}")
