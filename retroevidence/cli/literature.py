"""Commands on the literature: references audited, PubMed asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retroevidence.cli.options import DataOption, EmailOption
from retroevidence.errors import RetroEvidenceError


def audit(
    references: Annotated[
        Path | None,
        typer.Argument(
            help="A list of references (.txt .bib .ris .nbib); the article's by default."
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option("--library", help="Records to look in (.bib .ris .nbib)."),
    ] = None,
    data: DataOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask PubMed for each reference too.")
    ] = False,
    email: EmailOption = None,
) -> None:
    """Compare each reference with candidate records, field by field; nothing is corrected."""
    from retroevidence.claims.audit import audit as run

    client = None
    if online:
        if email is None:
            raise RetroEvidenceError(
                "audit --online needs your address; add: --email you@example.org"
            )
        from retroevidence.loaders.pubmed import PubMed

        client = PubMed(email=email)
    if references is None and online:
        from retroevidence.claims.citations import cited_references

        found = run(cited_references(data), library=library, pubmed=client, data=data)
    else:
        found = run(references, library=library, pubmed=client, data=data)
    for row in found.to_dict("records"):
        typer.echo(f"{row['cited_no']}. {row['cited']}")
        typer.echo(f"   {row['verdict']}: {row['reason']}")
        if row["differing"] == row["differing"] and row["differing"]:
            typer.echo(f"   {row['differing']}")
    counts = found["verdict"].value_counts()
    typer.echo(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))


pubmed_app = typer.Typer(help="Ask PubMed.", no_args_is_help=True)


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
