"""Learning coefficients of singular models, against what algebra says they are.

``python benchmarks/singular.py`` prints

- the toys: energies E(a, b) on the unit square at beta = 1e12, drawn by `sample_tempered` on a
  ladder down to there, with beta U beside its exact value;
- reduced-rank regression y = B A x + noise with H = 1, ..., 6 hidden units on data of rank 3, whose
  learning coefficients Aoyagi and Watanabe (2005) found. Blocked Gibbs moves (A given B, B given A,
  both normal at every beta) draw the energies, since flat valleys of hundreds of parameters are
  beyond general moves in a benchmark's time; `from_energies` and `learning_coefficient` read them.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import numba
import numpy as np
import pymc as pm

import pm_statmech as pms

# beta U at beta = 1e12 by quadrature
TOYS = {
    "a^2 + b^2": (lambda a, b: a**2 + b**2, 1.0),
    "a^4": (lambda a, b: a**4, 0.25),
    "a^2 b^4": (lambda a, b: a**2 * b**4, 0.24988),
    "a^2 b^2": (lambda a, b: a**2 * b**2, 0.4662),
}
TOY_BETA = 1e12

# of H = 1, ..., 6 hidden units: Aoyagi and Watanabe (2005), Neural Networks 18, 924-933
COEFFICIENTS = (5.5, 10.0, 13.5, 15.0, 16.0, 17.0)
SIZE, RANK, NOISE, N, PRIOR_SD = 6, 3, 0.1, 500, 10.0


def toys(draws: int) -> int:
    print("toy           beta U   exact   errors  rungs   s")
    misses = 0
    for name, (energy, exact) in TOYS.items():
        with pm.Model():
            a, b = pm.Uniform("a"), pm.Uniform("b")
            pms.GibbsPotential("e", energy(a, b) + 0.0 * b, beta=TOY_BETA)
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dt = pms.sample_tempered(
                    draws, tune=draws, random_seed=1, quiet=True, progressbar=False
                )
        at = pms.thermodynamics(dt).isel(inverse_temperature=-1)
        found, error = (TOY_BETA * float(at[f"mean_energy{s}"]) for s in ("", "_mcse"))
        rungs = dt["tempering"].sizes["inverse_temperature"]
        misses += abs(found - exact) > 0.02
        print(
            f"{name:12s}  {found:.4f}  {exact:.4f}  {(found - exact) / error:+.1f}    {rungs:4d}"
            f"  {time.perf_counter() - started:.0f}",
            flush=True,
        )
    return misses


@numba.njit(cache=True)
def normal_columns(precision, shift):
    """Draw X (r, c) whose columns are normal, of mean P^-1 S and precision P."""
    L = np.linalg.cholesky(precision)
    noise = np.random.standard_normal(shift.shape)
    return np.linalg.solve(L.T, np.linalg.solve(L, shift) + noise)


@numba.njit(cache=True)
def gibbs(yx, R, W, energy0, A, B, beta, n_sweeps, burn):
    """Energies of n_sweeps sweeps at one beta, after burn: E = sum |y - B A x|^2 / 2 sd^2.

    With R R' = sum x x' and W = (sum y x') R'^-1 the sum is a constant and |W - B A R|^2, so that a
    sweep costs small matrices only. Given A the rows of B are independent, with one precision;
    given B the entries of A are, between the eigenvectors of B'B and of R R'.
    """
    energies = np.empty(n_sweeps)
    H = A.shape[0]
    weight, prior = beta / NOISE**2, 1.0 / PRIOR_SD**2
    d, V = np.linalg.eigh(R @ R.T)
    for sweep in range(burn + n_sweeps):
        C = A @ R
        B = np.ascontiguousarray(
            normal_columns(weight * (C @ C.T) + prior * np.eye(H), weight * (C @ W.T)).T
        )
        values, U = np.linalg.eigh(B.T @ B)
        precision = weight * np.outer(values, d) + prior
        shift = weight * (U.T @ (B.T @ yx) @ V)
        noise = np.random.standard_normal(shift.shape)
        A = U @ (shift / precision + noise / np.sqrt(precision)) @ V.T
        if sweep >= burn:
            energies[sweep - burn] = energy0 + np.sum((W - B @ (A @ R)) ** 2) / (2 * NOISE**2)
    return energies, A, B


@numba.njit(cache=True)
def seed_numba(seed):
    np.random.seed(seed)


def reduced_rank(H: int, seed: int, n_sweeps: int, chains: int):
    """Learning coefficient of H hidden units from one data set, by both forms."""
    rng = np.random.default_rng([H, seed])
    truth = rng.normal(size=(SIZE, RANK)) @ rng.normal(size=(RANK, SIZE))
    x = rng.normal(size=(N, SIZE))
    y = x @ truth.T + NOISE * rng.normal(size=(N, SIZE))
    xx, yx = x.T @ x, y.T @ x
    R = np.linalg.cholesky(xx)
    W = np.linalg.solve(R, yx.T).T
    energy0 = (np.sum(y**2) - np.sum(W**2)) / (2 * NOISE**2)
    centre = 1.0 / np.log(N)
    betas = np.array([centre / 1.6, centre, 1.6 * centre])
    energy = np.empty((chains, n_sweeps, len(betas)))
    seed_numba(1000 * H + seed)
    for c in range(chains):
        A, B = rng.normal(size=(H, SIZE)), rng.normal(size=(SIZE, H))
        for k, beta in enumerate(betas):
            energy[c, :, k], A, B = gibbs(yx, R, W, energy0, A, B, beta, n_sweeps, n_sweeps // 4)
    dt = pms.from_energies(energy, betas, n_observations=N, prior_normalised=False)
    return pms.learning_coefficient(dt)


def rank_regression(n_sets: int, n_sweeps: int, chains: int) -> int:
    print(
        f"\n H   exact   two temperatures   heat capacity   (means of {n_sets} data sets, and the"
    )
    print("             scatter between them; in brackets the Monte Carlo error of one)   s")
    misses = 0
    for H, exact in enumerate(COEFFICIENTS, start=1):
        started = time.perf_counter()
        rows = [reduced_rank(H, seed, n_sweeps, chains) for seed in range(n_sets)]
        values = np.array([row["learning_coefficient"].values for row in rows])
        errors = np.array([row["mcse"].values for row in rows])
        mean, scatter = values.mean(axis=0), values.std(axis=0, ddof=1)
        misses += abs(mean[0] - exact) > 0.6
        told = "   ".join(
            f"{m:6.2f} +- {s:.2f} ({e:.2f})"
            for m, s, e in zip(mean, scatter, errors.mean(axis=0), strict=True)
        )
        print(f"{H:2d}  {exact:6.1f}   {told}   {time.perf_counter() - started:.0f}", flush=True)
    return misses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000, help="of the toys, in each of 4 ladders")
    parser.add_argument("--sets", type=int, default=8, help="data sets of the regression")
    parser.add_argument("--sweeps", type=int, default=4000, help="in each of 4 chains")
    options = parser.parse_args()
    missed = toys(options.draws) + rank_regression(options.sets, options.sweeps, 4)
    print(f"\n{missed} of {len(TOYS) + len(COEFFICIENTS)} are further off than their bars")
    return missed


if __name__ == "__main__":
    sys.exit(main())
