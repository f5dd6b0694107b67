"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Directory of tables; the library's own by default."),
]

EmailOption = Annotated[
    str | None, typer.Option("--email", help="Your address, which PubMed asks for.")
]
