"""Checks on printed values of arms: whether they can occur, and fit the scale and each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from retroevidence.claims.integrity_rows import (
    CONSISTENT,
    FLAG,
    NOT_ASSESSABLE,
    Finding,
    Row,
    Scale,
    arm_text,
    ids,
    row_id,
    scale_of,
    span,
    used,
)
from retroevidence.effects.possible.differences import IMPLAUSIBLE, smd, standardised_change
from retroevidence.effects.possible.grim import grim, grimmer, percentage
from retroevidence.effects.possible.printed import printed
from retroevidence.effects.possible.ranges import Range, rounding
from retroevidence.effects.possible.spreads import (
    UNITS_FACTOR,
    compare_spread,
    largest_sd,
    relative_spread,
)

#: Units and outcomes whose values are scores, so that whole numbers are a question at all.
SCORE_UNITS = ("points", "score", "points (reduction)")
SCORE_OUTCOMES = ("pain", "function", "rpe")

#: So many people fewer are tried when a mean does not fit n: drop-outs are often not printed.
DROP_OUTS = 4

#: What makes two values the same result: unit, condition and time.
RESULT = "study_id outcome instrument muscle unit condition_detail timepoint".split()


def check_arms(arms: Sequence[Row], scales: Sequence[Scale]) -> Iterator[Finding]:
    """Yield the findings on arms, row by row and then pair by pair."""
    for arm in arms:
        yield from _whole_numbers(arm, scale_of(arm, scales))
        yield from _within_scale(arm, scale_of(arm, scales))
        yield from _share(arm)
        yield from _large_change(arm)
    by_result = defaultdict(list)
    by_arm = defaultdict(list)
    by_quantity = defaultdict(list)
    for arm in arms:
        by_result[tuple(arm[c] for c in RESULT)].append(arm)
        apart = [c for c in RESULT if c != "timepoint"]
        by_arm[(*(arm[c] for c in apart), arm["arm"])].append(arm)
        apart = [c for c in RESULT if c != "unit"]
        by_quantity[(*(arm[c] for c in apart), arm["arm"], arm["n"])].append(arm)
    for group in by_result.values():
        for one, two in combinations(group, 2):
            yield from _spreads(one, two)
        yield from _large_difference(group)
    for group in by_quantity.values():
        for one, two in combinations(group, 2):
            yield from _two_units(one, two)
    for group in by_arm.values():
        yield from _change_adds_up(group)


def _finding(check: str, status: str, rows: Sequence[Row], **said: str) -> Finding:
    return Finding(rows[0]["study_id"], ids(*rows), check, status, used=used(*rows), **said)


def _whole_numbers(arm: Row, scale: Scale | None) -> Iterator[Finding]:
    """GRIM and GRIMMER."""
    if not arm["mean"] or "%" in arm["unit"] or "percent" in arm["instrument"].lower():
        return
    is_score = arm["unit"] in SCORE_UNITS or arm["outcome"] in SCORE_OUTCOMES
    whole = scale.whole_numbers if scale else None
    if whole is False or (whole is None and not is_score):
        return
    lacking = ""
    if scale is None or whole is None:
        lacking = "the scale is not named, or whether its scores are whole is not known"
    elif not arm["n"]:
        lacking = "n of the arm is not printed"
    if lacking or scale is None:
        yield _finding("GRIM", NOT_ASSESSABLE, [arm], printed=arm_text(arm), note=lacking)
        return

    n = int(arm["n"])
    found = grim(arm["mean"], n, scale.items)
    product = f"{arm['mean']} x {n}" + (f" x {scale.items}" if scale.items > 1 else "")
    exact = float(arm["mean"]) * n * scale.items
    if not found.testable:
        yield _finding(
            "GRIM", NOT_ASSESSABLE, [arm], printed=arm_text(arm),
            note=f"with n = {n} every mean with so few decimals can occur",
        )  # fmt: skip
    elif found.possible:
        yield _finding(
            "GRIM", CONSISTENT, [arm], printed=arm_text(arm), recomputed=f"sum {found.sums[0]}",
            arithmetic=f"{product} = {exact:.6g}; {found.sums[0]} / {n * scale.items} rounds to "
            f"{arm['mean']}",
        )  # fmt: skip
    else:
        yield _finding(
            "GRIM", FLAG, [arm], printed=arm_text(arm),
            recomputed=f"{found.below:.6g} or {found.above:.6g}",
            arithmetic=f"{product} = {exact:.6g} is not within rounding of a whole number; the "
            f"nearest means of whole scores are {found.below:.6g} and {found.above:.6g}",
            note=_other_n(arm, scale),
        )  # fmt: skip
    if arm["sd"] and n >= 2 and found.possible:
        yield _spread_of_whole_numbers(arm, scale, n)


def _spread_of_whole_numbers(arm: Row, scale: Scale, n: int) -> Finding:
    ends = (scale.low, scale.high) if arm["timepoint"] != "change" else (None, None)
    found = grimmer(arm["mean"], arm["sd"], n, scale.items, low=ends[0], high=ends[1])
    nearest = f"{found.below:.4g} and {found.above:.4g}"
    if found.possible and not found.testable:
        return _finding(
            "GRIMMER", NOT_ASSESSABLE, [arm], printed=arm_text(arm),
            note=f"with n = {n} every SD with so few decimals can occur",
        )  # fmt: skip
    what = f"SDs of {n} whole scores with this mean next to {arm['sd']}: {nearest}"
    if found.possible:
        return _finding(
            "GRIMMER", CONSISTENT, [arm], printed=arm_text(arm), recomputed=nearest,
            arithmetic=what,
        )  # fmt: skip
    why = {
        "no sum of squares": "no whole-number sum of squares rounds to it",
        "parity": "the sums of squares that round to it are odd where the sum is even, or even "
        "where it is odd",
        "spread": "whole scores within the scale cannot spread so",
    }
    return _finding(
        "GRIMMER", FLAG, [arm], printed=arm_text(arm), recomputed=nearest,
        arithmetic=f"(n - 1) SD² + sum² / n: {why[found.reason]}; {what}",
        note=f"{_other_n(arm, scale)}{_cut_off(arm['sd'], found.above)}",
    )  # fmt: skip


def _cut_off(sd: str, above: float) -> str:
    """Say when an SD fits whole scores once its digits are taken as cut off, not rounded."""
    given = printed(sd)
    unit = float(given.high - given.low)
    return "; fits if the SD was cut off, not rounded" if above < float(given.value) + unit else ""


def _other_n(arm: Row, scale: Scale) -> str:
    """Say which smaller n the mean and SD would fit, or that only another form of the scale can."""
    n = int(arm["n"])
    fitting = [
        str(m)
        for m in range(n - 1, max(1, n - 1 - DROP_OUTS), -1)
        if grim(arm["mean"], m, scale.items).possible
        and (not arm["sd"] or grimmer(arm["mean"], arm["sd"], m, scale.items).possible)
    ]
    said = f"assumes whole scores of the {scale.instrument} and all {n} people measured"
    return f"{said}; would fit n = {', '.join(fitting)}" if fitting else said


def _within_scale(arm: Row, scale: Scale | None) -> Iterator[Finding]:
    if scale is None or scale.low is None or scale.high is None:
        return
    width = scale.high - scale.low
    limits = f"{scale.low:g} to {scale.high:g}"
    change = arm["timepoint"] == "change"
    for column in ("mean", "median", "min", "max"):
        if not arm[column]:
            continue
        value = rounding(arm[column])
        if change:
            inside = value.low <= width and value.high >= -width
            what = f"a change of {arm[column]} on a scale {width:g} wide"
        else:
            inside = value.high >= scale.low and value.low <= scale.high
            what = f"{column} {arm[column]} on a scale from {limits}"
        check = "change against scale" if change else "value against scale"
        yield _finding(
            check, CONSISTENT if inside else FLAG, [arm], printed=arm[column],
            recomputed=limits, arithmetic=what,
        )  # fmt: skip
    if arm["mean"] and arm["sd"] and arm["n"] and int(arm["n"]) >= 2 and not change:
        most = largest_sd(arm["mean"], int(arm["n"]), scale.low, scale.high)
        fits = rounding(arm["sd"]).low <= most
        yield _finding(
            "SD against scale", CONSISTENT if fits else FLAG, [arm], printed=arm_text(arm),
            recomputed=f"at most {most:.4g}",
            arithmetic=f"sqrt((mean - {scale.low:g}) ({scale.high:g} - mean) n / (n - 1)) = "
            f"{most:.4g}, the largest SD on a scale from {limits}",
        )  # fmt: skip


def _share(arm: Row) -> Iterator[Finding]:
    """Percentages that count people."""
    if arm["unit"] != "%" or "proportion" not in arm["instrument"].lower() or not arm["mean"]:
        return
    yield share_of_people(arm, arm["mean"], arm["n"])


def share_of_people(row: Row, percent: str, n: str) -> Finding:
    """Check a printed percentage of people against their number."""
    check = "percentage of people"
    if not n:
        return _finding(
            check, NOT_ASSESSABLE, [row], printed=f"{percent} %", note="n is not printed"
        )
    found = percentage(percent, int(n))
    shown = f"{percent} % of {n}"
    if not found.testable:
        return _finding(
            check, NOT_ASSESSABLE, [row], printed=shown,
            note=f"with n = {n} every percentage with so few decimals can occur",
        )  # fmt: skip
    if found.possible:
        count = found.sums[0]
        return _finding(
            check, CONSISTENT, [row], printed=shown, recomputed=f"{count} of {n}",
            arithmetic=f"100 x {count} / {n} = {100 * count / int(n):.4g}",
        )  # fmt: skip
    return _finding(
        check, FLAG, [row], printed=shown,
        recomputed=f"{found.below:.4g} or {found.above:.4g}",
        arithmetic=f"{percent} / 100 x {n} = {float(percent) * int(n) / 100:.4g} is no whole "
        f"number of people; the nearest are {found.below:.4g} % and {found.above:.4g} %",
    )  # fmt: skip


def _large_change(arm: Row) -> Iterator[Finding]:
    """Yield the mean change in SDs of the change."""
    if arm["timepoint"] != "change" or not (arm["mean"] and arm["sd"]):
        return
    found = standardised_change(arm["mean"], arm["sd"])
    large = found.low > IMPLAUSIBLE
    yield _finding(
        "implausible effect", FLAG if large else CONSISTENT, [arm], printed=arm_text(arm),
        recomputed=span(found),
        arithmetic=f"mean change / SD of the changes = {arm['mean']} / {arm['sd']} = {span(found)}"
        + (f", beyond {IMPLAUSIBLE:g}" if large else ""),
        note="an SE typed as an SD, or a value after treatment typed as a change, would explain it"
        if large
        else "",
    )  # fmt: skip


def _large_difference(group: Sequence[Row]) -> Iterator[Finding]:
    one = [a for a in group if a["role"] == "experimental"]
    two = [a for a in group if a["role"] == "comparator"]
    if len(one) != 1 or len(two) != 1 or not _complete(one[0], two[0]):
        return
    found = smd(*numbers(one[0]), *numbers(two[0]))
    large = found.low > IMPLAUSIBLE or found.high < -IMPLAUSIBLE
    yield _finding(
        "implausible effect", FLAG if large else CONSISTENT, [one[0], two[0]],
        printed=f"{arm_text(one[0])}; {arm_text(two[0])}", recomputed=f"g = {span(found)}",
        arithmetic=f"g = J ({one[0]['mean']} - {two[0]['mean']}) / pooled SD = {span(found)}"
        + (f", beyond {IMPLAUSIBLE:g}" if large else ""),
        note="SEs typed as SDs would explain it" if large else "",
    )  # fmt: skip


def _spreads(one: Row, two: Row) -> Iterator[Finding]:
    if not _complete(one, two) or float(one["sd"]) <= 0 or float(two["sd"]) <= 0:
        return
    found = compare_spread(*numbers(one), *numbers(two))
    suspect = (one, two)[found.suspect - 1] if found.suspect else None
    said = f"SD ratio {found.ratio:.3g}; F test of SDs p = {found.p_sd:.2g}, of SD / mean "
    said += f"p = {found.p_cv:.2g}"
    note = ""
    if suspect:
        as_sd = float(suspect["sd"]) * int(suspect["n"]) ** 0.5
        said += f"; {suspect['sd']} x sqrt({suspect['n']}) = {as_sd:.3g} gives {found.p_if_se:.2g}"
        note = f"the SD of {row_id(suspect)} has the size of a standard error; people who differ "
        note += "less from each other would explain it too"
    yield _finding(
        "SD or SE", FLAG if suspect else CONSISTENT, [one, two],
        printed=f"{arm_text(one)}; {arm_text(two)}", recomputed=f"ratio {found.ratio:.3g}",
        arithmetic=said, note=note,
    )  # fmt: skip


def _two_units(one: Row, two: Row) -> Iterator[Finding]:
    """One quantity of the same people in two units."""
    if one["unit"] == two["unit"] or not _complete(one, two):
        return
    if min(rounding(r[c]).low for r in (one, two) for c in ("mean", "sd")) <= 0:
        return
    found = relative_spread(one["mean"], one["sd"], two["mean"], two["sd"])
    unlike = not found.meets(Range(1 / UNITS_FACTOR, UNITS_FACTOR))
    note = ""
    if unlike:
        small = one if found.high < 1 else two
        root = int(small["n"]) ** 0.5
        repaired = span(Range(found.low * root, found.high * root)) if small is one else span(
            Range(found.low / root, found.high / root)
        )  # fmt: skip
        note = f"read as a standard error, the SD of {row_id(small)} gives {repaired}"
    yield _finding(
        "SD in two units", FLAG if unlike else CONSISTENT, [one, two],
        printed=f"{arm_text(one)} {one['unit']}; {arm_text(two)} {two['unit']}",
        recomputed=f"ratio {span(found)}",
        arithmetic=f"SD / mean in {one['unit']} over SD / mean in {two['unit']} = "
        f"({one['sd']} / {one['mean']}) / ({two['sd']} / {two['mean']}) = {span(found)}"
        + (f", beyond a factor of {UNITS_FACTOR:g}" if unlike else ""),
        note=note,
    )  # fmt: skip


def _change_adds_up(group: Sequence[Row]) -> Iterator[Finding]:
    """Baseline, value after treatment and change of one arm."""
    at = {
        time: [a for a in group if a["timepoint"] == time and a["mean"]]
        for time in ("baseline", "post", "change")
    }
    if any(len(rows) != 1 for rows in at.values()):
        return
    before, after, change = (at[time][0] for time in ("baseline", "post", "change"))
    b, p = rounding(before["mean"]), rounding(after["mean"])
    found = Range(p.low - b.high, p.high - b.low)
    turned = Range(-found.high, -found.low)
    # A reduction is often printed as a positive number.
    fits = any(rounding(change["mean"]).meets(r) for r in (found, turned))
    yield _finding(
        "change against baseline", CONSISTENT if fits else FLAG, [before, after, change],
        printed=f"{before['mean']}, {after['mean']}, change {change['mean']}",
        recomputed=span(found),
        arithmetic=f"{after['mean']} - {before['mean']} = {span(found)}",
        note="" if fits else "people who were measured once only would explain it",
    )  # fmt: skip


def numbers(arm: Row) -> tuple[str, str, int]:
    """Return mean, SD and n of an arm."""
    return arm["mean"], arm["sd"], int(arm["n"])


def _complete(*arms: Row) -> bool:
    """Tell whether mean, SD and an n of 2 or more are printed for all arms."""
    return all(a["mean"] and a["sd"] and a["n"] and int(a["n"]) >= 2 for a in arms)
