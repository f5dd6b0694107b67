"""Ask for some ids: each of them comes back with a record, or with what became of it."""

from __future__ import annotations

from dataclasses import replace

from retroevidence.errors import NetworkError
from retroevidence.loaders.pubmed.http import Line, NoIdsError, TooLargeError
from retroevidence.loaders.pubmed.record import READER, record_row
from retroevidence.loaders.pubmed.store import Kept
from retroevidence.loaders.pubmed.xml import Fetched, parse_record, read_records, record_bytes


def fetched(line: Line, pmids: list[str], moment: str) -> list[Kept]:
    """Ask for some ids at a moment; every one of them is in what is returned, in their order."""
    answer = _asked(line, pmids)
    unasked = set(answer.records) - set(pmids)
    lost = [pmid for pmid in pmids if pmid not in answer.records and pmid not in answer.deleted]
    stands_for: dict[str, str] = {}
    for pmid in lost if len(pmids) > 1 else []:
        # A record came that nobody asked for: it stands for one of the ids that got none.
        if not unasked:
            break
        alone = _asked(line, [pmid])
        if len(alone.records) == 1:
            stands_for[pmid] = next(iter(alone.records))
            unasked.discard(stands_for[pmid])
    if len(pmids) == len(unasked) == 1 and lost:
        stands_for[lost[0]] = unasked.pop()
    kept = []
    for pmid in pmids:
        if pmid in answer.records:
            xml = record_bytes(answer.records[pmid])
            kept.append(reread(Kept(pmid, "given", moment, xml)))
        elif pmid in stands_for:
            kept.append(Kept(pmid, f"given as {stands_for[pmid]}", moment))
        else:
            state = "deleted" if pmid in answer.deleted else "not given"
            kept.append(Kept(pmid, state, moment))
    return kept


def _asked(line: Line, pmids: list[str]) -> Fetched:
    """Send one efetch; halve the ids while the answer is too large to be read."""
    try:
        return line.ask("efetch.fcgi", {"id": ",".join(pmids), "retmode": "xml"}, read_records)
    except NoIdsError:
        return Fetched({}, frozenset())
    except TooLargeError as error:
        if len(pmids) == 1:
            raise NetworkError(f"record {pmids[0]} is not read: {error}") from None
    middle = len(pmids) // 2
    first, last = _asked(line, pmids[:middle]), _asked(line, pmids[middle:])
    return Fetched(first.records | last.records, first.deleted | last.deleted)


def reread(one: Kept) -> Kept:
    """Read the fields of a record again if another reader read them."""
    if one.xml is None or one.reader == READER:
        return one
    return replace(one, row=record_row(parse_record(one.xml)), reader=READER)
