"""Checks on printed comparisons: whether estimate, interval, test, p and direction agree."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from retroevidence.claims.integrity_arms import numbers
from retroevidence.claims.integrity_rows import (
    CONSISTENT,
    FLAG,
    NOT_ASSESSABLE,
    Finding,
    Pair,
    Row,
    arms_of,
    ids,
    p_printed,
    row_id,
    span,
    used,
)
from retroevidence.effects.possible.differences import (
    IMPLAUSIBLE,
    difference,
    difference_interval,
    middle,
    percent_difference,
    smd,
)
from retroevidence.effects.possible.p_values import (
    correlation_for_p,
    p_fits,
    p_from_f,
    p_from_interval,
    p_from_t,
    paired_t_test,
    t_test,
)
from retroevidence.effects.possible.ranges import Range, rounding
from retroevidence.effects.recover import smd_from_t, t_from_p

#: Words of a note that name a test other than that of two means.
OTHER_TEST = re.compile(
    r"anova|ancova|interaction|adjusted|mann|wilcoxon|\brank|regression|bonferroni|one p for all",
    re.IGNORECASE,
)

SIGNS = {"higher": 1, "lower": -1}
BETTER = {"better": 1, "worse": -1}
FAVOURED = {"experimental": 1, "comparator": -1}

#: Reported as no difference, a p-value below this does not fit.
ALPHA = "0.05"


def check_contrasts(contrasts: Sequence[Row], arms: Sequence[Row]) -> Iterator[Finding]:
    """Yield the findings on contrasts, row by row."""
    for row in contrasts:
        pair = arms_of(row, arms)
        yield from _p_from_means(row, pair)
        yield from _estimate_from_means(row, pair)
        yield from _interval_from_means(row, pair)
        yield from interval_around_estimate(row, row["estimate_type"] in ("MD", "SMD"))
        yield from p_of_interval(row, row["estimate_type"] in ("MD", "SMD"))
        yield from _p_from_test(row)
        yield from _direction(row, pair)
        yield from _favours(row)
        yield from _null(row)
        yield from _large_effect(row)
        yield from _percent_fall(row)


def check_reviews(reviews: Sequence[Row]) -> Iterator[Finding]:
    """Yield the findings on pooled results of published reviews."""
    for row in reviews:
        yield from interval_around_estimate(row, True)
        yield from p_of_interval(row, True)
        if row["measure"] == "SMD" and row["estimate"]:
            yield _implausible(row, rounding(row["estimate"]), f"SMD {row['estimate']}")


def _finding(check: str, status: str, rows: Sequence[Row], **said: str) -> Finding:
    return Finding(rows[0]["study_id"], ids(*rows), check, status, used=used(*rows), **said)


def _p_from_means(row: Row, pair: Pair | None) -> Iterator[Finding]:
    if not row["p_value"]:
        return
    check = "p from means"
    lacking = ""
    if row["kind"] == "within_group_change":
        lacking = "a change within one group; its two values and their correlation are not printed"
    elif OTHER_TEST.search(row["note"]):
        lacking = "the printed p is of another test than that of two means"
    elif pair is None:
        lacking = "means of both sides are not in the tables"
    elif not all(a["mean"] and a["sd"] for a in (pair.one, pair.two)):
        lacking = "SDs of both sides are not printed"
    elif not all(a["n"] and int(a["n"]) >= 2 for a in (pair.one, pair.two)):
        lacking = "n of both sides is not printed"
    if lacking or pair is None:
        yield _finding(check, NOT_ASSESSABLE, [row], printed=p_printed(row), note=lacking)
        return
    one, two = numbers(pair.one), numbers(pair.two)
    rows = [row, pair.one, pair.two]
    printed = f"{pair.printed()}; {p_printed(row)}"
    op = row["p_op"] or "="
    if row["paired"] == "yes":
        found = paired_t_test(one[0], one[1], *two)
        fits = p_fits(row["p_value"], op, found.p)
        said = f"paired t on {one[2] - 1} df with any correlation: p {span(found.p)}"
        p = float(row["p_value"])
        note = ""
        if 0 < p < 1 and min(float(one[1]), float(two[1])) > 0:
            r = correlation_for_p(one[0], one[1], *two, p)
            note = f"p = {row['p_value']} needs a correlation of {r:.2f}"
    else:
        student = t_test(*one, *two)
        welch = t_test(*one, *two, equal_variances=False)
        fits = any(p_fits(row["p_value"], op, t.p) for t in (student, welch))
        found = student
        said = (
            f"t = ({one[0]} - {two[0]}) / SE = {span(student.statistic)} on {one[2] + two[2] - 2} "
            f"df, p {span(student.p)}; Welch p {span(welch.p)}"
        )
        note = "" if fits else _on_a_mismatch(row, student.p)
    if not pair.same_time:
        note = "; ".join(
            s for s in (note, "the printed p is of changes, the means are values after treatment: "
                        "only a difference at baseline would reconcile them" if not fits
                        else "the printed p is of changes, the means are values after treatment")
            if s
        )  # fmt: skip
    yield _finding(
        check, CONSISTENT if fits else FLAG, rows, printed=printed,
        recomputed=f"p {span(found.p)}", arithmetic=said, note=note,
    )  # fmt: skip


def _on_a_mismatch(row: Row, p: Range) -> str:
    """Say what a mismatch of p-values changes, and whether a one-sided test would explain it."""
    op = row["p_op"] or "="
    alpha = float(ALPHA)
    significant = op == "<" and float(row["p_value"]) <= alpha
    significant |= op == "=" and float(row["p_value"]) < alpha
    same = p.high < alpha if significant else p.low >= alpha
    parts = [
        f"{'the same side' if same else 'the other side'} of {ALPHA}",
        "another test than t (ranks, adjusted, changes) would explain it",
    ]
    if p_fits(row["p_value"], op, Range(p.low / 2, p.high / 2)):
        parts.append("a one-sided t test gives the printed p")
    return "; ".join(parts)


def _estimate_from_means(row: Row, pair: Pair | None) -> Iterator[Finding]:
    kind = row["estimate_type"]
    if not row["estimate"] or kind not in ("MD", "SMD", "percent_change") or pair is None:
        return
    one, two = pair.one, pair.two
    if not (one["mean"] and two["mean"] and pair.same_time):
        return
    if kind == "MD":
        found, how = difference(one["mean"], two["mean"]), f"{one['mean']} - {two['mean']}"
    elif kind == "percent_change":
        if rounding(two["mean"]).low <= 0:
            return
        found = percent_difference(one["mean"], two["mean"])
        how = f"100 ({one['mean']} / {two['mean']} - 1)"
    else:
        if row["paired"] == "yes" or not all(a["sd"] and a["n"] for a in (one, two)):
            return
        found = smd(*numbers(one), *numbers(two))
        how = f"J ({one['mean']} - {two['mean']}) / pooled SD"
    fits = found.meets(rounding(row["estimate"]))
    yield _finding(
        "estimate from means", CONSISTENT if fits else FLAG, [row, one, two],
        printed=f"{kind} {row['estimate']}; {pair.printed()}", recomputed=span(found),
        arithmetic=f"{how} = {span(found)}",
        note="" if fits else "an adjusted estimate would explain it",
    )  # fmt: skip


def _interval_from_means(row: Row, pair: Pair | None) -> Iterator[Finding]:
    if row["estimate_type"] != "MD" or row["paired"] == "yes" or pair is None:
        return
    arms = (pair.one, pair.two)
    if not (row["ci_low"] and row["ci_high"] and pair.same_time):
        return
    if not all(a["mean"] and a["sd"] and a["n"] and int(a["n"]) >= 2 for a in arms):
        return
    low, high = rounding(row["ci_low"]), rounding(row["ci_high"])
    said, fits = [], False
    for name, equal in (("Student", True), ("Welch", False)):
        found = difference_interval(*numbers(arms[0]), *numbers(arms[1]), equal_variances=equal)
        fits |= found[0].meets(low) and found[1].meets(high)
        said.append(f"{name} [{span(found[0])}, {span(found[1])}]")
    yield _finding(
        "interval from means", CONSISTENT if fits else FLAG, [row, *arms],
        printed=f"[{row['ci_low']}, {row['ci_high']}]; {pair.printed()}", recomputed=said[0],
        arithmetic=f"{arms[0]['mean']} - {arms[1]['mean']} -/+ t SE: {'; '.join(said)}",
        note="" if fits else "an adjusted analysis would explain it",
    )  # fmt: skip


def interval_around_estimate(row: Row, symmetric: bool) -> Iterator[Finding]:
    """Check that an interval holds its estimate in its middle."""
    if not (symmetric and row["ci_low"] and row["ci_high"]):
        return
    check = "interval around estimate"
    low, high = row["ci_low"], row["ci_high"]
    shown = f"{row['estimate']} [{low}, {high}]".strip()
    if not row["estimate"]:
        yield _finding(
            check, NOT_ASSESSABLE, [row], printed=shown, note="the estimate is not printed"
        )
        return
    found = middle(low, high)
    fits = found.meets(rounding(row["estimate"])) and float(low) <= float(high)
    yield _finding(
        check, CONSISTENT if fits else FLAG, [row], printed=shown,
        recomputed=f"middle {span(found)}",
        arithmetic=f"({low} + {high}) / 2 = {span(found)}, printed estimate {row['estimate']}",
        note="" if fits else _other_sign(row),
    )  # fmt: skip


def _other_sign(row: Row) -> str:
    """Say which limit would make an interval symmetric if its sign were turned."""
    for column, other in (("ci_low", "ci_high"), ("ci_high", "ci_low")):
        text = row[column]
        turned = text.removeprefix("-") if text.startswith("-") else f"-{text}"
        if middle(turned, row[other]).meets(rounding(row["estimate"])):
            return f"symmetric if the limit {text} were {turned}"
    return ""


def p_of_interval(row: Row, symmetric: bool) -> Iterator[Finding]:
    """Check a printed p-value against estimate and interval."""
    if not (symmetric and row["p_value"] and row["estimate"] and row["ci_low"] and row["ci_high"]):
        return
    low, high = row["ci_low"], row["ci_high"]
    if float(high) <= float(low):
        return
    found = p_from_interval(row["estimate"], low, high)
    fits = p_fits(row["p_value"], row["p_op"] or "=", found)
    width = rounding(high).high - rounding(low).low
    yield _finding(
        "p from interval", CONSISTENT if fits else FLAG, [row],
        printed=f"{row['estimate']} [{low}, {high}], {p_printed(row)}",
        recomputed=f"p {span(found)}",
        arithmetic=f"SE = ({high} - {low}) / 3.92 = {(float(high) - float(low)) / 3.92:.3g}, "
        f"z = {abs(float(row['estimate'])) / ((float(high) - float(low)) / 3.92):.3g}, "
        f"p {span(found)}",
        note=_on_an_interval(row, found) if not fits and width > 0 else "",
    )  # fmt: skip


def _on_an_interval(row: Row, found: Range) -> str:
    parts = []
    if p_fits(row["p_value"], "<", found) and row["p_op"] == "=":
        parts.append(f"fits p < {row['p_value']}")
    elif _other_sign(row):
        parts.append(_other_sign(row))
    parts.append("normal quantiles assumed")
    return "; ".join(parts)


def _p_from_test(row: Row) -> Iterator[Finding]:
    check = "p from test"
    n1, n2 = row["n_experimental"], row["n_comparator"]
    if row["t_value"]:
        printed = f"t = {row['t_value']}" + (f", {p_printed(row)}" if row["p_value"] else "")
        df = _df(row)
        if not row["p_value"] or df is None:
            lacking = "p is not printed" if df else "n of both sides is not printed"
            yield _finding(check, NOT_ASSESSABLE, [row], printed=printed, note=lacking)
        else:
            found = p_from_t(row["t_value"], df)
            yield _test_finding(row, printed, f"t({df}) = {row['t_value']}", found)
    if row["f_value"]:
        printed = f"F = {row['f_value']}" + (f", {p_printed(row)}" if row["p_value"] else "")
        if float(row["f_value"]) < 0:
            yield _finding(
                check, FLAG, [row], printed=printed, recomputed="F is 0 or more",
                arithmetic=f"F is a ratio of variances; {row['f_value']} is below 0",
                note="a t or a difference printed as F would explain it",
            )  # fmt: skip
        elif row["kind"] == "between_groups" and row["p_value"] and n1 and n2:
            df = int(n1) + int(n2) - 2
            found = p_from_f(row["f_value"], 1, df)
            yield _test_finding(row, printed, f"F(1, {df}) = {row['f_value']}", found)
        else:
            yield _finding(
                check, NOT_ASSESSABLE, [row], printed=printed,
                note="the degrees of freedom are not printed",
            )  # fmt: skip


def _test_finding(row: Row, printed: str, test: str, found: Range) -> Finding:
    fits = p_fits(row["p_value"], row["p_op"] or "=", found)
    return _finding(
        "p from test", CONSISTENT if fits else FLAG, [row], printed=printed,
        recomputed=f"p {span(found)}", arithmetic=f"{test} gives p {span(found)}",
        note="" if fits else _on_a_mismatch(row, found),
    )  # fmt: skip


def _df(row: Row) -> int | None:
    """Return the degrees of freedom of a t test, or None when n does not tell."""
    n1, n2 = row["n_experimental"], row["n_comparator"]
    if row["paired"] == "yes":
        n = n1 or n2
        return int(n) - 1 if n and int(n) >= 2 else None
    return int(n1) + int(n2) - 2 if n1 and n2 and int(n1) + int(n2) > 2 else None


def _direction(row: Row, pair: Pair | None) -> Iterator[Finding]:
    """Compare the direction the page states with the sign of its numbers."""
    numbers_say: Range | None = None
    rows, shown, turn = [row], "", 1
    if row["estimate"] and row["estimate_type"] in ("MD", "SMD", "percent_change"):
        numbers_say, shown = rounding(row["estimate"]), f"estimate {row['estimate']}"
    elif pair is not None and pair.one["mean"] and pair.two["mean"]:
        numbers_say = difference(pair.one["mean"], pair.two["mean"])
        rows += [pair.one, pair.two]
        shown = f"{pair.one['mean']} - {pair.two['mean']}"
        # An improvement printed as a positive number turns the meaning of higher.
        sides = (BETTER.get(row["higher_is"]), BETTER.get(pair.one["higher_is"]))
        if None not in sides and sides[0] != sides[1]:
            turn = -1
    if numbers_say is None or not row["direction"]:
        return
    check, stated = "direction", row["direction"]
    printed = f"{stated}; {shown}"
    sign = SIGNS.get(stated)
    if sign is None:
        if stated in ("mixed", "unclear"):
            yield _finding(
                check, NOT_ASSESSABLE, rows, printed=printed,
                note="the page states no single direction",
            )  # fmt: skip
        return
    low, high = sorted((turn * numbers_say.low, turn * numbers_say.high))
    against = high < 0 if sign > 0 else low > 0
    note = "an improvement is printed as a positive number" if turn < 0 else ""
    if pair is not None and not pair.same_time and len(rows) > 1:
        note = "; ".join(s for s in (note, "direction of changes, values after treatment") if s)
    yield _finding(
        check, FLAG if against else CONSISTENT, rows, printed=printed,
        recomputed=span(Range(low, high)),
        arithmetic=f"{shown} = {span(Range(low, high))}, said to be {stated}", note=note,
    )  # fmt: skip


def _favours(row: Row) -> Iterator[Finding]:
    """Compare the side said to do better with direction and sense of the scale."""
    direction, sense = SIGNS.get(row["direction"]), BETTER.get(row["higher_is"])
    side = FAVOURED.get(row["favours"])
    if direction is None or sense is None or side is None:
        return
    fits = direction * sense == side
    yield _finding(
        "side favoured", CONSISTENT if fits else FLAG, [row],
        printed=f"{row['direction']}, favours {row['favours']}",
        recomputed=f"favours {'experimental' if direction * sense > 0 else 'comparator'}",
        arithmetic=f"experimental {row['direction']}, where higher is {row['higher_is']}",
    )  # fmt: skip


def _null(row: Row) -> Iterator[Finding]:
    """Compare a difference reported as none with its p-value."""
    if row["direction"] != "none" or not row["p_value"]:
        return
    op = row["p_op"] or "="
    small = (op == "=" and rounding(row["p_value"]).high < float(ALPHA)) or (
        op == "<" and float(row["p_value"]) <= float(ALPHA)
    )
    yield _finding(
        "null against p", FLAG if small else CONSISTENT, [row],
        printed=f"no difference, {p_printed(row)}", recomputed="",
        arithmetic=f"reported as no difference with {p_printed(row)}",
        note=f"a threshold below {ALPHA} would explain it" if small else "",
    )  # fmt: skip


def _large_effect(row: Row) -> Iterator[Finding]:
    """Standardise what is printed: an SMD, a t, or an exact p with n."""
    if row["kind"] == "between_populations":
        return
    if row["estimate_type"] == "SMD" and row["estimate"]:
        yield _implausible(row, rounding(row["estimate"]), f"SMD {row['estimate']}")
        return
    df = _df(row)
    p = row["p_value"] if row["p_op"] in ("=", "") else ""
    exact_p = bool(p) and 0 < float(p) < 1
    if df is None or row["kind"] == "other" or not (row["t_value"] or exact_p):
        return
    if row["t_value"]:
        value, source = rounding(row["t_value"]), f"t = {row['t_value']}"
        ends = (abs(value.low), abs(value.high))
    else:
        source = f"p = {p}"
        around = rounding(p)
        least = float(t_from_p(min(1.0, around.high), df))
        ends = (least, float(t_from_p(around.low, df)) if around.low > 0 else math.inf)
    if row["paired"] == "yes":
        n = df + 1
        found = Range(min(ends) / n**0.5, max(ends) / n**0.5)
        how = f"{source} on {df} df, t / sqrt({n})"
    else:
        n1, n2 = int(row["n_experimental"]), int(row["n_comparator"])
        if min(n1, n2) < 2:
            return
        sizes = [abs(float(smd_from_t(t, n1, n2)[0])) for t in ends]
        found = Range(min(sizes), max(sizes))
        how = f"{source} on {df} df, J t sqrt(1/{n1} + 1/{n2})"
    yield _implausible(row, found, how)


def _implausible(row: Row, found: Range, how: str) -> Finding:
    large = found.low > IMPLAUSIBLE or found.high < -IMPLAUSIBLE
    note = ""
    if large:
        note = "SEs typed as SDs, or more observations than people, would explain it"
        if row.get("paired") == "yes":
            note += "; so would a difference nearly the same in everybody"
    return _finding(
        "implausible effect", FLAG if large else CONSISTENT, [row], printed=how,
        recomputed=span(found),
        arithmetic=f"{how} = {span(found)}" + (f", beyond {IMPLAUSIBLE:g}" if large else ""),
        note=note,
    )  # fmt: skip


def _percent_fall(row: Row) -> Iterator[Finding]:
    """Compare a percentage fall with all there is to fall."""
    if row["estimate_type"] != "percent_change" or not row["estimate"].startswith("-"):
        return
    beyond = rounding(row["estimate"]).high < -100
    yield _finding(
        "percentage fall", FLAG if beyond else CONSISTENT, [row],
        printed=f"{row['estimate']} %", recomputed="at least -100 %",
        arithmetic=f"{row['estimate']} % of {row_id(row)} against a fall of 100 %",
        note="a quantity that can be negative would explain it" if beyond else "",
    )  # fmt: skip
