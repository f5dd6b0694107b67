"""Commands on candidate results: proposed from abstracts, accepted by a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroevidence.cli.options import DataOption, EmailOption
from retroevidence.errors import RetroEvidenceError

if TYPE_CHECKING:
    from retroevidence.loaders.pubmed.client import PubMed


def extract(
    sources: Annotated[
        list[str],
        typer.Argument(help="PubMed ids, text files, or files of references with abstracts."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("candidates.csv"),
    study: Annotated[
        str | None, typer.Option("--study", help="Key of the study, for a single record.")
    ] = None,
    data: DataOption = None,
    email: EmailOption = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="File that keeps PubMed's answers.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take PubMed's answers from the store alone.")
    ] = False,
) -> None:
    """Propose results that abstracts print, for a person to accept; nothing enters by itself."""
    from retroevidence.loaders.extraction.candidates import write_candidates
    from retroevidence.loaders.extraction.sources import extract_all, records_of

    client: PubMed | None = None
    if email is not None or offline:
        from retroevidence.loaders.pubmed.client import PubMed

        client = PubMed(email=email, store=store, offline=offline)
    records = records_of(sources, pubmed=client, data=data)
    without = records[records["abstract"].isna()]
    if len(without) == len(records):
        raise RetroEvidenceError("no source has an abstract; give its text in a file.")
    found = extract_all(records, study, data=data)
    path = write_candidates(found, out)
    rows = found[found["table"].notna()]
    counts = rows["confidence"].value_counts()
    told = ", ".join(f"{counts.get(word, 0)} {word}" for word in ("high", "medium", "low"))
    typer.echo(f"{len(rows)} candidates ({told}) from {len(records)} records are in {path}")
    for source in without["source"]:
        typer.echo(f"  {source}: no abstract")
    typer.echo("read each, correct it, write yes in accept and your initials; then: ")
    typer.echo(f"  retroevidence accept {path} --data DIR")


def accept(
    candidates: Annotated[Path, typer.Argument(help="A file that extract wrote, filled in.")],
    data: Annotated[
        Path, typer.Option("--data", help="Directory of tables the rows are added to.")
    ],
) -> None:
    """Add the candidates that a person has marked and signed to the tables of a review."""
    from retroevidence.loaders.extraction.accept import accept as run

    done = run(candidates, data)
    typer.echo(repr(done))
    if done.count("refused"):
        raise typer.Exit(1)
