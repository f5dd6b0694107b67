"""Claims to verdicts: evidence tables, meta-analysis, and a trace to the page.

A table of contents: every public name, and the module it lives in. Names are imported when they
are first used, so that ``import retroevidence`` costs next to nothing.

>>> import retroevidence as rv
>>> rv.pool(yi=[0.2, 0.4, 0.1], vi=[0.04, 0.09, 0.05]).k
3
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from retroevidence.errors import RetroEvidenceError

__version__ = "0.1.0"

_WHERE = {
    "tables": "loaders.tables",
    "load": "loaders.tables",
    "describe": "loaders.cards",
    "study": "loaders.cards",
    "validate": "loaders.rules",
    "bibliography": "loaders.bibliography",
    "reference": "loaders.bibliography",
    "read_references": "loaders.references",
    "write_references": "loaders.references",
    "deduplicate": "loaders.duplicates",
    "cite": "loaders.formatted",
    "format_references": "loaders.formatted",
    "PubMed": "loaders.pubmed.client",
    "NetworkError": "errors",
    "new": "loaders.scaffold",
    "extract": "loaders.extraction.extract",
    "write_candidates": "loaders.extraction.candidates",
    "accept": "loaders.extraction.accept",
    "search": "loaders.strategies",
    "screening": "loaders.screening",
    "decide": "loaders.screening",
    "update": "claims.update",
    "prisma": "report.prisma",
    "flow_diagram": "report.prisma",
    "effect_size": "effects.measures",
    "effect_sizes": "effects.from_table",
    "measures": "effects.measures",
    "back_transform": "effects.back",
    "estimate_r": "effects.conversions.change",
    "paired_difference": "effects.conversions.crossover",
    "recover": "effects.recover",
    "pool": "meta.pool",
    "Pooled": "meta.result",
    "pool_censored": "meta.censored.pool",
    "PooledCensored": "meta.censored.result",
    "combine": "meta.combine",
    "subgroups": "meta.subgroups",
    "Subgroups": "meta.subgroups",
    "location_scale": "meta.location_scale",
    "LocationScale": "meta.location_scale",
    "pool_multilevel": "meta.dependent.multilevel",
    "PooledMultilevel": "meta.dependent.multilevel_result",
    "pool_multivariate": "meta.dependent.multivariate",
    "PooledMultivariate": "meta.dependent.multivariate",
    "robust": "meta.dependent.robust",
    "Robust": "meta.dependent.robust",
    "aggregate": "meta.dependent.aggregate",
    "covariance": "meta.dependent.covariance",
    "bias": "meta.bias",
    "pool_many": "meta.many",
    "bootstrap": "meta.bootstrap",
    "Bootstrap": "meta.bootstrap",
    "simulate": "meta.simulate",
    "pool_counts": "meta.counts.pool",
    "PooledCounts": "meta.counts.pool",
    "pool_glmm": "meta.counts.glmm",
    "PooledGLMM": "meta.counts.glmm_result",
    "pool_bayes": "meta.bayes.pool",
    "PooledBayes": "meta.bayes.result",
    "priors": "meta.bayes.priors",
    "check": "claims.check",
    "check_all": "claims.check",
    "Checked": "claims.check",
    "trace": "claims.trace",
    "source_rows": "claims.trace",
    "audit": "claims.audit",
    "ladder": "claims.ladder",
    "ladder_counts": "claims.ladder",
    "redo_reviews": "claims.reviews",
    "redo_cochrane": "claims.reviews",
    "integrity": "claims.integrity",
    "flagged_rows": "claims.integrity",
    "compare_verdicts": "claims.without_flagged",
    "sensitivity": "claims.sensitivity",
    "forest": "report.forest",
    "forest_censored": "report.censored",
    "funnel": "report.funnel",
    "specification_curve": "report.specification",
    "draw": "report.figures",
    "reproduce": "report.reproduce",
}

#: Names that stand for a whole module.
_MODULES = {"bias", "combine", "covariance", "priors", "recover", "sensitivity"}

__all__ = ["RetroEvidenceError", "__version__", *sorted({*_WHERE, "effects"})]

if TYPE_CHECKING:
    from retroevidence.claims import sensitivity
    from retroevidence.claims.audit import audit
    from retroevidence.claims.check import Checked, check, check_all
    from retroevidence.claims.integrity import flagged_rows, integrity
    from retroevidence.claims.ladder import ladder, ladder_counts
    from retroevidence.claims.reviews import redo_cochrane, redo_reviews
    from retroevidence.claims.trace import source_rows, trace
    from retroevidence.claims.update import update
    from retroevidence.claims.without_flagged import compare_verdicts
    from retroevidence.effects import recover
    from retroevidence.effects.back import back_transform
    from retroevidence.effects.conversions.change import estimate_r
    from retroevidence.effects.conversions.crossover import paired_difference
    from retroevidence.effects.from_table import effect_sizes
    from retroevidence.effects.measures import effect_size, measures
    from retroevidence.errors import NetworkError
    from retroevidence.loaders.bibliography import bibliography, reference
    from retroevidence.loaders.cards import describe, study
    from retroevidence.loaders.duplicates import deduplicate
    from retroevidence.loaders.extraction.accept import accept
    from retroevidence.loaders.extraction.candidates import write_candidates
    from retroevidence.loaders.extraction.extract import extract
    from retroevidence.loaders.formatted import cite, format_references
    from retroevidence.loaders.pubmed.client import PubMed
    from retroevidence.loaders.references import read_references, write_references
    from retroevidence.loaders.rules import validate
    from retroevidence.loaders.scaffold import new
    from retroevidence.loaders.screening import decide, screening
    from retroevidence.loaders.strategies import search
    from retroevidence.loaders.tables import load, tables
    from retroevidence.meta import bias, combine
    from retroevidence.meta.bayes import priors
    from retroevidence.meta.bayes.pool import pool_bayes
    from retroevidence.meta.bayes.result import PooledBayes
    from retroevidence.meta.bootstrap import Bootstrap, bootstrap
    from retroevidence.meta.censored.pool import pool_censored
    from retroevidence.meta.censored.result import PooledCensored
    from retroevidence.meta.counts.glmm import pool_glmm
    from retroevidence.meta.counts.glmm_result import PooledGLMM
    from retroevidence.meta.counts.pool import PooledCounts, pool_counts
    from retroevidence.meta.dependent import covariance
    from retroevidence.meta.dependent.aggregate import aggregate
    from retroevidence.meta.dependent.multilevel import pool_multilevel
    from retroevidence.meta.dependent.multilevel_result import PooledMultilevel
    from retroevidence.meta.dependent.multivariate import PooledMultivariate, pool_multivariate
    from retroevidence.meta.dependent.robust import Robust, robust
    from retroevidence.meta.location_scale import LocationScale, location_scale
    from retroevidence.meta.many import pool_many
    from retroevidence.meta.pool import pool
    from retroevidence.meta.result import Pooled
    from retroevidence.meta.simulate import simulate
    from retroevidence.meta.subgroups import Subgroups, subgroups
    from retroevidence.report.censored import forest_censored
    from retroevidence.report.figures import draw
    from retroevidence.report.forest import forest
    from retroevidence.report.funnel import funnel
    from retroevidence.report.prisma import flow_diagram, prisma
    from retroevidence.report.reproduce import reproduce
    from retroevidence.report.specification import specification_curve


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_WHERE[name]}")
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps ``rv.effects`` the question to the tables.

    Importing the subpackage of the same name would put the subpackage there instead.
    """

    @property
    def effects(self) -> Callable[..., Any]:
        """The function of `retroevidence.claims.evidence`."""
        from retroevidence.claims.evidence import effects

        return effects

    @effects.setter
    def effects(self, module: ModuleType) -> None:
        pass

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Travel by name, so that functions that use the package can be sent to other processes."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
