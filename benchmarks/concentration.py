"""The figures by which ``pm_statmech.concentration`` is judged, with plain NumPy in the same run.

python benchmarks/concentration.py

Proportional fitting is compared with the loop that one would write; Markov chains with NumPy's
eigenvalue of one tilt; rare events with the exact series and with plain draws.
"""

from time import perf_counter

import numpy as np
import pymc as pm
from scipy.stats import gamma, poisson

from pm_statmech import concentration as co


def timed(call, repetitions=3):
    """Result and least seconds of a few calls, after one that warms up."""
    result = call()
    seconds = []
    for _ in range(repetitions):
        begin = perf_counter()
        result = call()
        seconds.append(perf_counter() - begin)
    return result, min(seconds)


def plain_fitting(table, margins, tolerance):
    """What one would write: a sum and a division a margin, until all fit."""
    p, total = table * (margins[0, 1].sum() / table.sum()), margins[0, 1].sum()
    while True:
        worst = 0.0
        for axis, target in ((2, margins[0, 1]), (1, margins[0, 2]), (0, margins[1, 2])):
            margin = p.sum(axis=axis)
            worst = max(worst, np.abs(margin - target).max() / total)
            p = p * np.expand_dims(target / margin, axis)
        if worst <= tolerance:
            return p


def fitting():
    rng = np.random.default_rng(1)
    print("proportional fitting to 1e-10, three margins of pairs")
    for shape, kind in (((100, 100, 50), "even"), ((100, 100, 50), "skewed")):
        spread = 1.0 if kind == "even" else 0.15
        first, other = rng.gamma(spread, size=(2, *shape)) + 1e-6
        margins = {(0, 1): other.sum(2), (0, 2): other.sum(1), (1, 2): other.sum(0)}
        found, ours = timed(lambda a=first, m=margins: co.iterative_proportional_fitting(a, m))
        _, plain = timed(lambda a=first, m=margins: plain_fitting(a, m, 1e-10))
        print(
            f"  {shape} {kind:7s} {found.sweeps:4d} sweeps {ours:7.3f} s, plain NumPy "
            f"{plain:7.3f} s: ratio {ours / plain:.2f}"
        )


def chains():
    rng = np.random.default_rng(1)
    n, points = 500, 100
    print(f"rate function of a chain of {n} states at {points} means")
    P, f = rng.dirichlet(np.full(n, 0.3), size=n), rng.normal(size=n)
    low, high = co.markov_cumulant(P, f, [-2.0, 2.0]).mean
    x = np.linspace(low, high, points)
    found, seconds = timed(lambda: co.markov_rate_function(P, f, x))
    begin = perf_counter()
    root = np.log(np.max(np.linalg.eigvals(P * np.exp(found.tilt[7] * f)).real))
    one = perf_counter() - begin
    gap = abs(found.tilt[7] * x[7] - root - found.value[7])
    print(
        f"  dense  {seconds:6.2f} s; one eigenvalue by NumPy {one:.2f} s, which agrees to {gap:.0e}"
    )
    P = np.zeros((n, n))
    i = np.arange(n - 1)
    P[i, i + 1], P[i + 1, i] = 0.3, 0.4
    P += np.diag(1 - P.sum(axis=1))
    low, high = co.markov_cumulant(P, np.arange(n) / n, [-2.0, 2.0]).mean
    _, seconds = timed(
        lambda: co.markov_rate_function(P, np.arange(n) / n, np.linspace(low, high, points)), 1
    )
    print(f"  a walk, whose eigenvectors span {n} orders of magnitude: {seconds:6.2f} s")


def rare():
    print("a compound Poisson year of gamma claims beyond a threshold, 100,000 draws")
    year = co.CompoundSum(pm.Poisson.dist(7), pm.Gamma.dist(2, 0.05))
    n = np.arange(1, 2000)
    for threshold in (600.0, 1200.0, 1800.0):
        exact = np.sum(poisson.pmf(n, 7) * gamma.sf(threshold, 2 * n, scale=20))
        found, seconds = timed(
            lambda x=threshold: co.tail_probability_tilted(year, threshold=x, random_seed=1)
        )
        plain = 1 / np.sqrt(exact * 100_000)
        print(
            f"  {exact:9.2e} exactly, {np.exp(found.log_probability):9.2e} "
            f"+- {found.relative_error:.1%} in {seconds:.2f} s; without a tilt +- {plain:.0%}"
        )


def projections():
    rng = np.random.default_rng(1)
    worst, begin = 0.0, perf_counter()
    for _ in range(1000):
        n, k = rng.integers(7, 40), rng.integers(1, 6)
        T, p = rng.normal(size=(n, k)), rng.dirichlet(np.ones(n))
        found = co.i_projection(
            np.arange(n), rng.dirichlet(np.ones(n)), statistics=T, moments=p @ T
        )
        worst = max(worst, abs(found.pythagorean(p).residual))
    seconds = perf_counter() - begin
    print(f"1000 projections in {seconds:.2f} s, largest Pythagorean residual {worst:.1e}")


if __name__ == "__main__":
    fitting()
    chains()
    rare()
    projections()
