"""A prior from what an expert says, and nothing else: two quantiles and a mean.

"Repairs take 11 days on average; one in ten takes less than 5, one in ten more than 20." Of all
distributions that agree, the one of largest entropy is taken as the prior of the mean time of
a new workshop, of which six repairs are known. Next to it: a gamma prior with the same two
quantiles, which cannot have the mean as well, and PreliZ's `maxent`, which chooses the gamma
distribution of largest entropy with 80% between 5 and 20, if PreliZ is installed. Run it with
``python examples/expert.py``.
"""

import numpy as np
import pymc as pm
from scipy import optimize, stats

import pm_statmech as pms

QUANTILES, MEAN = {0.1: 5.0, 0.9: 20.0}, 11.0
REPAIRS = [14.0, 9.0, 22.0, 17.0, 8.0, 19.0]  # days


def line(name: str, mean: float, below: tuple[float, float], entropy: float) -> None:
    print(f"{name:28} {mean:6.2f} {below[0]:9.3f} {1 - below[1]:9.3f} {entropy:9.3f}")


def gamma_with_quantiles():
    """The gamma distribution (scipy) with both quantiles."""

    def off(logs):
        shape, scale = np.exp(logs)
        return stats.gamma(shape, scale=scale).ppf(list(QUANTILES)) - list(QUANTILES.values())

    shape, scale = np.exp(optimize.root(off, np.log([4.0, 3.0])).x)
    return stats.gamma(shape, scale=scale)


def main() -> None:
    said = pms.quantile_constraints(QUANTILES)
    statistics = [pms.statistics.mean(), *said.statistics]
    moments = [MEAN, *said.moments]
    support = pms.Interval(0, np.inf, tuple(QUANTILES.values()))

    family = pms.Family(lambda x: [s(x) for s in statistics], support)
    eta = family.fit_moments(moments).eval()
    mean, *below = family.mean_statistics(eta).eval()
    print(f"{'':28} {'mean':>6} {'below 5':>9} {'above 20':>9} {'entropy':>9}")
    line("the expert", MEAN, said.moments, np.nan)
    line("maximum entropy", mean, tuple(below), float(family.entropy(eta).eval()))
    gamma = gamma_with_quantiles()
    line("gamma with the quantiles", gamma.mean(), tuple(gamma.cdf([5, 20])), gamma.entropy())
    try:
        import preliz
    except ImportError:
        print("PreliZ is not installed: pip install preliz for a third line")
    else:
        chosen = preliz.Gamma()
        preliz.maxent(chosen, 5, 20, 0.8, plot=False)
        below = tuple(chosen.cdf(np.array([5.0, 20.0])))
        line("PreliZ's maxent of gammas", chosen.mean(), below, float(chosen.entropy()))

    with pm.Model():
        days = pms.MaxEnt("days", statistics=statistics, moments=moments, support=support)
        pm.Exponential("repairs", scale=days, observed=REPAIRS)
        dt = pms.sample_tempered(random_seed=1)
    found = dt["posterior"]["days"]
    print(f"\nPosterior mean time: {float(found.mean()):.1f} +- {float(found.std()):.1f} days")
    print(pms.verdict(dt))


if __name__ == "__main__":
    main()
