"""The arrays behind a pooled result: what was fitted, on which rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.meta.regression import Design

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """The arrays behind a pooled result, for whoever refits or predicts.

    Examples
    --------
    >>> import retroevidence.meta.pool as p
    >>> p.pool(yi=[0.1, 0.4], vi=[0.1, 0.1]).fit.yi.tolist()
    [0.1, 0.4]
    """

    yi: Floats
    vi: Floats
    design: Design
    tau2: float
    beta: Floats
    covariance: Floats
    rows: pd.DataFrame | None = None
    shared: Fit | None = None

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows that enter, as given; made on demand when only numbers were given."""
        return pd.DataFrame({"yi": self.yi, "vi": self.vi}) if self.rows is None else self.rows

    @property
    def variance_fit(self) -> Fit:
        """The fit whose studies gave tau²: this one, or the one of all subgroups that share it."""
        return self.shared or self

    @property
    def x(self) -> Floats:
        """Design matrix of the studies that enter."""
        return self.design.matrix

    @property
    def weights(self) -> Floats:
        """Weights 1/(vi + tau²), in percent."""
        weights = 1 / (self.vi + self.tau2)
        share: Floats = 100 * weights / weights.sum()
        return share
