"""Coverage of pseudo-likelihood intervals, with and without the sandwich, over simulated data.

``python benchmarks/pseudo_likelihood.py [data sets]``: rings of eight strongly coupled spins in a
field, 400 rows each. Prints how often 95% intervals of couplings and fields hold the truth.
"""

import sys
from itertools import product

import networkx as nx
import numpy as np
import pymc as pm

import pm_statmech as pms
from pm_statmech.calibration.adjustment import curvatures, stretch
from pm_statmech.energy_function import layout_of

RING = nx.cycle_graph(8)
PAIRS = np.array(RING.edges)
STATES = np.array(list(product([-1, 1], repeat=8)))
N_ROWS = 400


def main(n_sets: int = 400) -> None:
    rng = np.random.default_rng(1)
    J, h = rng.uniform(0.3, 0.8, 8), rng.uniform(-0.2, 0.2, 8)
    weights = np.exp(STATES[:, PAIRS[:, 0]] * STATES[:, PAIRS[:, 1]] @ J + STATES @ h)
    p = weights / weights.sum()
    with pm.Model() as model:
        data = pm.Data("data", np.ones((N_ROWS, 8), dtype=np.int64))
        pms.PseudoIsing(
            "x", pm.Normal("J", 0, 10, shape=8), pm.Normal("h", 0, 10, shape=8), graph=RING,
            observed=data,
        )  # fmt: skip
    split = pms.tempered_model(model)
    at = curvatures(split, layout_of(split))
    truth = np.concatenate([J, h])
    naive, adjusted, off = [], [], []
    for _ in range(n_sets):
        data.set_value(STATES[rng.choice(256, size=N_ROWS, p=p)].astype("int32"))
        point = truth.copy()
        for _ in range(12):
            prior, H, gradients = at(point)
            step = np.linalg.solve(prior + H, gradients.sum(axis=0) + prior @ point)
            point = point - step
        prior, H, gradients = at(point)
        Q, V = prior + H, np.cov(gradients.T) * N_ROWS
        omega = stretch(Q, H, V, 1.0)
        inverse = np.linalg.inv(Q)
        gap = np.abs(point - truth)
        off.append(point - truth)
        naive.append(gap <= 1.96 * np.sqrt(np.diag(inverse)))
        adjusted.append(gap <= 1.96 * np.sqrt(np.diag(omega @ inverse @ omega.T)))
    for name, part in (("couplings", slice(0, 8)), ("fields", slice(8, 16))):
        rows = [100 * np.mean(np.array(v)[:, part]) for v in (naive, adjusted)]
        error = 100 * np.std(np.mean(np.array(adjusted)[:, part], axis=1)) / np.sqrt(n_sets)
        print(
            f"{name:10s} 95% intervals hold the truth: pseudo-posterior {rows[0]:.1f}%, "
            f"sandwich {rows[1]:.1f}% (+- {error:.1f})"
        )


if __name__ == "__main__":
    main(*(int(v) for v in sys.argv[1:]))
