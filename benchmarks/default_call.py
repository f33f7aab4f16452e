"""The default call on problems with exact answers, next to PyMC's own SMC in the same run.

``make bench`` prints, for each problem: the share of seeds whose log Z lies within two reported
errors, the root mean square error, the mean reported error, CPU seconds without compilation, and
T = seconds x (rms error / 0.1)^2, the time to reach an error of 0.1, with its ratio to
``pm.sample_smc``. Seeds: ``python benchmarks/default_call.py 50``.
"""

import logging
import sys
import time
import warnings

import numpy as np
import pymc as pm
from sklearn.datasets import load_diabetes

import pm_statmech as pms

OFF = {"log_likelihood": False, "log_prior": False}


def problems() -> list[pms.solvable.SolvableSystem]:
    X, y = load_diabetes(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (y - y.mean()) / y.std()
    rng = np.random.default_rng(0)
    data = rng.normal(1.0, 2.0, size=50)
    return [
        pms.solvable.conjugate_normal(data, sigma=2.0, prior_sd=10.0),
        pms.solvable.gaussian_linear_model(X, y, noise_sd=np.sqrt(0.5), prior_sd=1.0),
        pms.solvable.beta_bernoulli(70, 30),
        pms.solvable.gaussian_mixture(dimension=10),
    ]


def own(system, seed):
    dt = pms.sample_tempered(
        model=system.model(), random_seed=seed, quiet=True, keep_tempered=False, idata_kwargs=OFF
    )
    found = pms.stepping_stone(dt)
    return float(found["log_evidence"]), float(found["mcse"])


def smc(system, seed):
    with system.model() as model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if model.observed_RVs:
            trace = pm.sample_smc(
                2000, chains=4, cores=1, random_seed=seed, progressbar=False,
                compute_convergence_checks=False,
            )  # fmt: skip
        else:
            return np.nan, np.nan
    # one ragged list of stages a chain; the last finite entry is the evidence
    stages = trace["sample_stats"]["log_marginal_likelihood"].values
    chains = [np.concatenate([np.atleast_1d(np.asarray(v, dtype=float)) for v in row])
              for row in stages]  # fmt: skip
    last = np.array([chain[np.isfinite(chain)][-1] for chain in chains])
    return float(np.mean(last)), float(np.std(last) / np.sqrt(len(last)))


def measure(method, system, seeds):
    """Errors and CPU seconds of a method over seeds, after one run that only compiles."""
    truth = system.log_partition(1.0)
    method(system, 10_000)
    rows = []
    for seed in range(seeds):
        start = time.process_time()
        value, error = method(system, seed)
        rows.append((value - truth, error, time.process_time() - start))
    return np.array(rows).T


def main() -> None:
    logging.getLogger("pymc").setLevel(logging.ERROR)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{seeds} seeds; seconds are CPU seconds, most of them model building and tracing")
    print(
        f"{'problem':24} {'method':16} {'in 2 se':>8} {'rms':>8} {'reported':>9} {'s':>7} {'T':>9}"
    )
    for system in problems():
        times = {}
        for name, method in (("sample_tempered", own), ("pm.sample_smc", smc)):
            if name == "pm.sample_smc" and not system.model().observed_RVs:
                continue
            error, reported, seconds = measure(method, system, seeds)
            rms = np.sqrt(np.mean(error**2))
            times[name] = np.mean(seconds) * (rms / 0.1) ** 2
            print(
                f"{system.name:24} {name:16} {np.mean(np.abs(error) < 2 * reported):8.0%} "
                f"{rms:8.4f} {np.mean(reported):9.4f} {np.mean(seconds):7.2f} {times[name]:9.4f}"
            )
        if len(times) == 2:
            ratio = times["pm.sample_smc"] / times["sample_tempered"]
            print(f"{'':24} T(pm.sample_smc) / T(sample_tempered) = {ratio:.2f}")


if __name__ == "__main__":
    main()
