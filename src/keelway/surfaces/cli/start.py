"""Commands to start with: init and demo."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import secrets
from pathlib import Path

import click

from keelway.core import checked_name
from keelway.errors import UsageError
from keelway.surfaces.cli.session import Session, command

RELEASE_TOKEN_FILE = ".keelway/secrets/sp-release.token"
RELEASE_TOKEN_BYTES = 32
PLACES = (
    ("src/churn/project.py", "what is declared: dataset, features, label, model, monitor"),
    ("contracts/, policies/", "what data must look like, and what a version needs to get in"),
    ("raw/transactions/", "the shop's daily uploads, faults and all"),
    (".keelway/state.db", "records, pointers and the ledger (SQLite)"),
    (".keelway/artifacts/", "every artifact under its digest"),
    (".keelway/tables/", "the dataset as a Delta table"),
    (".keelway/mlflow.db", "the same runs and versions for MLflow"),
    (".keelway/checkpoints/", "signed checkpoints of the ledger"),
    ("proof.json", "the proof of one prediction"),
)


@command(name="init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The project's name (default: the folder's).")
def init(session: Session, directory: Path, name: str | None) -> None:
    """Start a small project in DIRECTORY: declarations, contract, policies, settings, keys and a release token."""
    from keelway.template import write_project

    project = checked_name(name or re.sub(r"[^a-z0-9_]+", "_", directory.resolve().name.lower()), what="project")
    files = write_project(directory, project)
    actor = equip(directory)

    def human() -> None:
        click.echo(f"{directory}: project {project} of {len(files)} files; you act as {actor}")
        click.echo(f"  the release token lies in {RELEASE_TOKEN_FILE}; keep it out of the repository")
        click.echo(f"  next: cd {directory}, put files under raw/, then keelway ingest, keelway run")

    session.show({"project": project, "directory": str(directory), "actor": actor, "files": files}, human)


@command(name="demo")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default="keelway-demo",
    show_default=True,
    help="Where to put the project.",
)
def demo(session: Session, directory: Path) -> None:
    """Run the whole loop on real orders of a real shop, from raw files to a proven prediction (about a minute)."""
    from keelway.surfaces.cli.demo import Demo

    figures = Demo(directory / "churn", progress=session.progress).play()

    def human() -> None:
        click.echo()
        for chapter, text in figures.chapters:
            click.echo(f"{click.style(chapter, bold=True)}\n    {text}")
        click.echo(f"\n{figures.seconds:.1f} s in all. The project is an ordinary one, in {figures.project}:")
        for place, what in PLACES:
            click.echo(f"    {place:<26} {what}")
        click.echo("Look around there: keelway status; keelway models; keelway audit; keelway doctor")

    session.show(figures, human)


def equip(root: Path) -> str:
    """Give a new project its signing key and its release token, and say who acts by default.

    Raises:
        UsageError: `keelway.toml` has no place for them.
    """
    from keelway.app import FILE_NAME, make_tenant_key, read_settings
    from keelway.ledger import SigningKey, write_atomically

    settings = read_settings(root)
    token = secrets.token_urlsafe(RELEASE_TOKEN_BYTES)
    path = root / FILE_NAME
    text, replaced = re.subn(
        r'^token_sha256 = "[^"]*"',
        f'token_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"',
        path.read_text("utf8"),
        count=1,
        flags=re.MULTILINE,
    )
    if not replaced:
        raise UsageError(f"{FILE_NAME} names no token_sha256", expected="one, at a service principal", found="none")
    write_atomically(root / RELEASE_TOKEN_FILE, token.encode(), mode=0o600)
    key = SigningKey.generate(settings.signing.name)
    key.save(root / settings.signing.key.removeprefix("file:"))
    write_atomically(root / settings.signing.public_key, key.public.pem().encode())
    make_tenant_key(root, settings)
    actor = settings.project.actor or f"user:{_login()}"
    if not settings.project.actor:
        text = re.sub(r"^\[project\]$", f'[project]\nactor = "{actor}"', text, count=1, flags=re.MULTILINE)
        if f'[principals."{actor}"]' not in text:
            text += f'\n[principals."{actor}"]\nroles = ["data-scientist"]\n'
    write_atomically(path, text.encode())
    return actor


def _login() -> str:
    """Return the name of the person at the machine, in the form names have here."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        name = os.environ.get("USER", "me")
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "me"
