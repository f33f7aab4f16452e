r"""Whether draws and error bars are what they claim: ranks of true values, coverage of log Z.

    python benchmarks/calibration.py --simulations 300 --runs 200 --only sbc --out calibration

`sbc`: a true value is drawn from the prior, data from it, and both are forgotten. Among L near-
independent posterior draws the rank r of the true value, for each parameter and for the energy,
is uniform,

.. math:: u = (r + v) / (L + 1) \sim U(0, 1), \qquad v \sim U(0, 1)

at any L, so that each run may be thinned by its own effective sample size. Prints p-values of
chi-square on 20 bins and of the Kolmogorov-Smirnov envelope of the ECDF; n is short of what was
asked by the runs that failed. The control, which must fail, has its target at beta = 2.

`coverage`: the share of runs of the default call with log Z within two reported errors of the
truth, which should be .954, the mean and sd of error / reported, the shares of runs that warned of
phases and of the evidence, and how many failed (these cover nothing).

Rows go to `sbc.jsonl` and `coverage.csv` in the folder `--out` as they come. Those already there
are not run again, so give a new folder after a change to the code.

Source: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), arXiv:1804.06788, algorithm 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import problems
import pymc as pm
import pytensor.tensor as pt
from arviz_stats.base import array_stats
from evidence import run
from scipy import stats
from scipy.special import logsumexp
from summary import append_row, read_rows

import pm_statmech as pms
from pm_statmech.samplers import parallel_tempering
from pm_statmech.tempering import TemperedModel

MOST_DRAWS, FEWEST_DRAWS, BINS = 99, 10, 20
COVERED = ("eight_schools", "pine", "regression", "mixture10", "binomial", "rosenbrock")
CONTROL = {1.0: "", 2.0: "  (control: must be small)"}
WARNINGS = ("PhaseTransitionWarning", "EvidenceWarning")


@dataclass(frozen=True)
class Simulator:
    """A model of the data `y`; rng -> (true values, y); (values, y) -> -log likelihood."""

    name: str
    model: pm.Model
    draw: Callable
    energy: Callable


def normal() -> Simulator:
    """Ten observations of unit noise around an unknown mean."""
    with pm.Model() as model:
        pm.Normal("likelihood", pm.Normal("mu", 0, 2), 1, observed=pm.Data("y", np.zeros(10)))

    def draw(rng):
        mu = rng.normal(0, 2)
        return {"mu": mu}, rng.normal(mu, 1, 10)

    return Simulator("normal", model, draw, lambda p, y: -stats.norm.logpdf(y, p["mu"]).sum())


def regression() -> Simulator:
    """Twenty observations, an intercept and two slopes, unknown noise."""
    X = np.column_stack([np.ones(20), np.random.default_rng(0).normal(size=(20, 2))])
    with pm.Model() as model:
        b, sigma = pm.Normal("b", 0, 1, shape=3), pm.HalfNormal("sigma", 1)
        pm.Normal("likelihood", X @ b, sigma, observed=pm.Data("y", np.zeros(20)))

    def draw(rng):
        b, sigma = rng.normal(size=3), abs(rng.normal())
        return {"b": b, "sigma": sigma}, rng.normal(X @ b, sigma)

    energy = lambda p, y: -stats.norm.logpdf(y, X @ p["b"], p["sigma"]).sum()  # noqa: E731
    return Simulator("regression", model, draw, energy)


def beta_binomial() -> Simulator:
    """Five groups of 20 trials, whose probabilities share a mean and a concentration."""
    with pm.Model() as model:
        mu, kappa = pm.Beta("mu", 8, 8), pm.Gamma("kappa", 20, 2)
        p = pm.Beta("p", mu * kappa, (1 - mu) * kappa, shape=5)
        pm.Binomial("likelihood", 20, p, observed=pm.Data("y", np.full(5, 10)))

    def draw(rng):
        mu, kappa = rng.beta(8, 8), rng.gamma(20, 0.5)
        p = rng.beta(mu * kappa, (1 - mu) * kappa, size=5)
        return {"mu": mu, "kappa": kappa, "p": p}, rng.binomial(20, p)

    energy = lambda p, y: -stats.binom.logpmf(y, 20, p["p"]).sum()  # noqa: E731
    return Simulator("beta-binomial", model, draw, energy)


def mixture() -> Simulator:
    """Twenty observations of two components with weights .3 and .7, whose means are unknown."""
    log_weights = np.log([0.3, 0.7])
    with pm.Model() as model:
        y, mu = pm.Data("y", np.zeros(20)), pm.Normal("mu", 0, 3, shape=2)
        log_p = -0.5 * (y[:, None] - mu) ** 2 + log_weights
        pms.GibbsPotential("likelihood", -pt.sum(pt.logsumexp(log_p, axis=1)))

    def draw(rng):
        mu = rng.normal(0, 3, size=2)
        return {"mu": mu}, rng.normal(mu[(rng.random(20) < 0.7).astype(int)], 1)

    energy = lambda p, y: -logsumexp(  # noqa: E731
        -0.5 * (y[:, None] - p["mu"]) ** 2 + log_weights, axis=1).sum()  # fmt: skip
    return Simulator("mixture", model, draw, energy)


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let `sample_tempered` compile each model once, since `pm.set_data` replaces its data."""

    def once(function):
        known: dict = {}

        def wrapper(first, *args, **kwargs):
            # the argument is kept beside its result, so that no other can take its id
            if id(first) not in known:
                known[id(first)] = first, function(first, *args, **kwargs)
            return known[id(first)][1]

        return wrapper

    places = [(parallel_tempering, "tempered_model"), (TemperedModel, "compile"),
              (parallel_tempering, "compile_prior_draws")]  # fmt: skip
    with ExitStack() as stack:
        for place, name in places:
            stack.enter_context(patch.object(place, name, once(getattr(place, name))))
        yield


def simulate(simulator: Simulator, beta: float, seed: int) -> tuple[int, dict[str, float]]:
    """L, and the randomised rank u of each quantity, of one simulation sampled at beta."""
    rng = np.random.default_rng([seed, sum(map(ord, simulator.name))])
    truth, y = simulator.draw(rng)
    with simulator.model:
        pm.set_data({"y": y})
    dt = pms.sample_tempered(
        200, tune=200, chains=2, cores=1, target_beta=beta, model=simulator.model, quiet=True,
        random_seed=int(rng.integers(2**31)), keep_tempered=False,
        idata_kwargs={"log_likelihood": False, "log_prior": False},
    )  # fmt: skip
    draws = {"energy": dt["tempering"]["energy"].sel(inverse_temperature=beta).values}
    values = {"energy": simulator.energy(truth, y)}
    for name, value in truth.items():
        array = dt["posterior"][name].values
        for i, v in enumerate(np.ravel(value)):
            label = f"{name}[{i}]" if np.ndim(value) else name
            draws[label], values[label] = array.reshape(*array.shape[:2], -1)[..., i], float(v)
    ess = min(float(array_stats.ess(d, chain_axis=0, draw_axis=1)) for d in draws.values())
    L = int(np.clip(ess, FEWEST_DRAWS, MOST_DRAWS))
    kept = np.linspace(0, 400, L, endpoint=False).astype(int)
    ranks = {name: int(np.sum(d.ravel()[kept] < values[name])) for name, d in draws.items()}
    return L, {name: (rank + rng.random()) / (L + 1) for name, rank in ranks.items()}


def p_values(u: np.ndarray) -> tuple[float, float]:
    counts = np.histogram(u, bins=BINS, range=(0, 1))[0]
    return float(stats.chisquare(counts).pvalue), float(stats.kstest(u, "uniform").pvalue)


def sbc(
    cases: Iterable[tuple[Simulator, float, str]], simulations: int, seed: int, path: Path
) -> None:
    """Table of p-values of simulators, each at the beta and with the remark that go with it."""
    path.touch()
    known = {tuple(row[:3]): row[3:] for row in map(json.loads, path.read_text().splitlines())}
    print("model                   beta    n     L  quantity     chi2 p   ECDF p")
    for simulator, beta, said in cases:
        rows = []
        for s in range(seed, seed + simulations):
            key = (simulator.name, beta, s)
            if key not in known:
                try:
                    known[key] = simulate(simulator, beta, s)
                except Exception as error:
                    print(f"{simulator.name}, seed {s}: {type(error).__name__}: {error}")
                    continue
                with path.open("a") as file:
                    print(json.dumps([*key, *known[key]]), file=file)
            rows.append(known[key])
        L = np.mean([row[0] for row in rows])
        start = f"{simulator.name:23} {beta:4.0f} {len(rows):4d} {L:5.1f}"
        found = {name: p_values(np.array([row[1][name] for row in rows])) for name in rows[0][1]}
        for name, (binned, ecdf) in found.items():
            print(f"{start}  {name:10} {binned:8.2g} {ecdf:8.2g}")
        least = min(2 * len(found) * min(map(min, found.values())), 1.0)
        print(f"{start}  all, by Bonferroni {least:8.2g}{said}", flush=True)


def coverage(runs: int, seed: int, path: Path) -> None:
    rows = {(row.problem, row.seed): row for row in read_rows(path)}
    print("problem             n in 2 se  95% interval mean z   sd z  median      se failed "
          "phases evidence")  # fmt: skip
    for name in COVERED:
        problem = getattr(problems, name)()
        model = problem.model()
        for s in range(seed, seed + runs):
            if (problem.name, s) not in rows:
                rows[problem.name, s] = run("ours", problem, model, s)
                append_row(path, rows[problem.name, s])
        mine = [rows[problem.name, s] for s in range(seed, seed + runs)]
        error, se = np.array([(row.error, row.reported) for row in mine]).T
        z = error / se
        inside = int(np.sum(np.abs(z) < 2))
        low, high = stats.binomtest(inside, runs).proportion_ci(method="exact")
        warned = " ".join(f"{np.mean([w in row.notes for row in mine]):6.2f}" for w in WARNINGS)
        print(
            f"{problem.name:16} {runs:4d} {inside / runs:7.3f} [{low:.3f}, {high:.3f}] "
            f"{np.nanmean(z):6.2f} {np.nanstd(z):6.2f} {np.nanmedian(np.abs(error)):7.1e} "
            f"{np.nanmedian(se):7.1e} {np.sum(np.isnan(z)):6d} {warned}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--simulations", type=int, default=300, help="of each model, for sbc")
    parser.add_argument("--runs", type=int, default=200, help="on each problem, for coverage")
    parser.add_argument("--only", choices=("sbc", "coverage"), help="by default both")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--out", type=Path, default=Path("calibration"), help="folder of the rows")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.only != "coverage":
        with warnings.catch_warnings(), compiled_once():
            warnings.simplefilter("ignore")
            simulators = normal(), regression(), beta_binomial(), mixture()
            cases = [(one, beta, CONTROL[beta]) for beta, one in product(CONTROL, simulators)]
            sbc(cases, arguments.simulations, arguments.seed, arguments.out / "sbc.jsonl")
    if arguments.only != "sbc":
        coverage(arguments.runs, arguments.seed, arguments.out / "coverage.csv")


if __name__ == "__main__":
    main()
