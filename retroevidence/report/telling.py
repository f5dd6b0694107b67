"""The few lines that say most about a run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from retroevidence.claims.rules import VERDICTS

#: Lines beside the tally.
CLAIMS_SHOWN = 4


def telling_lines(results: Path) -> list[str]:
    """Return what a run says in five lines: the tally, then the claims with the clearest verdicts.

    A verdict is the clearer the further it is from inconclusive; among equals the claim with more
    comparisons comes first.

    Parameters
    ----------
    results : Path
        What `reproduce` wrote.
    """
    claims = json.loads((results / "results.json").read_text(encoding="utf-8"))["claims"]
    found = Counter(entry["verdict"] for entry in claims.values())
    tally = ", ".join(f"{found[word]} {word}" for word in VERDICTS if found[word])
    middle = VERDICTS.index("inconclusive")
    judged = [name for name, entry in claims.items() if entry["verdict"] in VERDICTS[:-1]]

    def clarity(name: str) -> tuple[int, int]:
        entry = claims[name]
        return -abs(VERDICTS.index(entry["verdict"]) - middle), -int(entry["k"])

    lines = [f"{len(claims)} claim{'s' if len(claims) != 1 else ''}: {tally}"]
    for name in sorted(judged, key=clarity)[:CLAIMS_SHOWN]:
        entry = claims[name]
        lines.append(
            f"{name}: {entry['verdict']} ({entry['certainty']} certainty); {entry['reason']}"
        )
    return lines
