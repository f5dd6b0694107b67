"""Commands on the literature: references audited, PubMed asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retroevidence._paths import write_beside
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
        from retroevidence.loaders.pubmed.client import PubMed

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
    if found.empty:
        typer.echo("no reference to compare: citations.csv has no row; give a list of references")
        return
    counts = found["verdict"].value_counts()
    typer.echo(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))


pubmed_app = typer.Typer(help="Ask PubMed.", no_args_is_help=True)


@pubmed_app.command()
def search(
    query: Annotated[str, typer.Argument(help="A PubMed query.")],
    email: EmailOption = None,
    most: Annotated[int, typer.Option("--max", help="Most records to fetch; 0 for all.")] = 20,
    since: Annotated[
        str | None, typer.Option("--since", help="Only records entered since, as YYYY-MM-DD.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="A file that keeps every answer.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Answer from the store alone.")
    ] = False,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="NCBI_API_KEY", help="Allows ten requests a second."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the records to a CSV file.")
    ] = None,
) -> None:
    """Search PubMed and print the records found."""
    from retroevidence.loaders.pubmed.client import PubMed

    if email is None and not offline:
        raise RetroEvidenceError("PubMed asks for your address; add: --email you@example.org")
    client = PubMed(email=email or "", store=store, offline=offline, api_key=api_key, progress=True)
    found = client.search(query, max_results=most or None, since=since)
    typer.echo(f"{found.attrs['count']} records match, {len(found)} fetched")
    for note in found.attrs["notes"]:
        typer.echo(f"  {note}")
    lost = found[found["state"] != "given"]
    for row in lost.to_dict("records"):
        typer.echo(f"  {row['pmid']}: {row['state']}")
    if out is not None:
        write_beside(out, found.to_csv(index=False))
        typer.echo(f"written: {out}")
        return
    columns = ["pmid", "year", "journal", "title"]
    typer.echo(found[columns].to_string(index=False) if len(found) else "no record found")


@pubmed_app.command()
def repair(
    store: Annotated[Path, typer.Argument(help="The file of a store.")],
) -> None:
    """Rebuild a damaged store from what can still be read; the damaged file is kept beside it."""
    from retroevidence.loaders.pubmed.repair import repair as run

    typer.echo(repr(run(store)))
