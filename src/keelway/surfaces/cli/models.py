"""Commands on model versions: models list, export, verify, bom, key, deprecate, retire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_json, time_text
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.register import LifecycleChange

_version = click.argument("version", metavar="MODEL:NUMBER")
_reason = click.option("--reason", required=True, help="Why; kept in the ledger for ever.")
_successor = click.option("--successor", default="", metavar="MODEL:NUMBER", help="The version to use instead.")


@click.group(name="models", cls=DefaultGroup)
def models() -> None:
    """List model versions; hand them on as signed folders, check such folders; deprecate and retire versions.

    MODEL:NUMBER may also be MODEL (its newest version) or MODEL@ENVIRONMENT.
    """


@command(name="list")
@click.argument("model", required=False)
def list_models(session: Session, model: str | None) -> None:
    """List model versions, newest first: why each has its semantic version, and where it is admitted."""
    lines = session.app.lab.models(model)
    session.show(
        lines,
        lambda: table(
            ["version", "state", "semantic", "because", "estimator", "figure (95 %)", "admitted to", "author", "made"],
            [
                [
                    line.name,
                    f"{line.state}, use {line.successor}" if line.successor else line.state,
                    line.semver,
                    line.because,
                    line.estimator,
                    f"{line.metric} {line.value:.4f} ({line.low:.4f}-{line.high:.4f})",
                    ", ".join(line.admitted_to) or "-",
                    line.author,
                    time_text(line.created_at),
                ]
                for line in lines
            ],
        ),
    )


@command(name="export")
@_version
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new folder, or an empty one."
)
def export(session: Session, version: str, out: Path) -> None:
    """Write MODEL:NUMBER as a folder that the OpenSSF tool `model_signing` verifies too.

    It holds the model in ONNX, its features, its card, its bill of materials and its provenance, and the signature over
    all of them. Every byte of the version is checked first.
    """
    written = session.app.versions.export(version, out)

    def human() -> None:
        click.echo(f"{written.name}: wrote and signed {len(written.files)} files in {written.path}")
        click.echo(f"  check it anywhere: keelway models verify {written.path} --key PUBLIC_KEY")
        click.echo("  or with model_signing, and the key that `keelway models key` writes")

    session.show(written, human)


@command(name="verify")
@click.argument("model_folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--key",
    "key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The project's public key, or the public key (EC) of whoever signed.",
)
@click.option(
    "--signature",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The signature's file (default: model.sig in FOLDER).",
)
def verify(session: Session, model_folder: Path, key: Path, signature: Path | None) -> None:
    """Check FOLDER with a public key alone: no project, no store, no network.

    Folders that `model_signing sign key` signed are checked too. A file that was changed, added, removed or renamed, a
    link, an empty manifest and a path that leaves the folder are refused.
    """
    from keelway.app.versions import verify_model_folder

    found = verify_model_folder(model_folder, key=key, signature=signature)

    def human() -> None:
        for name, digest in found.files.items():
            click.echo(f"  {digest[:12]}  {name}")
        for name in found.unsigned:
            click.echo(click.style(f"  not signed    {name}", fg="yellow"))
        click.echo(click.style(f"verified: {found.name}, {len(found.files)} files as signed", fg="green"))

    session.show(found, human)


@command(name="bom")
@_version
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here instead of printing it.")
def bom(session: Session, version: str, out: Path | None) -> None:
    """Show the bill of materials of MODEL:NUMBER in CycloneDX: the model, its datasets, what was installed."""
    data = session.app.versions.bill(version)
    if out is not None:
        from keelway.app.files import written

        written(out, data.decode())

    def human() -> None:
        click.echo(f"wrote {out}" if out else data.decode())

    session.show(parse_json(data), human)


@command(name="key")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here instead of printing it.")
def key(session: Session, out: Path | None) -> None:
    """Show the public key (EC, PEM) that exported models are checked with by other tools."""
    from keelway.app.files import written

    found = session.app.versions.public_key()
    if out is not None:
        written(out, found.pem)
    session.show(
        {"publicKey": found.pem, "hint": found.hint},
        lambda: click.echo(f"wrote {out}" if out else found.pem, nl=bool(out)),
    )


@command(name="deprecate")
@_version
@_reason
@_successor
def deprecate(session: Session, version: str, reason: str, successor: str) -> None:
    """Say that MODEL:NUMBER should not be used any more, and what to use instead; it goes on working."""
    change = session.app.versions.deprecate(version, reason=reason, successor=successor)
    session.show(change, lambda: _tell_change(change))


@command(name="retire")
@_version
@_reason
@_successor
def retire(session: Session, version: str, reason: str, successor: str) -> None:
    """End the life of MODEL:NUMBER for good: it can never be promoted or deployed again.

    A version that is live somewhere cannot be retired. Its bytes may be collected once `retention.retired_days` are over.
    """
    change = session.app.versions.retire(version, reason=reason, successor=successor)
    session.show(change, lambda: _tell_change(change))


def _tell_change(change: LifecycleChange) -> None:
    instead = f"; use {change.successor} instead" if change.successor else ""
    click.echo(f"{change.version} is {change.state}: {change.reason}{instead}")


for each in (list_models, export, verify, bom, key, deprecate, retire):
    models.add_command(each)
