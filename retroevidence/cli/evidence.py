"""Commands on tables of evidence: claims checked, traced, described, validated, reproduced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retroevidence.cli.options import DataOption


def reproduce(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Directory to write.")] = Path("results"),
) -> None:
    """Check every claim and write tables, figures, report.html and results.json."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from retroevidence.report.reproduce import reproduce as run

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        folder = run(data=data, out=out, progress=show)

    from retroevidence.report.telling import telling_lines

    typer.echo(f"results are in {folder}/ (open {folder}/report.html)")
    for line in telling_lines(folder):
        typer.echo(f"  {line}")


def check(
    claim: Annotated[str | None, typer.Argument(help="Claim id; all claims by default.")] = None,
    data: DataOption = None,
) -> None:
    """Print the verdict of one claim with its reasons, or of all claims."""
    if claim is not None:
        from retroevidence.claims.check import check as run

        typer.echo(repr(run(claim, data)))
        return
    from retroevidence.claims.check import check_all

    table = check_all(data)
    typer.echo(table[["claim_id", "verdict", "certainty", "k", "rung"]].to_string(index=False))


def trace(
    claim: Annotated[str, typer.Argument(help="Claim id.")],
    data: DataOption = None,
) -> None:
    """Print where each number of a claim was read."""
    from retroevidence.claims.check import check as run
    from retroevidence.claims.trace import trace as walk

    for row in walk(run(claim, data), data).to_dict("records"):
        weight = f", weight {row['weight']:.1f}%" if row["weight"] > 0 else ""
        typer.echo(f"{row['study_id']} [{row['rows']}]{weight}, {row['basis']}: {row['how']}")
        typer.echo(f"  printed: {row['printed']}")
        typer.echo(f"  read at: {row['locator']}, {row['source_url']}")


def describe(
    table: Annotated[str | None, typer.Argument(help="Table name.")] = None,
    data: DataOption = None,
) -> None:
    """Describe a table: columns, types, units, allowed values, licence; or list the tables."""
    if table is None:
        from retroevidence.loaders.tables import tables

        typer.echo("\n".join(tables(data)))
        return
    from retroevidence.loaders.cards import describe as run

    typer.echo(repr(run(table, data)))


def validate(
    directory: Annotated[
        Path | None, typer.Argument(help="Directory of tables; the library's own by default.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Rewrite rows, bytes and hashes in the record.")
    ] = False,
) -> None:
    """Check every table against its record and report every fault."""
    from retroevidence.loaders.refresh import refresh as rewrite
    from retroevidence.loaders.rules import validate as run

    if refresh:
        rewrite(directory)
    faults = run(directory)
    for fault in faults["message"]:
        typer.echo(fault)
    if len(faults):
        raise typer.Exit(1)
    typer.echo("every table fits its record")


def new(
    directory: Annotated[Path, typer.Argument(help="A directory that is new or empty.")],
) -> None:
    """Start a review of your own: empty tables of the same form, with one worked example."""
    from retroevidence.loaders.scaffold import new as run

    run(directory)
    typer.echo(f"{directory}/ is ready; read {directory}/README.md, then run:")
    typer.echo(f"  retroevidence reproduce --data {directory} --out {directory}/results")
