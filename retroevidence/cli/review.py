"""Commands on a living review: search, screen, count the flow of records, tell what changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retroevidence.cli.options import DataOption, EmailOption
from retroevidence.errors import RetroEvidenceError

if TYPE_CHECKING:
    from retroevidence.loaders.screening import Screening
    from retroevidence.loaders.strategies import Searches

#: Answers that say nothing before the command stops by itself.
_TRIES = 5

_KEYS = {"i": "include", "e": "exclude", "n": "not_retrieved"}


def search(
    data: DataOption = None,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Run this one only; may be repeated.")
    ] = None,
    email: EmailOption = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Keeps PubMed's answers; local/pubmed.sqlite by default."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take PubMed's answers from the store alone.")
    ] = False,
) -> None:
    """Run the saved searches of a review and add what is new to its records."""
    from retroevidence.loaders.logs import local_folder
    from retroevidence.loaders.strategies import search as run

    client: Searches | None = None
    if email is not None or offline:
        from retroevidence.loaders.pubmed.client import PubMed

        kept = store or local_folder(data) / "pubmed.sqlite"
        client = PubMed(email=email, store=kept, offline=offline, progress=True)
    found = run(data, pubmed=client, strategies=strategy or ())
    typer.echo(repr(found).rstrip())
    for row in found.near.to_dict("records"):
        typer.echo(
            f"  look at {row['first']} and {row['second']} ({row['why_apart']}): "
            f"{row['first_title']} / {row['second_title']}"
        )


def screen(
    data: DataOption = None,
    screener: Annotated[
        str | None, typer.Option("--screener", help="Your name; you decide record by record.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="title_abstract or full_text; both by default, in turn."),
    ] = None,
    arbiter: Annotated[
        str | None, typer.Option("--arbiter", help="Your name; you settle the conflicts.")
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--from", help="Take decisions from a CSV file instead of asking."),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only say what is done, waits or is in conflict.")
    ] = False,
) -> None:
    """Decide which records enter: two screeners, two stages, conflicts settled by a third."""
    from retroevidence.loaders.screening import decide, screening

    asked = [option for option in (screener, arbiter) if option]
    if len(asked) > 1:
        raise RetroEvidenceError("give --screener or --arbiter, not both: one person, one part.")
    if decisions is not None:
        name, role = (arbiter, "arbiter") if arbiter else (screener, "screener")
        added = decide(_table(decisions, name, role), data)
        typer.echo(f"{added} decisions added from {decisions.name}")
    elif not status and not asked:
        raise RetroEvidenceError(
            "who decides? add --screener NAME, --arbiter NAME or --from FILE.csv; --status only "
            "tells what is done."
        )
    elif not status:
        state = screening(data)
        done = _settle(state, str(arbiter), data) if arbiter else _decide(
            state, str(screener), stage, data
        )  # fmt: skip
        typer.echo(f"{done} decided; every answer is kept, and the same command goes on from here")
    typer.echo(repr(screening(data)).rstrip())


def update(
    data: DataOption = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="A snapshot.json or results.json; the last by default."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare without storing the present state.")
    ] = False,
) -> None:
    """Say what has changed in each verdict since last time, and because of which results."""
    from retroevidence.claims.update import update as run

    typer.echo(repr(run(data, against=against, keep=not dry_run)).rstrip())


def prisma(
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Draw the flow diagram to OUT.svg and OUT.png."),
    ] = None,
) -> None:
    """Count the PRISMA 2020 flow of records from the logs, and draw it."""
    from retroevidence.report.prisma import flow_diagram
    from retroevidence.report.prisma import prisma as run

    flow = run(data)
    typer.echo(repr(flow).rstrip())
    if out is not None:
        from retroevidence.report.style import save

        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            files = save(flow_diagram(flow), out)
        except OSError as error:
            raise RetroEvidenceError(
                f"{out} cannot be written ({error.strerror}); give another place."
            ) from None
        typer.echo(f"drawn: {files[0]} and {files[1]}")


def _table(path: Path, name: str | None, role: str) -> list[dict[str, Any]]:
    """Read a CSV of decisions; the name on the command line fills blank screeners."""
    from retroevidence.loaders.sheet import read_sheet

    sheet = read_sheet(path)
    rows: list[dict[str, Any]] = []
    for line, cells in zip(sheet.lines, sheet.rows, strict=True):
        if len(cells) != len(sheet.header):
            raise RetroEvidenceError(
                f"{path.name}, line {line}: has {len(cells)} cells where the header has "
                f"{len(sheet.header)}; look for a missing or extra comma."
            )
        row: dict[str, Any] = dict(zip(sheet.header, cells, strict=True))
        if name and not row.get("screener"):
            row |= {"screener": name, "role": role}
        rows.append(row)
    return rows


def _decide(state: Screening, screener: str, stage: str | None, data: Path | None) -> int:
    """Ask a screener record by record; each answer is kept before the next is asked for."""
    from retroevidence.loaders.screening import decide
    from retroevidence.loaders.strategies import read_abstracts

    waiting = state.waiting(screener, stage)
    abstracts = read_abstracts(data)
    reasons = list(dict.fromkeys(state.decisions["reason"].dropna()))
    done = 0
    for n, record in enumerate(waiting.to_dict("records"), 1):
        where = str(record["stage"])
        typer.echo(f"\n{n} of {len(waiting)}, {where.replace('_', ' ')}: {record['record_id']}")
        typer.echo(_shown(record, abstracts.get(record["record_id"], "")))
        answer = _answer(where == "full_text", reasons)
        if answer is None:
            break
        if answer:
            given = {"record_id": record["record_id"], "stage": where, "screener": screener}
            done += decide([given | answer], data)
    return done


def _settle(state: Screening, arbiter: str, data: Path | None) -> int:
    """Ask the arbiter about each conflict."""
    from retroevidence.loaders.screening import decide

    reasons = list(dict.fromkeys(state.decisions["reason"].dropna()))
    done = 0
    for row in state.conflicts.to_dict("records"):
        typer.echo(f"\n{row['record_id']}, {row['stage'].replace('_', ' ')}: {row['title']}")
        typer.echo(f"  {row['said']}")
        answer = _answer(row["stage"] == "full_text", reasons)
        if answer is None:
            break
        if answer:
            given = {"record_id": row["record_id"], "stage": row["stage"]}
            done += decide([given | answer | {"screener": arbiter, "role": "arbiter"}], data)
    return done


def _shown(record: Mapping[Any, Any], abstract: str) -> str:
    known = {name: str(value) for name, value in record.items() if str(value) != "<NA>"}
    source = ", ".join(known[name] for name in ("authors", "year", "journal") if name in known)
    links = "  ".join(f"{name} {known[name]}" for name in ("doi", "pmid", "url") if name in known)
    lines = [known.get("title", "[title not shown]"), source, links]
    lines.append(abstract or "(no abstract at hand)")
    return "\n".join(f"  {line}" for line in lines if line)


def _answer(full_text: bool, reasons: list[str]) -> dict[str, str] | None:
    """Ask for one decision: a dict, empty to skip the record, None to stop."""
    keys = "[i]nclude, [e]xclude, " + ("[n]ot retrieved, " if full_text else "") + "[s]kip, [q]uit"
    try:
        for _ in range(_TRIES):
            key = _asked(keys).casefold()[:1]
            if key in ("s", "q"):
                return {} if key == "s" else None
            if key == "i" and full_text:
                return {"decision": "include", "study_id": _asked("study id, if known")}
            if key == "e":
                reason = _reason(reasons, full_text)
                return None if reason is None else {"decision": "exclude", "reason": reason}
            if key in _KEYS and (full_text or key != "n"):
                return {"decision": _KEYS[key]}
    except (EOFError, typer.Abort):
        typer.echo("")
    return None


def _reason(reasons: list[str], required: bool) -> str | None:
    """Ask why, offering the reasons given before by number; the same words count together."""
    for n, reason in enumerate(reasons, 1):
        typer.echo(f"  {n}  {reason}")
    for _ in range(_TRIES):
        said = _asked("reason (a number, or in words)")
        if said.isdigit() and 1 <= int(said) <= len(reasons):
            return reasons[int(said) - 1]
        if said and said not in reasons:
            reasons.append(said)
        if said or not required:
            return said
    return None


def _asked(what: str) -> str:
    """Return one line of the answerer, blank if there is nothing on it."""
    return str(typer.prompt(what, default="", show_default=False)).strip()
