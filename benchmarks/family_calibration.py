r"""Whether draws and densities of families belong to each other: ranks of true parameters.

    python benchmarks/family_calibration.py --simulations 300 --out family_calibration

Parameters are drawn from the prior, data from the family's own draws, and posteriors from
`sample_tempered`; the rank of the truth among posterior draws is uniform, and so is that of the
energy, which is computed here by sums and grids that share nothing with the package. See
`calibration`. The controls, which must fail, are the same models without the normaliser: an energy
in a Potential.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from calibration import Simulator, compiled_once, sbc
from scipy import integrate, stats
from scipy.special import gammaln, logsumexp

import pm_statmech as pms
from pm_statmech.log_partition.transfer_in_logs import draws

N, N_STATES = 20, 60
GRID = np.linspace(0, 1, 20_001)
LINE = np.linspace(-400, 400, 40_001)
COUNTS = np.arange(3000)


def own_draws(make, *kinds):
    """Function (parameters, uniform numbers (N,)) -> data, by the inversion of the variable."""
    parameters = [kind() for kind in kinds]
    variable = make(*parameters)
    # of the inputs rng, size, and the variable's own parameters
    op, own = variable.owner.op, variable.owner.inputs[2:]
    u = pt.dvector("u")
    drawn = op.by_inversion(op.weights(*own), u)
    return pytensor.function([*parameters, u], drawn)


def interval(normalised: bool = True) -> Simulator:
    """Two statistics on the unit interval."""
    family = {"statistics": lambda x: [x, x**2], "support": pms.Interval(0, 1)}
    with pm.Model() as model:
        eta, y = pm.Normal("eta", 0, 3, shape=2), pm.Data("y", np.full(N, 0.5))
        if normalised:
            pms.ExponentialFamily("likelihood", eta, observed=y, **family)
        else:
            pms.GibbsPotential("likelihood", -pt.sum(eta[0] * y + eta[1] * y**2))
    draws = own_draws(lambda eta: pms.ExponentialFamily.dist(eta, **family), pt.dvector)

    def draw(rng):
        eta = rng.normal(0, 3, 2)
        return {"eta": eta}, draws(eta, rng.random(N))

    def energy(p, y):
        density = np.exp(p["eta"][0] * GRID + p["eta"][1] * GRID**2)
        log_z = np.log(integrate.simpson(density, x=GRID))
        return -np.sum(p["eta"][0] * y + p["eta"][1] * y**2 - log_z * normalised)

    return Simulator("interval", model, draw, energy)


def conway_maxwell_poisson(normalised: bool = True) -> Simulator:
    """Counts by their mean and dispersion."""
    with pm.Model() as model:
        mu, nu = pm.Gamma("mu", 4, 1), pm.LogNormal("nu", 0, 0.5)
        y = pm.Data("y", np.full(N, 3))
        if normalised:
            pms.ConwayMaxwellPoisson("likelihood", mu=mu, nu=nu, observed=y)
        else:
            # by the rate, which is mu where nu = 1
            log_p = y * pt.log(mu) - nu * pt.gammaln(y + 1.0)
            pms.GibbsPotential("likelihood", -pt.sum(log_p))
    draws = own_draws(
        lambda mu, nu: pms.ConwayMaxwellPoisson.dist(mu=mu, nu=nu), pt.dscalar, pt.dscalar
    )

    def log_p(mu, nu, y):
        lean = COUNTS * np.log(mu) - nu * gammaln(COUNTS + 1)
        if not normalised:
            return y * np.log(mu) - nu * gammaln(y + 1)
        # the rate by bisection of the mean
        low, high = -50.0, 50.0
        for _ in range(100):
            middle = 0.5 * (low + high)
            lean = COUNTS * middle - nu * gammaln(COUNTS + 1)
            p = np.exp(lean - logsumexp(lean))
            low, high = (middle, high) if p @ COUNTS < mu else (low, middle)
        return y * middle - nu * gammaln(y + 1) - logsumexp(lean)

    def draw(rng):
        mu, nu = rng.gamma(4), np.exp(rng.normal(0, 0.5))
        return {"mu": mu, "nu": nu}, draws(mu, nu, rng.random(N)).astype(int)

    return Simulator("counts", model, draw, lambda p, y: -np.sum(log_p(p["mu"], p["nu"], y)))


def powered_gamma(beta: float) -> Simulator:
    """A power of a gamma distribution of unknown rate."""
    with pm.Model() as model:
        rate, y = pm.Gamma("rate", 3, 1), pm.Data("y", np.ones(N))
        pms.Powered("likelihood", pm.Gamma.dist(3, rate), beta, observed=y)

    def law(rate):
        return stats.gamma(beta * 2 + 1, scale=1 / (beta * rate))

    def draw(rng):
        rate = rng.gamma(3)
        return {"rate": rate}, law(rate).rvs(N, random_state=rng)

    energy = lambda p, y: -law(p["rate"]).logpdf(y).sum()  # noqa: E731
    return Simulator(f"power {beta:g} of gamma", model, draw, energy)


def random_power(normalised: bool = True) -> Simulator:
    """A random power of a logistic distribution, by quadrature."""
    with pm.Model() as model:
        beta, y = pm.LogNormal("beta", 0, 0.7), pm.Data("y", np.ones(N))
        if normalised:
            pms.Powered("likelihood", pm.Logistic.dist(0.0, 1.0), beta, observed=y)
        else:
            log_p = pm.logp(pm.Logistic.dist(0.0, 1.0), y)
            pms.GibbsPotential("likelihood", -beta * pt.sum(log_p))
    draws = own_draws(lambda beta: pms.Powered.dist(pm.Logistic.dist(0.0, 1.0), beta), pt.dscalar)

    def draw(rng):
        beta = np.exp(rng.normal(0, 0.7))
        return {"beta": beta}, draws(beta, rng.random(N))

    def energy(p, y):
        power = np.exp(p["beta"] * stats.logistic.logpdf(LINE))
        log_z = np.log(integrate.simpson(power, x=LINE))
        return -np.sum(p["beta"] * stats.logistic.logpdf(y) - log_z * normalised)

    return Simulator("random power", model, draw, energy)


def five_spins(normalised: bool = True) -> Simulator:
    """Ten couplings and five fields of spins that all see each other."""
    i, j = np.triu_indices(5, 1)
    states = np.array(list(product([-1.0, 1.0], repeat=5)))
    pairs = states[:, i] * states[:, j]
    graph = np.column_stack([i, j])
    with pm.Model() as model:
        J, h = pm.Normal("J", 0, 0.5, shape=10), pm.Normal("h", 0, 0.5, shape=5)
        y = pm.Data("y", np.ones((N_STATES, 5)))
        if normalised:
            pms.Ising("likelihood", J, h, graph=graph, observed=y)
        else:
            pms.GibbsPotential("likelihood", -pt.sum(y[:, i] * y[:, j] * J) - pt.sum(y * h))

    symbols = pt.dvector("J"), pt.dvector("h")
    spins = pms.Ising.dist(*symbols, graph=graph)
    natural = spins.owner.op.natural(*spins.owner.inputs[2:])
    parameters = pytensor.function(symbols, list(natural), mode="FAST_COMPILE")
    sweep = spins.owner.op.problem.sweep

    def draw(rng):
        J, h = rng.normal(0, 0.5, 10), rng.normal(0, 0.5, 5)
        theta, K = parameters(J, h)
        u = rng.random((N_STATES, len(sweep.steps)))
        numbers = draws(
            theta, K, np.array([[1.0, -1.0], [-1.0, 1.0]]), sweep.steps, sweep.further, sweep.sizes,
            u,
        )  # fmt: skip
        return {"J": J, "h": h}, 2 * numbers - 1

    def energy(p, y):
        log_z = logsumexp(pairs @ p["J"] + states @ p["h"])
        weight = np.sum(y[:, i] * y[:, j] @ p["J"]) + np.sum(y @ p["h"])
        return -(weight - N_STATES * log_z * normalised)

    return Simulator("five spins", model, draw, energy)


MODELS = {
    "interval": interval, "counts": conway_maxwell_poisson, "power": random_power,
    "spins": five_spins,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--simulations", type=int, default=300, help="of each model")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--out", type=Path, default=Path("family_calibration"), help="folder")
    parser.add_argument("--models", default=",".join(MODELS), help="which, and fixed powers")
    arguments = parser.parse_args()
    chosen = [MODELS[name] for name in arguments.models.split(",")]
    logging.getLogger("pymc").setLevel(logging.ERROR)
    arguments.out.mkdir(parents=True, exist_ok=True)
    cases = [(make(), 1.0, "") for make in chosen]
    if random_power in chosen:
        cases += [(powered_gamma(beta), 1.0, "") for beta in (0.3, 1.0, 3.0)]
    controls = [make(normalised=False) for make in chosen]
    with warnings.catch_warnings(), compiled_once():
        warnings.simplefilter("ignore")
        sbc(cases, arguments.simulations, arguments.seed, arguments.out / "sbc.jsonl")
        print("\nWithout the normaliser; all must be small")
        sbc(
            [(one, 1.0, "") for one in controls], arguments.simulations, arguments.seed,
            arguments.out / "controls.jsonl",
        )  # fmt: skip


if __name__ == "__main__":
    main()
