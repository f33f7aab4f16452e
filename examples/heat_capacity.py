"""A phase transition in one call: the heat capacity of the square lattice of spins.

One run of parallel tempering, from beta = 0 to 0.6, moves the spins of a lattice on every rung by
clusters and by the heat bath, and gives heat capacity, energy and entropy at any temperature
between. Beside it stand the exact values of the same finite lattice (Kaufman) and of the infinite
one (Onsager), whose heat capacity is infinite at log(1 + sqrt 2) / 2 = 0.4407. Run it with
``python examples/heat_capacity.py``; it draws ``heat_capacity.png``.
"""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pymc as pm

import pm_statmech as pms
from pm_statmech.solvable import ONSAGER_BETA, ising_torus, onsager

COLDEST = 0.6
BETAS = np.linspace(0.02, COLDEST, 117)


def scan(size: int, draws: int):
    """Thermodynamics of a lattice of size x size spins, and how far its log Z is to be believed."""
    with pm.Model():
        pms.Ising("spins", 1.0, graph=nx.grid_2d_graph(size, size, periodic=True), beta=COLDEST)
        dt = pms.sample_tempered(
            draws, tune=draws // 2, tempered=["spins"], random_seed=1, progressbar=False,
            quiet=True, idata_kwargs={"log_prior": False},
        )  # fmt: skip
    return dt, pms.thermodynamics(dt, betas=BETAS)


def main() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    for size, draws, colour in ((8, 1000, "C0"), (24, 300, "C1")):
        dt, found = scan(size, draws)
        n, system = size**2, ising_torus(size, size)
        exact = np.array([system.heat_capacity(beta) for beta in BETAS])
        z = (found["heat_capacity"] - exact) / found["heat_capacity_mcse"]
        peak = int(np.argmax(found["heat_capacity"].values))
        evidence = pms.log_evidence(dt)
        print(
            f"{size} x {size}: {dt['tempering'].sizes['inverse_temperature']} rungs; the heat "
            f"capacity peaks at beta = {BETAS[peak]:.3f}, exactly {BETAS[exact.argmax()]:.3f}; "
            f"{np.mean(np.abs(z) < 2):.0%} of the curve is within two errors"
        )
        # a probability has log Z(0) = 0; counted by states it is n log 2
        print(
            f"  log Z = {float(evidence['log_evidence']) + n * np.log(2):.2f} "
            f"+- {float(evidence['mcse']):.2f}, "
            f"exactly {system.log_partition(COLDEST) + n * np.log(2):.2f}"
        )
        for ax, name, sign in (
            (left, "heat_capacity", 1), (right, "relative_entropy", -1),
        ):  # fmt: skip
            values = sign * found[name].values / n + (np.log(2) if sign < 0 else 0.0)
            errors = found[f"{name}_mcse"].values / n
            ax.fill_between(
                BETAS, values - 2 * errors, values + 2 * errors, color=colour, alpha=0.35, lw=0
            )
            ax.plot(BETAS, values, color=colour, lw=1, label=f"{size} x {size}, sampled")
        left.plot(
            BETAS[::4], exact[::4] / n, ".", color=colour, ms=5, label=f"{size} x {size}, exact"
        )
        entropy = [np.log(2) - system.relative_entropy(beta) / n for beta in BETAS[::4]]
        right.plot(BETAS[::4], entropy, ".", color=colour, ms=5, label=f"{size} x {size}, exact")
    infinite = [onsager(beta).heat_capacity for beta in BETAS]
    left.plot(BETAS, infinite, "k--", lw=0.8, label="infinite, Onsager")
    for ax in (left, right):
        ax.axvline(ONSAGER_BETA, color="0.7", lw=0.8, zorder=0)
        ax.set(xlabel="inverse temperature")
        ax.legend(frameon=False, fontsize=8)
    left.set(ylabel="heat capacity of a spin", ylim=(0, 2.6))
    right.set(ylabel="entropy of a spin, nats")
    figure.tight_layout()
    figure.savefig("heat_capacity.png", dpi=120)


if __name__ == "__main__":
    main()
