"""Commands on feature definitions: features build, sql, propose."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from keelway.core import digest_of, parse_time, short, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.features_online import ONLINE_COMMANDS
from keelway.surfaces.cli.session import Session, command, counted, table


@click.group(name="features")
def features() -> None:
    """Build features, serve them and put them to the test; show them as the SQL of an engine, or propose them."""


@command(name="build")
@click.argument("model", required=False)
@click.option("--as-of", "as_ofs", multiple=True, metavar="TIME", help="This cut date, without label; may be repeated.")
@click.option("--rows", "shown", default=5, show_default=True, type=click.IntRange(0), help="Show the last so many.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows here, as .parquet or .csv."
)
def build(session: Session, model: str | None, as_ofs: tuple[str, ...], shown: int, out: Path | None) -> None:
    """Compute the rows that MODEL (default: the only one) learns from, and train nothing."""
    from keelway.app.features import check_target

    if out:
        check_target(out)
    room = session.app.features
    built = room.build(model, as_ofs=[parse_time(as_of) for as_of in as_ofs])
    file = room.write(built, out) if out else None

    def human() -> None:
        until = f" to {time_text(built.as_ofs[-1])}" if len(built.as_ofs) > 1 else ""
        click.echo(
            f"{built.model}: {counted(built.rows, 'row')} of {counted(len(built.features), 'feature')}"
            f" as of {time_text(built.as_ofs[0])}{until}, table {short(digest_of(built))}"
        )
        if shown:
            rows = room.rows(built)
            last = rows.slice(max(0, rows.num_rows - shown))
            table(last.column_names, [[_cell(value) for value in row.values()] for row in last.to_pylist()])
        if file:
            click.echo(f"wrote {file}")

    session.show({"table": built, "digest": digest_of(built), "file": str(file) if file else ""}, human)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return time_text(value)
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


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

    def human() -> None:
        if out is None:
            click.echo(proposed.code, nl=False)
        else:
            click.echo(f"wrote {out}")
            click.echo(
                f"  next: copy it below the declaration of {dataset}, keep what means something, name it in a model"
            )

    session.show(proposed, human)


def _write(code: str, out: Path) -> None:
    from keelway.errors import StorageError

    try:
        with out.open("x", encoding="utf8") as file:
            file.write(code)
    except FileExistsError as error:
        raise UsageError("The file is there already", expected="a new file", found=str(out)) from error
    except OSError as error:
        raise StorageError("The file cannot be written", expected=str(out), found=error.strerror or "") from error


for each in (build, sql, propose, *ONLINE_COMMANDS):
    features.add_command(each)
