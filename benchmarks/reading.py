"""How long it takes to read a long run: 64 rungs of 4 ladders of 2000 draws.

``python benchmarks/reading.py`` samples the diabetes regression on 64 given rungs, and times every
statistic, plot and page once it has been called before.
"""

import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

import pm_statmech as pms

N_RUNGS = 64


def run():
    X, y = load_diabetes(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    system = pms.solvable.gaussian_linear_model(X, y, noise_sd=0.5**0.5, prior_sd=1.0)
    betas = np.concatenate([[0.0], np.geomspace(3e-4, 1.0, N_RUNGS - 1)])
    return pms.sample_tempered(
        2000, tune=500, model=system.model(), betas=betas.tolist(), random_seed=1, quiet=True,
        progressbar=False, keep_tempered=True,
    )  # fmt: skip


def main() -> None:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dt = run()
    sizes = dt["tempering"].sizes
    print(f"{dict(sizes)} sampled in {time.perf_counter() - started:.0f} s")
    between = np.geomspace(1e-3, 1.0, 100).tolist()
    folder = Path(tempfile.mkdtemp())
    jobs = {
        "thermodynamics at the rungs": lambda: pms.thermodynamics(dt),
        "stepping_stone": lambda: pms.stepping_stone(dt),
        "curves at 100 betas by MBAR": lambda: pms.thermodynamics(dt, betas=between),
        "mbar": lambda: pms.mbar(dt),
        "log_evidence": lambda: pms.log_evidence(dt),
        "exchange_statistics": lambda: pms.exchange_statistics(dt),
        "thermodynamic_length": lambda: pms.thermodynamic_length(dt),
        "heat_capacity_peaks": lambda: pms.heat_capacity_peaks(dt),
        "posterior_entropy": lambda: pms.posterior_entropy(dt),
        "mutual_information": lambda: pms.mutual_information(dt),
        "beta_sensitivity": lambda: pms.beta_sensitivity(dt),
        "ladder_summary": lambda: pms.ladder_summary(dt),
        "verdict": lambda: pms.verdict(dt),
        "report": lambda: pms.report(dt, folder / "run.html"),
    }
    pms.thermodynamics(dt, betas=0.5)
    for name, job in jobs.items():
        started = time.perf_counter()
        job()
        print(f"{name:30s} {time.perf_counter() - started:6.2f} s", flush=True)
    print(f"{os.path.getsize(folder / 'run.html') / 1e6:.1f} MB of report")


if __name__ == "__main__":
    main()
