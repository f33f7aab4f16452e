"""How strongly neighbouring pixels agree: the coupling of a labelled image.

A portrait of Grace Hopper (it comes with matplotlib) in three shades on a lattice of 40 by 33. The
coupling of a Potts model of such labels says how much more often neighbours are equal than they
would be by chance. Its normaliser cannot be computed at this size, and need not be: the exchange
step simulates instead, by clusters, and says whether its chains were long enough. Run it with
``python examples/portrait.py``; it draws ``portrait.png``.
"""

import matplotlib.cbook
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pymc as pm

import pm_statmech as pms

ROWS, COLUMNS, SHADES = 40, 33, 3
# at which a large lattice of three labels orders
CRITICAL = np.log(1 + np.sqrt(SHADES))


def load() -> np.ndarray:
    """Labels (40, 33): dark, middle and light thirds of the mean grey of blocks of pixels."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        grey = plt.imread(file, format="jpg").mean(axis=2)
    rows, columns = (size // n for size, n in zip(grey.shape, (ROWS, COLUMNS), strict=True))
    blocks = grey[: rows * ROWS, : columns * COLUMNS].reshape(ROWS, rows, COLUMNS, columns)
    means = blocks.mean(axis=(1, 3))
    return np.digitize(means, np.quantile(means, [1 / 3, 2 / 3]))


def main() -> None:
    labels = load()
    lattice = nx.grid_2d_graph(ROWS, COLUMNS)
    equal = np.mean([labels[u] == labels[v] for u, v in lattice.edges])
    with pm.Model():
        coupling = pm.HalfNormal("coupling", 1)
        pms.Potts(
            "labels", coupling, q=SHADES, graph=lattice, observed=labels,
            # nobody uses this log Z: the exchange step needs none
            log_partition=pms.log_partition.mean_field,
        )  # fmt: skip
        dt = pm.sample(
            1000, tune=500, chains=2, step=pms.ExchangeStep(sweeps=30), random_seed=1,
            progressbar=False, quiet=True,
        )  # fmt: skip
    draws = dt.posterior["coupling"]
    print(f"{equal:.0%} of neighbours are equal; by chance it would be {1 / SHADES:.0%}")
    print(
        f"coupling {float(draws.mean()):.3f} +- {float(draws.std()):.3f}; "
        f"large lattices order at {CRITICAL:.3f}"
    )
    model = pms.Potts.dist(float(draws.mean()), q=SHADES, graph=lattice)
    imagined = pms.sample_network(model, 300, thin=5, random_seed=2).posterior["x"]
    _, axes = plt.subplots(1, 3, figsize=(9, 4))
    for ax, picture, title in zip(
        axes, [labels, imagined[0, -1], imagined[1, -1]],
        ["the portrait", "what the model draws", "and again"], strict=True,
    ):  # fmt: skip
        ax.imshow(picture, cmap="gray", vmin=0, vmax=SHADES - 1)
        ax.set(title=title, xticks=[], yticks=[])
    plt.tight_layout()
    plt.savefig("portrait.png", dpi=120)


if __name__ == "__main__":
    main()
