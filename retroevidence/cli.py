"""The ``retroevidence`` command.

Exit codes: 0 done; 1 the tables or the question are at fault (one sentence says what and how to
mend it); 2 the command line is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retroevidence.errors import RetroEvidenceError

app = typer.Typer(
    name="retroevidence",
    help="Claims to verdicts: what does the published evidence say, how sure, and from where?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Directory of tables; the library's own by default."),
]


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def audit(
    data: DataOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask PubMed for each reference too.")
    ] = False,
    email: Annotated[
        str | None, typer.Option("--email", help="Your address, which PubMed asks for.")
    ] = None,
) -> None:
    """Compare each cited reference with candidate records, field by field."""
    from retroevidence.claims.citations import audit as run

    if online and email is None:
        raise RetroEvidenceError("audit --online needs your address; add: --email you@example.org")
    for row in run(data).to_dict("records"):
        typer.echo(f"{row['cited_no']}. {row['cited']}")
        typer.echo(f"   {row['verdict']}: {row['reason']}")
    if online:
        _online(data, str(email))


def _online(data: Path | None, email: str) -> None:
    """Ask PubMed for each cited title and print what it returns."""
    from retroevidence.loaders.pubmed import PubMed
    from retroevidence.loaders.tables import load

    client = PubMed(email=email)
    for row in load("citations", data).to_dict("records"):
        found = client.fetch(client.search(f"{row['cited_title']}[Title]", max_results=3))
        typer.echo(f"{row['cited_no']}. PubMed: {len(found)} records with this title")
        for record in found.to_dict("records"):
            typer.echo(f"   {record['pmid']} {record['year']} {record['title']}")


pubmed_app = typer.Typer(help="Ask PubMed.", no_args_is_help=True)
app.add_typer(pubmed_app, name="pubmed")


@pubmed_app.command()
def search(
    query: Annotated[str, typer.Argument(help="A PubMed query.")],
    email: Annotated[str, typer.Option("--email", help="Your address, which PubMed asks for.")],
    limit: Annotated[int, typer.Option("--limit", help="Most records to fetch.")] = 20,
) -> None:
    """Search PubMed and print the records found."""
    from retroevidence.loaders.pubmed import PubMed

    client = PubMed(email=email)
    found = client.fetch(client.search(query, max_results=limit))
    columns = ["pmid", "year", "journal", "title"]
    typer.echo(found[columns].to_string(index=False) if len(found) else "no record found")


@app.command()
def new(
    directory: Annotated[Path, typer.Argument(help="A directory that is new or empty.")],
) -> None:
    """Start a review of your own: empty tables of the same form, with one worked example."""
    from retroevidence.loaders.scaffold import new as run

    run(directory)
    typer.echo(f"{directory}/ is ready; read {directory}/README.md, then run:")
    typer.echo(f"  retroevidence reproduce --data {directory} --out {directory}/results")


def main() -> None:
    """Run the command; errors of the library end it with one sentence and exit code 1."""
    try:
        app()
    except RetroEvidenceError as error:
        typer.echo(f"retroevidence: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
