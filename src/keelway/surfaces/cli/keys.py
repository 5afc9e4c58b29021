"""Commands on keys: check, rotate, make."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keelway.errors import UsageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command


class KeyGroup(DefaultGroup):
    """`keelway keys` is `keelway keys check`."""

    default = "check"


@click.group(name="keys", cls=KeyGroup)
def keys() -> None:
    """Check or make the keys behind tokens and sealed files; rotate the signing key; make a key of your own."""


@command(name="check")
@click.option("--init", "init", is_flag=True, help="Make the tenant's key, in the file that keelway.toml names.")
def check(session: Session, init: bool) -> None:
    """Check the keys behind tokens and sealed files, or make them for a project that has none."""
    status = session.app.privacy.keys(init=init)

    def human() -> None:
        if status.made:
            click.echo(f"made {status.key}: keep a copy where you keep secrets, and never beside the vault")
        click.echo(f"key    {status.key}")
        click.echo(f"vault  {status.vault}")
        click.echo(click.style(status.problem, fg="red") if status.problem else "they fit")

    session.show(status, human)
    if status.problem:
        sys.exit(FAILURE_EXIT)


@command(name="rotate")
@click.option("--comment", default="", help="Why, as the ledger shall tell it.")
def rotate(session: Session, comment: str) -> None:
    """Make a new signing key that takes over from the old one, which is destroyed (needs the role admin).

    What the old key signed still holds; what it signs from now on is refused.
    """
    from keelway.app.keys import rotate_signing_key

    done = rotate_signing_key(session.app.workspace, comment=comment)

    def human() -> None:
        if done.finished:
            click.echo("a rotation had been left half-done; it is finished")
        click.echo(f"{done.name}: {done.new_key[:16]} signs from now on")
        click.echo(
            f"  {done.old_key[:16]} is retired: {done.until} ledger entries and {done.statements} statements hold on"
        )
        click.echo(f"  hand out {done.public_key} again: it verifies what either of them signed")

    session.show(done, human)


@command(name="make")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="Who signs with it, such as witness.example; no blanks, no '+'.")
def make(session: Session, file: Path, name: str) -> None:
    """Make a key pair of your own, such as a witness's: FILE (keep it) and FILE with .pub (hand it out); needs no project."""
    from keelway.ledger import SigningKey, write_atomically

    key = SigningKey.generate(name)
    public = file.with_suffix(".pub")
    if public.exists() or public == file:
        raise UsageError(
            "There is a public key already", expected=f"no {public}", found="a file", fix="Name another file."
        )
    text = key.public.pem()  # a name that no signed note can hold is refused before anything is written
    key.save(file)
    write_atomically(public, text.encode())

    def human() -> None:
        click.echo(f"made {file}: keep it to yourself")
        click.echo(f"  {public} checks what it signs: hand it out ({key.name}, {key.key_id[:16]})")

    session.show({"key": str(file), "public_key": str(public), "name": key.name, "key_id": key.key_id}, human)


for _each in (check, rotate, make):
    keys.add_command(_each)
