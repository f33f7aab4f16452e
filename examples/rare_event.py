"""A probability of 1e-12: the strike year that never came, by tilting and not by waiting.

62 strikes in American manufacturing from 1968 to 1976 lasted 43 days on the average (Kennan 1985,
as in statsmodels). With a Poisson number of strikes a year and gamma durations, how probable is a
year with 2,550 days of strike? A hundred thousand simulated years hold none. Tilted years, drawn
under the law that the years have given that it happened, and weighed back, give the probability
within 2%. A lognormal duration fits about as well and says so: it has no cumulant, its big years
are one long strike, and no tilt helps. It draws ``rare_event.png``. Run it with
``python examples/rare_event.py``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import statsmodels.api as sm
from scipy.stats import gamma, lognorm, poisson

import pm_statmech as pms
from pm_statmech import concentration as co

YEARS, DAYS = 9, 2550.0


def main() -> None:
    days = sm.datasets.strikes.load_pandas().data["duration"].to_numpy()
    rate = len(days) / YEARS
    k, _, scale = gamma.fit(days, floc=0)
    m = k * scale
    print(f"{rate:.2f} strikes a year, gamma durations of shape {k:.3f} and mean {m:.1f} days")

    year = co.CompoundSum(pm.Poisson.dist(rate), pm.Gamma.dist(k, k / m))
    found = co.tail_probability_tilted(year, threshold=DAYS, draws=100_000, random_seed=1)
    print(f"P(more than {DAYS:.0f} days in a year) = {np.exp(found.log_probability):.3g}")
    print(f"  relative error {found.relative_error:.1%}, tilt {found.tilt:.4f} per day")

    # exactly, since n gamma durations have a gamma sum
    n = np.arange(1, 400)

    def exact(x):
        return np.sum(poisson.pmf(n, rate) * gamma.sf(x, k * n, scale=scale))

    saddlepoint = co.saddlepoint_tail(year, n=1, threshold=DAYS)
    print(f"  exactly {exact(DAYS):.3g}; by the saddlepoint {np.exp(saddlepoint):.3g}")
    rng = np.random.default_rng(1)
    strikes = rng.poisson(rate, 100_000)
    total = rng.gamma(k * np.maximum(strikes, 1), scale) * (strikes > 0)
    print(f"  the largest of 100,000 simulated years has {total.max():.0f} days")

    sigma, _, median = lognorm.fit(days, floc=0)
    heavy = co.CompoundSum(pm.Poisson.dist(rate), pm.LogNormal.dist(np.log(median), sigma))
    ahead = lognorm.logpdf(days, sigma, scale=median) - gamma.logpdf(days, k, scale=scale)
    print(
        f"lognormal durations, of which the log likelihood is {ahead.sum():+.1f} to that of gamma:"
    )
    try:
        co.tail_probability_tilted(heavy, threshold=DAYS)
    except pms.errors.CumulantError as error:
        print(f"  {error}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    levels = np.linspace(400, DAYS, 10)
    tilted = [
        co.tail_probability_tilted(year, threshold=x, draws=20_000, random_seed=2) for x in levels
    ]
    left.semilogy(levels, [exact(x) for x in levels], "k-", label="exact")
    left.semilogy(levels, np.exp([v.log_probability for v in tilted]), "C1o", label="tilted draws")
    naive = np.array([np.mean(total >= x) for x in levels])
    left.semilogy(levels[naive > 0], naive[naive > 0], "C0s", mfc="none", label="plain draws")
    left.set(xlabel="days of strike in a year", ylabel="probability of more")
    left.legend()
    plain = np.sqrt(1 / np.array([exact(x) for x in levels]) / 20_000)
    right.semilogy(levels, [v.relative_error for v in tilted], "C1o-", label="tilted draws")
    right.semilogy(levels, plain, "C0s-", mfc="none", label="plain draws")
    right.axhline(1, color="0.7", lw=0.8)
    right.set(xlabel="days of strike in a year", ylabel="relative error of 20,000 draws")
    right.legend()
    figure.savefig("rare_event.png", dpi=120)


if __name__ == "__main__":
    main()
