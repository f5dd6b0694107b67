"""How long the same work takes here and in every peer that can be installed.

Run: make bench (an environment of its own, with the peers), or python benchmarks/peers.py. Packages
that are not there are left out. Writes peers.csv and peers.md: medians of rounds with quartiles,
ratios to ours, versions, and how far the kernel is from what the machine can divide and move.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
OURS = "retroevidence"
#: Name on the package index, and of the module.
PEERS = {
    "pimeta": "pimeta",
    "PyMARE": "pymare",
    "PyMetaAnalysis": "meta_analyze",
    "statsmodels": "statsmodels.stats.meta_analysis",
}
K, SETS, MANY = 20, 100, 200_000
#: Seconds of one round of one task, at least; rounds; and seconds that one task may take in all.
ROUND, ROUNDS, MOST = 0.2, 7, 60.0

R = """
suppressMessages(library(metafor))
data <- read.csv(commandArgs(TRUE)[1]); rounds <- as.integer(commandArgs(TRUE)[2])
sets <- split(data, data$id)
say <- function(task, per, work) {
  for (i in seq_len(rounds)) {
    start <- proc.time()[3]; work()
    cat(sprintf("%s,%.9g\\n", task, (proc.time()[3] - start) / per))
  }
}
# Smaller steps, and more of them: with its own defaults some of these sets do not converge.
steps <- list(maxiter = 10000, stepadj = 0.5)
one <- function(d, ...) rma.uni(yi, vi, data = d, method = "REML", control = steps, ...)
say("one mean, REML with Knapp-Hartung", 20,
    function() for (i in 1:20) one(sets[[i]], test = "knha"))
say("leave one out", 1, function() leave1out(one(sets[[1]])))
ten <- one(head(sets[[1]], 10))
say("all 1 023 subsets of 10 studies", 1, function() gosh(ten, progbar = FALSE))
say("all 1 024 sign flips of 10 studies", 1,
    function() permutest(ten, exact = TRUE, progbar = FALSE))
for (file in commandArgs(TRUE)[3:4]) {
  nested <- read.csv(file); size <- if (nrow(nested) == 200) "200" else "1 653"
  three <- function() rma.mv(yi, vi, random = ~ 1 | lab/obs, data = nested, sparse = TRUE)
  say(sprintf("three levels, %s effects", size), 1, three)
  if (requireNamespace("clubSandwich", quietly = TRUE))
    say(sprintf("three levels with CR2, %s effects", size), 1,
        function() clubSandwich::coef_test(three(), vcov = "CR2", cluster = nested$lab))
}
cat(sprintf("version,%s\\n", packageVersion("metafor")), file = stderr())
"""


def data() -> pd.DataFrame:
    """Return the data sets that everyone pools: k = 20, tau² = 0.09."""
    random = np.random.default_rng(1)
    vi = random.chisquare(3, SETS * K) / 20
    yi = random.normal(0.3, np.sqrt(vi + 0.09))
    return pd.DataFrame({"id": np.repeat(np.arange(SETS), K), "yi": yi, "vi": vi})


def nested(effects: int, clusters: int) -> pd.DataFrame:
    """Return effects in clusters."""
    random = np.random.default_rng(1)
    lab = random.integers(0, clusters, effects)
    vi = random.uniform(0.01, 0.2, effects)
    true = 0.3 + 0.3 * random.normal(size=clusters)[lab] + 0.2 * random.normal(size=effects)
    yi = true + np.sqrt(vi) * random.normal(size=effects)
    return pd.DataFrame({"yi": yi, "vi": vi, "lab": lab, "obs": np.arange(effects)})


def rounds(work: Callable[[], Any], per: float = 1.0) -> list[float]:
    """Return seconds per unit of work in each round; the first call warms up and is not counted."""
    start = time.perf_counter()
    work()
    once = max(time.perf_counter() - start, 1e-9)
    times = max(1, int(ROUND / once))
    count = max(1, min(ROUNDS, int(MOST / (once * times))))
    found = []
    for _ in range(count):
        start = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - start) / times / per)
    return found


# Tasks ------------------------------------------------------------------------------------------


def ours(sets: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Time this library."""
    import retroevidence as rv
    from retroevidence.meta.sensitivity import gosh, leave_one_out, permutation_test

    pairs = [(d["yi"].to_numpy(), d["vi"].to_numpy()) for d in sets]
    many = larger(MANY)
    pooled = rv.pool(yi=pairs[0][0], vi=pairs[0][1])
    ten = rv.pool(yi=pairs[0][0][:10], vi=pairs[0][1][:10])
    small, large = nested(200, 20), nested(1_653, 126)
    found = {
        "one mean, REML with Knapp-Hartung": rounds(
            lambda: [rv.pool(yi=y, vi=v) for y, v in pairs], SETS
        ),
        "many means, REML, each": rounds(lambda: rv.pool_many(many), MANY),
        "leave one out": rounds(lambda: leave_one_out(pooled)),
        "all 1 023 subsets of 10 studies": rounds(lambda: gosh(ten)),
        "all 1 024 sign flips of 10 studies": rounds(lambda: permutation_test(ten)),
        "all 1 048 575 subsets of 20 studies": rounds(lambda: gosh(pooled)),
        "all 1 048 576 sign flips of 20 studies": rounds(lambda: permutation_test(pooled)),
    }
    for name, frame in (("200", small), ("1 653", large)):
        work = partial(rv.pool_multilevel, frame, cluster="lab")
        found[f"three levels, {name} effects"] = rounds(work)
        found[f"three levels with CR2, {name} effects"] = rounds(
            lambda fit=work: fit().robust.se  # type: ignore[misc]
        )
    return found


def larger(groups: int) -> pd.DataFrame:
    """Return many data sets of 20 effects."""
    random = np.random.default_rng(2)
    vi = random.chisquare(3, groups * K) / 20
    yi = random.normal(0.3, np.sqrt(vi + 0.09))
    return pd.DataFrame({"id": np.repeat(np.arange(groups), K), "yi": yi, "vi": vi})


def pimeta(sets: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Time pimeta, by its documented calls."""
    import pimeta as ma

    pairs = [(d["yi"].to_numpy(), d["vi"].to_numpy()) for d in sets]
    y, v = pairs[0]
    ten = ma.rma(yi=y[:10], vi=v[:10], method="REML")
    few, small = pairs[:10], nested(200, 20)
    return attempts(
        {
            "one mean, REML with Knapp-Hartung": (
                lambda: [ma.rma(yi=a, vi=b, method="REML", test="knha") for a, b in few],
                len(few),
            ),
            "leave one out": (lambda: ma.leave1out(y, v), 1),
            "all 1 023 subsets of 10 studies": (lambda: ma.gosh(y[:10], v[:10]), 1),
            "all 1 024 sign flips of 10 studies": (lambda: ma.permutest(ten, exact=True), 1),
            "three levels, 200 effects": (
                lambda: ma.rma_mv(
                    small["yi"].to_numpy(),
                    small["vi"].to_numpy(),
                    data=small,
                    random="~ 1 | lab/obs",
                ),
                1,
            ),
        }
    )


def pymare(sets: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Time PyMARE: the only peer that pools many data sets of equal size in one call."""
    from pymare import Dataset
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    one = [
        Dataset(y=d[["yi"]].to_numpy(), v=d[["vi"]].to_numpy(), X_names=["x"], X=np.ones((K, 1)),
                add_intercept=False)
        for d in sets[:10]
    ]  # fmt: skip
    many = larger(1_000)
    shape = (1_000, K)
    wide = Dataset(
        y=many["yi"].to_numpy().reshape(shape).T,
        v=many["vi"].to_numpy().reshape(shape).T,
        X=np.ones((K, 1)),
        X_names=["x"],
        add_intercept=False,
    )

    def fit(dataset: Any) -> Any:
        return VarianceBasedLikelihoodEstimator(method="REML").fit_dataset(dataset).summary()

    ten = Dataset(y=one[0].y[:10], v=one[0].v[:10], X=np.ones((10, 1)), X_names=["x"],
                  add_intercept=False)  # fmt: skip
    result = fit(ten)
    return attempts(
        {
            "one mean, REML with Knapp-Hartung": (lambda: [fit(d).to_df() for d in one], len(one)),
            "many means, REML, each": (lambda: fit(wide), 1_000),
            "all 1 024 sign flips of 10 studies": (
                lambda: result.permutation_test(n_perm=1_024),
                1,
            ),
        }
    )


def pymetaanalysis(sets: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Time PyMetaAnalysis."""
    import meta_analyze as ma

    names = [f"study {i}" for i in range(K)]
    few = sets[:10]

    def fit(d: pd.DataFrame) -> Any:
        return ma.meta_analysis(
            effect=d["yi"].to_numpy(),
            variance=d["vi"].to_numpy(),
            study=names,
            model="random",
            tau2_method="REML",
            ci_method="hartung-knapp",
        )

    result = fit(sets[0])
    return attempts(
        {
            "one mean, REML with Knapp-Hartung": (lambda: [fit(d) for d in few], len(few)),
            "leave one out": (lambda: result.leave_one_out(), 1),
        }
    )


def statsmodels(sets: list[pd.DataFrame]) -> dict[str, list[float]]:
    """Time statsmodels, which has no REML: Paule and Mandel's estimator instead."""
    from statsmodels.stats.meta_analysis import combine_effects

    pairs = [(d["yi"].to_numpy(), d["vi"].to_numpy()) for d in sets]
    return attempts(
        {
            "one mean, REML with Knapp-Hartung": (
                lambda: [combine_effects(y, v, method_re="iterated", use_t=True) for y, v in pairs],
                SETS,
            )
        }
    )


def attempts(tasks: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, list[float]]:
    """Time what a peer can do; a call that it refuses is said on the screen and left out."""
    found = {}
    for name, (work, per) in tasks.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = rounds(work, per)
        except Exception as err:
            print(f"    {name}: {type(err).__name__}: {str(err)[:120]}", file=sys.stderr)
    return found


def metafor(frame: pd.DataFrame) -> tuple[dict[str, list[float]], str]:
    """Time metafor, where R has it."""
    if shutil.which("Rscript") is None:
        return {}, ""
    with tempfile.TemporaryDirectory() as folder:
        tables = [frame, nested(200, 20), nested(1_653, 126)]
        files = [Path(folder) / f"{number}.csv" for number in range(len(tables))]
        for table, file in zip(tables, files, strict=True):
            table.to_csv(file, index=False)
        run = subprocess.run(
            ["Rscript", "-e", R, str(files[0]), str(min(ROUNDS, 3)), *map(str, files[1:])],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    found: dict[str, list[float]] = {}
    for line in run.stdout.splitlines():
        name, _, seconds = line.rpartition(",")
        found.setdefault(name, []).append(float(seconds))
    if run.returncode:
        print(f"metafor: {run.stderr.strip()[-300:]}", file=sys.stderr)
    said = [line for line in run.stderr.splitlines() if line.startswith("version,")]
    return found, said[-1].split(",")[1] if said else ""


# Import and memory ------------------------------------------------------------------------------


def of_a_process(code: str) -> tuple[float, float]:
    """Return the seconds and the peak memory (MiB) of a process that runs this code."""
    start = time.perf_counter()
    # Not getrusage: its peak counts the process that started this one.
    end = "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{end}"], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, int(run.stdout.split()[-1]) / 2**10


def starts(code: str) -> tuple[list[float], float]:
    """Return seconds of running code above those of a bare interpreter, and peak memory."""
    seconds, memory = [], 0.0
    for _ in range(min(ROUNDS, 5)):
        bare, _ = of_a_process("pass")
        with_it, memory = of_a_process(code)
        seconds.append(with_it - bare)
    return seconds, memory


#: From nothing to the first answer.
FIRST = {
    OURS: "import retroevidence as rv; rv.pool(yi=[0.1, 0.3, 0.8], vi=[0.1, 0.2, 0.1])",
    "pimeta": "import pimeta as ma; ma.rma(yi=[0.1, 0.3, 0.8], vi=[0.1, 0.2, 0.1])",
    "PyMARE": """
import numpy as np
from pymare import Dataset
from pymare.estimators import VarianceBasedLikelihoodEstimator as E
d = Dataset(y=np.array([[0.1], [0.3], [0.8]]), v=np.array([[0.1], [0.2], [0.1]]))
E(method="REML").fit_dataset(d).summary()""",
    "PyMetaAnalysis": """
import meta_analyze as ma
ma.meta_analysis(effect=[0.1, 0.3, 0.8], variance=[0.1, 0.2, 0.1], study=list("abc"))""",
    "statsmodels": """
from statsmodels.stats.meta_analysis import combine_effects
import numpy as np
combine_effects(np.array([0.1, 0.3, 0.8]), np.array([0.1, 0.2, 0.1]))""",
}


TEN_MILLION = """
import numpy as np, pandas as pd
random = np.random.default_rng(1)
n = 10_000_000
frame = pd.DataFrame({"id": np.arange(n) // 15, "yi": random.normal(size=n),
                      "vi": random.uniform(0.01, 1, n)})
from retroevidence.meta.many import pool_many
"""


# The machine ------------------------------------------------------------------------------------


def machine() -> dict[str, float]:
    """Return what the machine can do and what the kernel makes of it."""
    import numba

    from retroevidence.meta.kernel import fit_groups

    @numba.njit(fastmath=True, nogil=True)
    def divide(v: Any, t: float, times: int) -> float:
        total = 0.0
        for i in range(times):
            shift = t + 1e-9 * i
            for j in range(v.size):
                total += 1 / (v[j] + shift)
        return total

    numbers = np.random.default_rng(1).uniform(0.1, 1, 1024)
    divide(numbers, 0.1, 10)
    per_second = 1024 * 2_000 / min(rounds(lambda: divide(numbers, 0.1, 2_000)))
    source, target = np.ones(2**25), np.empty(2**25)
    moved = 2 * source.nbytes / min(rounds(lambda: np.copyto(target, source)))
    frame = larger(MANY)
    yi, vi, offsets = frame["yi"].to_numpy(), frame["vi"].to_numpy(), np.arange(MANY + 1) * K
    single = min(rounds(lambda: fit_groups(yi, vi, offsets, threads=1), MANY))
    both = min(rounds(lambda: fit_groups(yi, vi, offsets), MANY))
    bytes_per_fit = K * 16 + 13 * 8 + 16
    return {
        "divisions per second, one thread": per_second,
        "bytes moved per second": moved,
        "one fit on one thread, µs": single * 1e6,
        "one fit on all threads, µs": both * 1e6,
        "time of one fit in divisions per study": single * per_second / K,
        "share of the memory's speed that the fits use": bytes_per_fit / both / moved,
    }


# The tables -------------------------------------------------------------------------------------


def rows_of(package: str, release: str, found: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Turn rounds into rows of microseconds."""
    out = []
    for task, seconds in found.items():
        low, middle, high = np.quantile(np.array(seconds) * 1e6, [0.25, 0.5, 0.75])
        row = {"task": task, "package": package, "version": release}
        out.append(row | {"median_us": middle, "q1_us": low, "q3_us": high, "rounds": len(seconds)})
    return out


def with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Add how many times longer than ours, with the spread of both sides."""
    mine = table[table["package"] == OURS].set_index("task")
    for name, above, below in (
        ("ratio", "median_us", "median_us"),
        ("ratio_low", "q1_us", "q3_us"),
        ("ratio_high", "q3_us", "q1_us"),
    ):
        table[name] = table[above] / table["task"].map(mine[below])
    return table


def shown(value: float) -> str:
    """Return four digits, without an exponent."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def written(table: pd.DataFrame, limits: dict[str, float], where: str) -> str:
    """Return the tables as Markdown."""
    lines = [
        "# The same work, here and elsewhere",
        "",
        where,
        "",
        "Medians with quartiles; the ratio says how many times longer than ours. statsmodels has "
        "no REML and fits Paule and Mandel's tau². PyMARE draws its sign flips.",
        "",
    ]
    for task, part in table.groupby("task", sort=False):
        unit = "MiB" if task.startswith("memory") else "µs"
        lines += [
            f"## {task}",
            "",
            f"| package | {unit} | quartiles | ratio |",
            "|---|--:|--:|--:|",
        ]
        for _, row in part.iterrows():
            spread = f"{shown(row['q1_us'])} – {shown(row['q3_us'])}"
            times = (
                f"{row['ratio']:,.3g} ({row['ratio_low']:,.3g} – {row['ratio_high']:,.3g})"
                if np.isfinite(row["ratio"]) and row["package"] != OURS
                else ""
            )
            name = f"{row['package']} {row['version']}"
            lines.append(f"| {name} | {shown(row['median_us'])} | {spread} | {times} |")
        lines.append("")
    lines += ["## The machine and the kernel", "", "| what | value |", "|---|--:|"]
    lines += [f"| {name} | {shown(value)} |" for name, value in limits.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Time everything and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that all runs")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write the tables")
    choice = parser.parse_args()
    if choice.quick:
        globals().update(ROUND=0.01, ROUNDS=2, MOST=5.0)
    frame = data()
    sets = [part.reset_index(drop=True) for _, part in frame.groupby("id")]
    rows = []
    calls: dict[str, Callable[[list[pd.DataFrame]], dict[str, list[float]]]] = {
        OURS: ours,
        "pimeta": pimeta,
        "PyMARE": pymare,
        "PyMetaAnalysis": pymetaanalysis,
        "statsmodels": statsmodels,
    }
    memory = []
    for package, call in calls.items():
        module = PEERS.get(package, OURS)
        try:
            release = version(package)
        except Exception:
            print(f"{package}: not installed", file=sys.stderr)
            continue
        print(package, release, file=sys.stderr)
        seconds, _ = starts(f"import {module}")
        first, used = starts(FIRST[package])
        found = call(sets) | {"import": seconds, "import and first answer": first}
        rows += rows_of(package, release, found)
        row = {"task": "memory with the first answer", "package": package, "version": release}
        memory.append(row | dict.fromkeys(("median_us", "q1_us", "q3_us"), used) | {"rounds": 1})
        if package == OURS:
            for task, code in (
                ("memory with a table of 10 million effects", TEN_MILLION),
                ("memory and with all its groups pooled", TEN_MILLION + "pool_many(frame)"),
            ):
                used = of_a_process(code)[1]
                row = row | {"task": task}
                numbers = dict.fromkeys(("median_us", "q1_us", "q3_us"), used)
                memory.append(row | numbers | {"rounds": 1})
    found, release = metafor(frame)
    if release:
        rows += rows_of("metafor", release, found)
    table = with_ratios(pd.DataFrame(rows + memory))
    order = {task: i for i, task in enumerate(dict.fromkeys(table["task"]))}
    table = table.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable")
    where = (
        f"{platform.system()} {platform.machine()}, {cpu()}, {len(os.sched_getaffinity(0))} cores; "
        f"Python {platform.python_version()}, numpy {version('numpy')}, numba {version('numba')}."
    )
    text = written(table, machine(), where)
    table.to_csv(choice.out / "peers.csv", index=False, float_format="%.6g")
    (choice.out / "peers.md").write_text(text, encoding="utf-8")
    print(text)


def cpu() -> str:
    """Return the name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")


if __name__ == "__main__":
    main()
