"""The ``retroevidence`` command.

Exit codes: 0 done; 1 the tables or the question are at fault (one sentence says what and how to
mend it); 2 the command line is.
"""

from __future__ import annotations

from typing import Annotated

import typer

from retroevidence import __version__
from retroevidence.cli import evidence, extraction, literature, review
from retroevidence.errors import RetroEvidenceError


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"retroevidence {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="retroevidence",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Claims to verdicts: what the published evidence says, how sure, and where it was read."""


for command in (
    *(evidence.reproduce, evidence.check, evidence.trace, evidence.describe, evidence.validate),
    *(evidence.new, literature.audit),
    *(review.search, review.screen, review.update, review.prisma),
    *(extraction.extract, extraction.accept),
):
    app.command()(command)

app.add_typer(literature.pubmed_app, name="pubmed")


def main() -> None:
    """Run the command; errors of the library end it with one sentence and exit code 1."""
    try:
        app()
    except RetroEvidenceError as error:
        typer.echo(f"retroevidence: {error}", err=True)
        raise SystemExit(1) from None
