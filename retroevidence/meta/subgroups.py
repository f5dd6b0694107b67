"""Subgroups: pooled apart or with one tau², and a test whether their means differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

from retroevidence._show import Card, Carded, confidence, interval, number, p_text
from retroevidence.errors import PoolError
from retroevidence.meta.fit import Fit
from retroevidence.meta.inputs import assembled
from retroevidence.meta.interval import NAN, TESTS
from retroevidence.meta.moderators import check_order
from retroevidence.meta.pool import describe, fit_model, pool
from retroevidence.meta.regression import Design
from retroevidence.meta.result import Pooled
from retroevidence.meta.tau2 import generalised_q
from retroevidence.meta.wording import decimals, listed, or_none, study_names

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Subgroups(Carded):
    """Pooled subgroups and the test between them, made by :func:`subgroups`.

    Attributes
    ----------
    by : str
        What splits the studies.
    groups : dict of str to Pooled
        One result per group, in the order of the group names; each a full :class:`Pooled`.
    overall : Pooled
        All studies that have a group, pooled without regard to it.
    q_between : float
        ``sum(w (mean - weighted mean)²)`` over the groups, ``w = 1/se²``.
    statistic, df, df2, p_value : float
        The test used: chi-squared (`df2` infinite) after z, F otherwise.
    common_tau2 : bool
        Whether the groups share one tau².
    notes : tuple of str
        What a reader must know.

    Examples
    --------
    >>> found = subgroups(yi=[0.1, 0.3, 0.8, 0.9], vi=[0.02, 0.03, 0.05, 0.01],
    ...                   by=["a", "a", "b", "b"], common_tau2=True)
    >>> found.groups["b"].k
    2
    """

    by: str
    groups: Mapping[str, Pooled]
    overall: Pooled
    q_between: float
    statistic: float
    df: int
    df2: float
    p_value: float
    common_tau2: bool
    notes: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row per group: k, estimate, se, ci_low, ci_high, p_value, tau2, i2, q, q_p_value."""
        rows = []
        for name, one in self.groups.items():
            rows.append(
                {
                    "group": name,
                    "k": one.k,
                    "estimate": one.estimate,
                    "se": one.se,
                    "ci_low": one.ci.low,
                    "ci_high": one.ci.high,
                    "p_value": one.p_value,
                    "tau2": one.tau2,
                    "i2": one.i2,
                    "q": one.q,
                    "q_p_value": one.q_p_value,
                }
            )
        return pd.DataFrame(rows)

    @property
    def summary(self) -> pd.DataFrame:
        """One row with the test between the groups."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        row.pop("groups")
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        return {
            "by": self.by,
            "k": self.overall.k,
            "common_tau2": self.common_tau2,
            "q_between": or_none(self.q_between),
            "statistic": or_none(self.statistic),
            "df": self.df,
            "df2": or_none(self.df2),
            "p_value": or_none(self.p_value),
            "groups": {name: one.to_dict() for name, one in self.groups.items()},
            "notes": list(self.notes),
        }

    def _card(self) -> Card:
        digits = max(decimals(one.se) for one in self.groups.values())
        first = self.overall
        level = confidence(first.level)
        everyone = (*self.groups.values(), first)
        rows = {
            "group": [*self.groups, "all"],
            "k": [one.k for one in everyone],
            "estimate": [number(one.estimate, digits) for one in everyone],
            f"{level} CI": [interval(*one.ci, digits) for one in everyone],
            "tau²": [
                "-" if math.isnan(one.tau2) else number(one.tau2, decimals(one.tau2))
                for one in everyone
            ],
        }
        kind = "one tau²" if self.common_tau2 else "tau² of their own"
        if math.isinf(self.df2):
            test = f"Q({self.df}) = {number(self.statistic, 2)}"
        else:
            df2 = number(self.df2, 0 if self.df2.is_integer() else 1)
            test = f"F({self.df}, {df2}) = {number(self.statistic, 2)}"
        count = "1 group" if len(self.groups) == 1 else f"{len(self.groups)} groups"
        what = f"{first.measure} by {self.by}" if first.measure else f"Effects by {self.by}"
        return Card(
            f"{what}, {count} with {kind} ({first.method}, {TESTS[first.test]})",
            [("between groups", f"{test}, {p_text(self.p_value)}")],
            pd.DataFrame(rows),
            self.notes,
        )


def _variance(tau2: float) -> str:
    return "-" if math.isnan(tau2) else number(tau2, decimals(tau2))


def subgroups(
    effects: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    by: Any,
    common_tau2: bool,
    yi: Any = None,
    vi: Any = None,
    method: str = "REML",
    test: str = "knha",
    level: float = 0.95,
) -> Subgroups:
    """Pool subgroups of studies and test whether their means differ.

    Parameters
    ----------
    effects, yi, vi, method, test, level
        As in :func:`retroevidence.meta.pool.pool`.
    by : str or array_like, shape (k,)
        The group of each study: a column of `effects`, or its values.
    common_tau2 : bool
        True: all groups share one tau², from the regression on the groups, and with it the
        Knapp-Hartung factor and the degrees of freedom (k minus the number of groups). False:
        each group is pooled by itself.

    Returns
    -------
    Subgroups
        A :class:`Pooled` per group and the test between them. It shows itself.

    Raises
    ------
    PoolError
        If `by` is no column or has the wrong length, no study has a group, `common_tau2` is neither
        True nor False, or :func:`pool` refuses.

    Notes
    -----
    With one tau² the test is that of the moderators of the regression: chi-squared for
    ``test="z"``, F with k - groups degrees of freedom otherwise. With several it is Q between the
    groups (chi-squared) for "z"; otherwise the test of Welch (1951, doi
    10.1093/biomet/38.3-4.330), which knows that the standard error of a small group is itself
    uncertain and has k - 1 degrees of freedom in each group.

    A group of one study has its own effect and z interval; with one tau² it has that tau² too.

    Examples
    --------
    >>> subgroups(yi=[0.1, 0.3, 0.8, 0.9, 0.6], vi=[0.02, 0.03, 0.05, 0.01, 0.02],
    ...           by=["lab", "lab", "field", "field", "field"], common_tau2=True, test="z")
    Effects by group, 2 groups with one tau² (REML, z)
      between groups  Q(1) = 13.40, p < 0.001
    <BLANKLINE>
      group  k estimate            95% CI    tau²
      field  3   0.7838  [0.5897, 0.9779] 0.00951
        lab  2   0.1855 [-0.0692, 0.4403] 0.00951
        all  5   0.5399  [0.2359, 0.8439]  0.0957
    <BLANKLINE>
    """
    if not isinstance(common_tau2, (bool, np.bool_)):
        raise PoolError(f"common_tau2={common_tau2!r} is neither True nor False; say which.")
    frame = assembled(effects, yi, vi, None)
    labels, name = _labels(by, frame)
    grouped = labels.notna().to_numpy()
    entering = grouped & (frame["yi"].notna() & np.isfinite(frame["vi"])).to_numpy()
    if not entering.any():
        raise PoolError(f"no study has both an effect and a group in {name}; fill in {name}.")
    notes = []
    if not grouped.all():
        missing = np.array(study_names(frame), dtype=object)[~grouped]
        notes.append(f"Left out, no group in {name}: {listed(missing)}.")
    names = _in_order(labels[entering])
    frame, labels = frame.loc[grouped], labels[grouped].map(str)
    overall = pool(frame, method=method, test=test, level=level)
    rows, codes = overall.fit.frame, labels[entering[grouped]].to_numpy(dtype=object)
    together = common_tau2 and overall.k > len(names)
    if common_tau2 and not together:
        notes.append("Every group has one study, so there is no common tau² to estimate.")
    if together:
        groups, tested, said = _with_one_tau2(overall, codes, names, method, test, level)
        notes += said
    else:
        groups = {
            one: pool(rows[codes == one], method=method, test=test, level=level) for one in names
        }
        tested = None
    single = [one for one in names if groups[one].k == 1]
    if single and not together:
        notes.append(
            f"One study each, with its own variance only: {listed(np.array(single, dtype=object))}."
        )
    q, df = _between(groups)
    statistic, df2, p_value = tested or _test_apart(groups, q, df, test)
    if not df:
        notes.append("All studies are in one group: there is nothing to compare.")
    return Subgroups(
        by=name,
        groups=groups,
        overall=overall,
        q_between=q,
        statistic=statistic,
        df=df,
        df2=df2,
        p_value=p_value,
        common_tau2=together,
        notes=tuple(notes),
    )


def _labels(by: Any, frame: pd.DataFrame) -> tuple[pd.Series, str]:
    if isinstance(by, str):
        if by not in frame.columns:
            raise PoolError(f"by={by!r} is no column of the effects; name one, or give its values.")
        if isinstance(frame[by], pd.DataFrame):
            raise PoolError(f"the effects have several columns called {by}; keep one.")
        return frame[by].astype(object), by
    if not pd.api.types.is_list_like(by) or getattr(by, "ndim", 1) != 1:
        raise PoolError(
            f"by is a {type(by).__name__}; give the name of a column, or one value per effect."
        )
    values = list(by)
    if len(values) != len(frame):
        raise PoolError(
            f"by has {len(values)} values for {len(frame)} effects; give one per effect."
        )
    check_order(frame, by, "by", "the effects")
    name = str(by.name) if isinstance(by, pd.Series) and by.name else "group"
    return pd.Series(values, index=frame.index, dtype=object), name


def _in_order(labels: pd.Series) -> list[str]:
    """Return the groups in the order of their values, or of their names where those mix types."""
    found = list(pd.unique(labels))
    try:
        found = sorted(found)
    except TypeError:
        found = sorted(found, key=str)
    # 1 and "1" are one group, as they have one name.
    return list(dict.fromkeys(map(str, found)))


def _with_one_tau2(
    overall: Pooled, codes: NDArray[Any], names: list[str], method: str, test: str, level: float
) -> tuple[dict[str, Pooled], tuple[float, float, float], list[str]]:
    """Return groups that share the tau² of the regression on them, the test, and what to say."""
    y, v, rows = overall.fit.yi, overall.fit.vi, overall.fit.rows
    member = codes[:, None] == np.array(names)
    whole = fit_model(
        rows, Design(member.astype(float), tuple(names)), y, v,
        overall.measure, method, test, level, [],
    )  # fmt: skip
    residual_df = len(y) - len(names)
    shared = whole.fit
    usual = 1 / (member.T @ (1 / (v + whole.tau2)))
    modified = max(1.0, generalised_q(y, v, shared.x, whole.tau2) / residual_df)
    groups = {}
    for i, one in enumerate(names):
        inside = member[:, i]
        own = shared.covariance[[i]][:, [i]]
        fit = Fit(
            y[inside], v[inside], Design.plain(int(inside.sum())), whole.tau2,
            shared.beta[[i]], own, None if rows is None else rows[inside], shared,
        )  # fmt: skip
        groups[one] = describe(
            fit,
            usual_se=math.sqrt(usual[i]),
            modified_se=math.sqrt(usual[i] * modified),
            residual_df=residual_df,
            measure=overall.measure,
            method=method,
            test=whole.test,
            level=level,
            r2=NAN,
            moderators=(NAN, 0, NAN),
            notes=[],
        )
    said = []
    if whole.test != test:
        said.append(
            "The studies of each group agree exactly, so Knapp-Hartung is not defined; "
            "the modified Knapp-Hartung intervals are used."
        )
    q, df = _between(groups)
    tested = q / df if df else NAN, float(residual_df), NAN
    if test == "z":
        tested = q if df else NAN, math.inf, float(chdtrc(df, q)) if df else NAN
    elif df:
        tested = q / df, float(residual_df), float(fdtrc(df, residual_df, q / df))
    return groups, tested, said


def _between(groups: Mapping[str, Pooled]) -> tuple[float, int]:
    """Return Q between the groups and its degrees of freedom."""
    means = np.array([one.estimate for one in groups.values()])
    weights = 1 / np.array([one.se for one in groups.values()]) ** 2
    middle = float(weights @ means / weights.sum())
    return float(weights @ (means - middle) ** 2), len(groups) - 1


def _test_apart(
    groups: Mapping[str, Pooled], q: float, df: int, test: str
) -> tuple[float, float, float]:
    """Return statistic, second degrees of freedom and p-value for groups pooled by themselves."""
    if not df:
        return NAN, math.inf, NAN
    if test == "z":
        return q, math.inf, float(chdtrc(df, q))
    weights = 1 / np.array([one.se for one in groups.values()]) ** 2
    own = np.array([one.df for one in groups.values()])
    lack = float(np.sum((1 - weights / weights.sum()) ** 2 / own))
    if lack == 0:
        return q, math.inf, float(chdtrc(df, q))
    g = df + 1
    f = q / df / (1 + 2 * (g - 2) / (g**2 - 1) * lack)
    df2 = (g**2 - 1) / (3 * lack)
    return f, df2, float(fdtrc(df, df2, f))
