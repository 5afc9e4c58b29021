"""Commands on feature definitions: features sql, propose."""

from __future__ import annotations

from pathlib import Path

import click

from keelway.core import parse_time
from keelway.errors import UsageError
from keelway.surfaces.cli.features_online import ONLINE_COMMANDS
from keelway.surfaces.cli.session import Session, command


@click.group(name="features")
def features() -> None:
    """Serve features and put them to the test; show them as the SQL of an engine, or propose them."""


@command(name="sql")
@click.argument("name", metavar="MODEL|FEATURE_SET")
@click.option("--engine", required=True, metavar="ENGINE", help="duckdb, snowflake, databricks or spark.")
@click.option("--as-of", "as_ofs", multiple=True, metavar="TIME", help="A cut date (default: now); may be repeated.")
@click.option("--database", default="", help="Where the tables stand: SCHEMA or CATALOG.SCHEMA.")
def sql(session: Session, name: str, engine: str, as_ofs: tuple[str, ...], database: str) -> None:
    """Print the SQL of a feature set, or of each of a model's, with the filters of the cut date; nothing is run."""
    cuts = [parse_time(as_of) for as_of in as_ofs]
    found = session.app.features.sql(name, engine=engine, as_ofs=cuts, database=database)
    session.show(found, lambda: click.echo("\n\n".join(each.text for each in found)))


@command(name="propose")
@click.argument("dataset")
@click.option("--entity", default="", help="The column that features are made for (default: as the project has it).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the code to this new file.")
def propose(session: Session, dataset: str, entity: str, out: Path | None) -> None:
    """Propose features over DATASET from its contract, as Python code to read and edit."""
    proposed = session.app.features.propose(dataset, entity=entity)
    if out is not None:
        _write(proposed.code, out)
    session.show(proposed, lambda: click.echo(out or proposed.code, nl=out is not None))


def _write(code: str, out: Path) -> None:
    from keelway.errors import StorageError

    try:
        with out.open("x", encoding="utf8") as file:
            file.write(code)
    except FileExistsError as error:
        raise UsageError("The file is there already", expected="a new file", found=str(out)) from error
    except OSError as error:
        raise StorageError("The file cannot be written", expected=str(out), found=error.strerror or "") from error


for each in (sql, propose, *ONLINE_COMMANDS):
    features.add_command(each)
