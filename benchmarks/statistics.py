"""Errors of the statistics of a tempered run, over many seeds, against exact values.

``python benchmarks/statistics.py [seeds]``: Newcomb's measurements and the diabetes regression. For
each statistic the share of seeds within two of its own errors (95% would be honest), and the root
mean square of the deviations in units of the errors (1 would be).
"""

import logging
import sys
from collections import defaultdict

import numpy as np
from sklearn.datasets import load_diabetes

import pm_statmech as pms

NEWCOMB = [
    28, 26, 33, 24, 34, -44, 27, 16, 40, -2, 29, 22, 24, 21, 25, 30, 23, 29, 31, 19, 24, 20, 36, 32,
    36, 28, 25, 21, 28, 29, 37, 25, 28, 26, 30, 32, 36, 26, 30, 22, 36, 23, 27, 27, 28, 27, 31, 27,
    26, 33, 26, 32, 32, 24, 39, 28, 24, 25, 32, 25, 29, 27, 28, 29, 16, 23,
]  # fmt: skip


def systems() -> dict:
    """Name -> system, number of observations, parameter."""
    X, y = load_diabetes(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    return {
        "newcomb": (
            pms.solvable.conjugate_normal(NEWCOMB, sigma=10.0, prior_mean=0.0, prior_sd=50.0), 66,
            "mu",
        ),
        "diabetes": (
            pms.solvable.gaussian_linear_model(X, y, noise_sd=0.5**0.5, prior_sd=1.0), 442, "b",
        ),
    }  # fmt: skip


def entropy(system, parameter: str) -> float:
    """Of the posterior, whose log prior is that of independent normal numbers."""
    mean, sd = system.posterior(1.0)[parameter]
    prior_sd = 50.0 if np.ndim(mean) == 0 else 1.0
    log_prior = -0.5 * np.sum((mean**2 + sd**2) / prior_sd**2 + np.log(2 * np.pi * prior_sd**2))
    return system.log_partition(1.0) + system.mean_energy(1.0) - log_prior


def deviations(system, n: int, parameter: str, seed: int) -> dict[str, float]:
    """Of every statistic from its exact value, in units of its error."""
    dt = pms.sample_tempered(
        1000, tune=500, model=system.model(), random_seed=seed, progressbar=False, quiet=True
    )
    found = {}
    between = [0.003, 0.05, 0.37]
    for name, table in (
        ("rungs", pms.thermodynamics(dt)), ("between", pms.thermodynamics(dt, betas=between)),
    ):  # fmt: skip
        for beta in table["inverse_temperature"].values[1 if name == "rungs" else 0 :: 3]:
            here = table.sel(inverse_temperature=beta)
            exact = {
                "mean_energy": system.mean_energy, "heat_capacity": system.heat_capacity,
                "relative_entropy": system.relative_entropy,
                "log_partition": system.log_partition,
            }  # fmt: skip
            for quantity, curve in exact.items():
                gap = float(here[quantity]) - curve(beta)
                found[f"{quantity}, {name}", beta] = gap / float(here[f"{quantity}_mcse"])
    evidence = pms.log_evidence(dt)
    found["log_evidence", 1] = float(
        (evidence["log_evidence"] - system.log_partition(1.0)) / evidence["mcse"]
    )
    by_route = pms.posterior_entropy(dt)
    for k, route in enumerate(by_route["method"].values):
        gap = float(by_route["entropy"][k]) - entropy(system, parameter)
        found[f"entropy, {route}", 1] = gap / float(by_route["mcse"][k])
    here = 1 / np.log(n)
    wbic = pms.wbic(dt)
    found["wbic", here] = (wbic.value - system.mean_energy(here)) / wbic.mcse
    low, high = here / 1.5, here * 1.5
    fall = (system.mean_energy(low) - system.mean_energy(high)) / (1 / low - 1 / high)
    exact_coefficient = [fall, system.heat_capacity(here)]
    table = pms.learning_coefficient(dt)
    for k, method in enumerate(table["method"].values):
        gap = float(table["learning_coefficient"][k]) - exact_coefficient[k]
        found[f"learning coefficient, {method}", here] = gap / float(table["mcse"][k])
    moved = pms.beta_sensitivity(dt, betas=[0.5]).isel(inverse_temperature=0)
    mean, sd = system.posterior(0.5)[parameter]
    for kind, exact_value in (("", mean), ("_sd", sd)):
        values = np.ravel(moved[f"{parameter}{kind}"].values - exact_value)
        errors = np.ravel(moved[f"{parameter}{kind}_mcse"].values)
        found[f"sensitivity{kind or '_mean'}", 0.5] = values[0] / errors[0]
    return found


def main(n_seeds: int = 200) -> None:
    logging.getLogger("pymc").setLevel(logging.ERROR)
    for name, (system, n, parameter) in systems().items():
        gathered = defaultdict(list)
        for seed in range(n_seeds):
            for (statistic, _), z in deviations(system, n, parameter, seed).items():
                gathered[statistic].append(z)
        print(f"{name}, {n_seeds} seeds\n{'statistic':38} {'within 2':>9} {'rms':>6} {'worst':>6}")
        for statistic, z in gathered.items():
            size = np.abs(z)
            print(
                f"{statistic:38} {np.mean(size < 2):9.1%} {np.sqrt(np.mean(size**2)):6.2f} "
                f"{np.max(size):6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*(int(v) for v in sys.argv[1:]))
