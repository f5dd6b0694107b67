"""What a reader of a pooled result with bounded rows must be told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from retroevidence._show import number
from retroevidence.meta.censored.likelihood import Rows
from retroevidence.meta.wording import listed, study_names


def remarks(frame: pd.DataFrame, rows: Rows, model: str, numbers: dict[str, Any]) -> list[str]:
    """Say in words what the numbers alone would hide.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows that entered, as given.
    rows : Rows
        The same rows as intervals.
    model : {"random", "fixed"}
        What was asked.
    numbers : dict
        What came out, of which ``tau2`` and ``worth`` are read.

    Examples
    --------
    >>> rows = Rows(np.array([0.1, 0.2]), np.array([0.1, 0.2]), np.array([0.1, 0.1]))
    >>> remarks(pd.DataFrame(index=[0, 1]), rows, "random", {"tau2": 0.0, "worth": 2.0})[0]
    'tau² is estimated as 0: the mean is the fixed-effect mean.'
    """
    notes = []
    bounded = ~rows.exact
    names = np.array(study_names(frame), dtype=object)
    if bounded.any():
        notes.append(
            f"Known only between limits: {listed(names[bounded])}. "
            "Their variance is the one given, worked out from n at the limit."
        )
    if model == "fixed":
        notes.append("Fixed effect: tau² is assumed 0, so there is no prediction interval.")
    elif numbers["tau2"] == 0:
        notes.append("tau² is estimated as 0: the mean is the fixed-effect mean.")
    if numbers["worth"] < 0.01:
        notes.append(
            "The limits are so wide that many means fit them equally well: "
            "the estimate is only one of those."
        )
    elif not math.isnan(numbers["tau2"]) and model == "random" and numbers["worth"] < 5:
        notes.append(
            f"The results are worth {number(numbers['worth'], 1)} exact ones: tau² is barely "
            "estimable, and the prediction interval rough."
        )
    ids = frame.get("study_id")
    if ids is not None and ids.duplicated().any():
        notes.append(
            "Some studies give several effects, taken here as independent: "
            "the interval is too narrow if they are alike."
        )
    return notes
