"""Publication bias: whether the funnel is lopsided, and what remains if results are missing.

A door: the functions live in the modules beside it.
"""

from __future__ import annotations

from retroevidence.meta.bias.asymmetry import Asymmetry, begg, egger
from retroevidence.meta.bias.asymmetry_counts import harbord, macaskill, peters, pustejovsky_rodgers
from retroevidence.meta.bias.excess import Excess, excess_significance
from retroevidence.meta.bias.fail_safe import FailSafe, fail_safe_n
from retroevidence.meta.bias.henmi_copas import HenmiCopas, henmi_copas
from retroevidence.meta.bias.limit import LimitMean, limit_meta_analysis
from retroevidence.meta.bias.pet_peese import PetPeese, pet_peese
from retroevidence.meta.bias.selection import selection_model
from retroevidence.meta.bias.selection_result import Selection
from retroevidence.meta.bias.trim_fill import TrimFill, trim_fill
from retroevidence.meta.dependent.egger import dependent_egger

__all__ = [
    "Asymmetry",
    "Excess",
    "FailSafe",
    "HenmiCopas",
    "LimitMean",
    "PetPeese",
    "Selection",
    "TrimFill",
    "begg",
    "dependent_egger",
    "egger",
    "excess_significance",
    "fail_safe_n",
    "harbord",
    "henmi_copas",
    "limit_meta_analysis",
    "macaskill",
    "pet_peese",
    "peters",
    "pustejovsky_rodgers",
    "selection_model",
    "trim_fill",
]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
