"""Commands on data contracts: contract init, lint, diff, docs, impact, accept, second-opinion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.errors import UsageError
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, table

if TYPE_CHECKING:
    from keelway.app.contracts import CheckedDraft
    from keelway.app.impact import ImpactedModel, ImpactReport
    from keelway.contract import Contract, ContractDiff, LintReport
    from keelway.engines.great_expectations import SecondOpinion

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False)
_dataset = click.option("--dataset", default="", help="Which dataset, where a file describes several.")


@click.group(name="contract")
def contract() -> None:
    """Draft, lint, compare and show data contracts; see what a change reaches, and let it in."""


@command(name="init")
@click.argument("samples", nargs=-1, required=True, type=_FILE)
@click.option("--dataset", default="", help="The dataset's name (default: that of the first sample).")
@click.option("--out", type=_OUT, help="Write the draft to this file; by default it is printed.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(session: Session, samples: tuple[Path, ...], dataset: str, out: Path | None, force: bool) -> None:
    """Draft a contract from SAMPLES (CSV, JSON Lines, Parquet; gzip or zstd), and check them against it."""
    from keelway.app.contracts import draft_of, write_draft

    found = draft_of(samples, dataset or _name_of(samples[0]), now=session.clock.now())
    if out is not None:
        write_draft(found.draft, out, force=force)
    session.show(found, lambda: _tell_draft(found, out))


@command(name="lint")
@click.argument("what")
@_dataset
def lint(session: Session, what: str, dataset: str) -> None:
    """Say what is wrong with WHAT (a contract's file, or a dataset of the project); errors exit non-zero."""
    from keelway.app.contracts import lint_file

    report = lint_file(Path(what), dataset) if _is_file(what) else session.app.contracts.lint(what)
    session.show(report, lambda: _tell_lint(report))
    if report.has_errors:
        sys.exit(FAILURE_EXIT)


@command(name="diff")
@click.argument("old")
@click.argument("new", required=False, type=_FILE)
@_dataset
def diff(session: Session, old: str, new: Path | None, dataset: str) -> None:
    """Compare two contracts' files, or of a dataset OLD the contract of its newest version with the file now."""
    from keelway.app.contracts import diff_of

    if new is None:
        found = session.app.contracts.diff(old)
    elif _is_file(old):
        found = diff_of(Path(old), new, dataset)
    else:
        raise UsageError("There is no such contract", expected="a file", found=old, fix="Name two files, or a dataset.")
    session.show(found, lambda: _tell_diff(found))


@command(name="docs")
@click.argument("what")
@_dataset
@click.option("--out", type=_OUT, help="Where to write the page (default: DATASET.html here).")
def docs(session: Session, what: str, dataset: str, out: Path | None) -> None:
    """Write WHAT (a contract's file, or a dataset of the project) as one HTML page that loads nothing."""
    from keelway.app.contracts import write_page

    found = _contract(session, what, dataset)
    path = write_page(found, out or Path(f"{found.dataset}.html"))
    session.show({"dataset": found.dataset, "version": found.version, "page": str(path)}, lambda: click.echo(path))


@command(name="impact")
@click.argument("dataset")
@click.option("--to", "new", type=_FILE, help="The new contract (default: the dataset's file as it is now).")
def impact(session: Session, dataset: str, new: Path | None) -> None:
    """Say what a changed contract of DATASET reaches: features, labels, models, versions, deployments."""
    report = session.app.contracts.impact(dataset, to=new)
    session.show(report, lambda: _tell_impact(report))


@command(name="accept")
@click.argument("dataset")
@click.option("--comment", required=True, help="Why; kept in the ledger.")
def accept(session: Session, dataset: str, comment: str) -> None:
    """Let the breaking change of DATASET's contract in: the next ingest loads by it."""
    accepted = session.app.contracts.accept(dataset, comment=comment)
    session.show(accepted, lambda: click.echo(f"{dataset}: the next ingest loads by the new contract"))


@command(name="second-opinion")
@click.argument("dataset")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write Data Docs to this folder.")
def second_opinion(session: Session, dataset: str, out: Path | None) -> None:
    """Ask Great Expectations about DATASET's newest version, rule by rule; exit non-zero where it disagrees."""
    found = session.app.contracts.second_opinion(dataset, docs=out)
    session.show(found, lambda: _tell_opinion(found))
    if not found.agree:
        sys.exit(FAILURE_EXIT)


for each in (init, lint, diff, docs, impact, accept, second_opinion):
    contract.add_command(each)


def _contract(session: Session, what: str, dataset: str) -> Contract:
    from keelway.app.contracts import contract_in

    return contract_in(Path(what), dataset) if _is_file(what) else session.app.contracts.now(what)


def _is_file(what: str) -> bool:
    """Return whether a contract's file is meant, there or not, and no dataset."""
    path = Path(what)
    return path.is_file() or path.suffix.lower() in (".yaml", ".yml")


def _name_of(sample: Path) -> str:
    """Return a dataset's name from a file's: letters, digits and underscores."""
    stem = sample.name.partition(".")[0].lower()
    name = "".join(character if character.isascii() and character.isalnum() else "_" for character in stem).strip("_")
    return name if name[:1].isalpha() else f"dataset_{name}".rstrip("_")


def _tell_draft(found: CheckedDraft, out: Path | None) -> None:
    draft = found.draft
    if out is None:
        click.echo(draft.text, nl=False)
    told = [
        (
            f"{draft.dataset}: {len(draft.columns)} columns from {draft.rows} rows; key {', '.join(draft.key) or 'none'}; "
            f"event time {draft.event_time or 'none'}"
        ),
        f"checked against its own sample: {found.rows_quarantined} of {found.rows_in} rows would be quarantined",
        *(f"  {count} x {reason}" for reason, count in found.reasons.items()),
        *(f"  {column}: {note}" for column, notes in draft.notes.items() for note in notes),
        *([f"written to {out}"] if out else []),
    ]
    for line in told:
        click.echo(line, err=out is None)


def _tell_lint(report: LintReport) -> None:
    for finding in report.findings:
        word = click.style("error", fg="red") if finding.is_error else click.style("warning", fg="yellow")
        where = f"{finding.where}: " if finding.where else ""
        click.echo(f"{word} {where}{finding.what}")
        click.echo(f"        {finding.fix}")
    errors = sum(finding.is_error for finding in report.findings)
    click.echo(f"{errors} errors, {len(report.findings) - errors} warnings")


def _tell_diff(found: ContractDiff) -> None:
    if found.level is None:
        click.echo("nothing changed")
        return
    rows = [
        [each.level, each.column or "(all)", each.what, f"{each.old} -> {each.new}" if each.new else each.old]
        for each in sorted(found.changes, key=lambda change: -change.level.rank)
    ]
    table(["level", "column", "change", "from -> to"], rows)
    click.echo(f"all in all {found.level}")


def _tell_impact(report: ImpactReport) -> None:
    """Print the report as a tree."""
    if report.level is None:
        click.echo(f"{report.dataset}: nothing changed")
        return
    click.echo(f"{report.dataset} {report.old_version} -> {report.new_version}: {report.level}")
    for each in report.changes:
        change = each.change
        said = f" ({change.old} -> {change.new})" if change.old or change.new else ""
        click.echo(f"  {change.column or '(all columns)'}: {change.what}{said}, {change.level}")
        for reader in each.readers:
            kind = "label" if reader.is_label else "feature set"
            why = f" ({reader.why})" if reader.why else ""
            click.echo(f"    {kind} {reader.name}: {reader.effect}{why}")
            click.echo(f"      {_few(reader.features)} -> {', '.join(reader.models)}")
        if not each.readers:
            click.echo("    reaches nobody")
    for model in report.models:
        _tell_model(model)


def _tell_model(model: ImpactedModel) -> None:
    click.echo(f"  model {model.model}: {model.effect}")
    for version in model.versions:
        live = ", ".join(f"{share.environment} {share.percent} %" for share in version.live)
        click.echo(f"    {version.version}{f' in {live}' if live else ''}: {version.outlook}")


def _few(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most]) or "nothing"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _tell_opinion(found: SecondOpinion) -> None:
    rows = [[each.reason, str(each.keelway), str(each.great_expectations)] for each in found.opinions]
    table(["rule", "rows by Keelway", "by Great Expectations"], rows)
    for each in found.unasked:
        click.echo(f"not asked: {each.reason} ({each.why})")
    verdict = "both agree" if found.agree else "they disagree"
    click.echo(f"{found.dataset}: {verdict} on {len(found.opinions)} rules and {found.rows} rows")
    if found.page:
        click.echo(found.page)
