"""Write what README.md repeats from the library: the verdict table and the output of the tour."""

import contextlib
import io
import re
from pathlib import Path

import pandas as pd

import retroevidence as rv

README = Path(__file__).resolve().parent.parent / "README.md"

#: The tour: each line runs, and an expression shows itself.
TOUR = """\
rv.tables()
rv.describe("contrasts").columns.head(3)[["name", "type", "description"]]
rv.load("contrasts").shape
g, v = rv.effect_size("SMD", m1=1.56, sd1=0.63, n1=16, m2=2.25, sd2=0.86, n2=16)
print(f"Hedges g {g:.3f}, variance {v:.3f}")
pain = rv.effects("pain", measure="SMD", condition="knee_oa", task="walking")
pain["basis"].value_counts().to_dict()
rv.pool(pain[pain["basis"] == "reported"].drop_duplicates("study_id"))
checked = rv.check("knee_pain")
checked.verdict, checked.certainty, checked.k
rv.trace(checked).loc[0, ["study_id", "printed", "locator"]].tolist()
rv.audit()["verdict"].value_counts().to_dict()
"""


def verdicts() -> str:
    """Return the verdict table as Markdown."""
    lines = ["| claim | verdict | certainty | rests on | k |", "|---|---|---|---|---|"]
    for row in rv.check_all().itertuples():
        lines.append(
            f"| {row.statement} | **{row.verdict}** | {row.certainty} | {row.rung} | {row.k} |"
        )
    return "\n".join(lines)


def tour() -> str:
    """Run the tour line by line and return it as a session."""
    space = {"rv": rv}
    session = []
    for line in TOUR.splitlines():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(line, "tour", "single"), space)
        session.append(f">>> {line}\n{shown.getvalue()}".rstrip())
    return "```pycon\n" + "\n".join(session) + "\n```"


#: Rows of the table of intervals: its method, the sizes of the studies, and both in words.
INTERVALS = (
    ("knha", "equal", "mean, REML + Knapp-Hartung (default)", "equal"),
    ("knha", "unequal", "", "ninefold spread"),
    ("knha", "one large", "", "one ten times larger"),
    (
        "adhoc",
        "one large",
        "mean, modified Knapp-Hartung (shown beside it)",
        "one ten times larger",
    ),
    ("z", "one large", "mean, z", "one ten times larger"),
    ("prediction", "equal", "new study, t(k − 1) prediction", "equal"),
    ("prediction", "one large", "", "one ten times larger"),
    ("tau2", None, "τ², Q-profile", "any"),
)


def intervals() -> str:
    """Return the lowest coverage over all amounts of heterogeneity, as Markdown."""
    table = pd.read_csv(README.parent / "benchmarks" / "coverage.csv")
    shown = [2, 3, 5, 10, 20]
    lines = [f"| interval | sizes of studies | k = 2 | {' | '.join(map(str, shown[1:]))} |"]
    lines.append("|---|---|" + "---|" * len(shown))
    for method, sizes, name, words in INTERVALS:
        rows = table[table["method"] == method]
        rows = rows if sizes is None else rows[rows["sizes"] == sizes]
        lowest = (100 * rows.groupby("k")["coverage"].min()).round()
        cells = [f"**{lowest[k]:.0f}**" if lowest[k] <= 90 else f"{lowest[k]:.0f}" for k in shown]
        lines.append(f"| {name} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def costs() -> str:
    """Return what a million effects cost, measured at the largest libraries, as Markdown."""
    table = pd.read_csv(README.parent / "benchmarks" / "library.csv")
    cores = int(table["cores"].iloc[0])
    lines = [
        f"| measured on {cores} cores, REML with Knapp-Hartung | effects | seconds per million | "
        "peak memory, MiB |",
        "|---|--:|--:|--:|",
    ]
    for row in table.groupby("way", sort=False).tail(1).itertuples():
        lines.append(
            f"| {row.way} | {row.effects:,} | {row.seconds_per_million:.2g} | {row.MiB:.0f} |"
        )
    return "\n".join(lines)


def growth() -> str:
    """Return how the time of a model of dependent effects grows, as Markdown."""
    table = pd.read_csv(README.parent / "benchmarks" / "multilevel.csv")
    sizes = table["effects"].unique()
    lines = [f"| seconds, fit and CR2 | {' | '.join(f'{n:,} effects' for n in sizes)} |"]
    lines.append("|---|" + "--:|" * len(sizes))
    for model, part in table.groupby("model", sort=False):
        for who, column in ((model, "seconds"), (f"{model}, metafor (sparse)", "metafor")):
            seconds = part.set_index("effects")[column]
            cells = ["" if pd.isna(seconds[n]) else f"{seconds[n]:.2g}" for n in sizes]
            lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render(text: str) -> str:
    """Return the README with each block as the library gives it now."""
    makers = (verdicts, tour, intervals, costs, growth)
    blocks = [(maker.__name__, maker()) for maker in makers]
    for name, block in blocks:
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)"
        text, found = re.subn(
            pattern, lambda m, b=block: f"{m[1]}\n{b}\n\n{m[2]}", text, flags=re.DOTALL
        )
        assert found == 1, f"README.md must hold the block {name} once"
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
