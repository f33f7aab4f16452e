"""Memory and learning: Hopfield's patterns, and a machine that learns bars and stripes.

First a Hopfield network stores three letters of 10 by 10 pixels as an Ising model, is shown one
with a third of its pixels turned, and remembers it by a few sweeps of the heat bath. Then a
restricted Boltzmann machine with six hidden units learns the fourteen bars and stripes of 3 by 3
pixels, by the exact gradient of its likelihood and by chains that stand in for it, and dreams. Run
it with ``python examples/bars_and_stripes.py``; it draws ``memory.png``.
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm

import pm_statmech as pms

LETTERS = """
..######..  ########..  .########.
.##....##.  ##....##..  ##......##
##......##  ##....##..  ##........
##......##  #######...  .#######..
##########  ########..  ........##
##########  ##....###.  ........##
##......##  ##.....##.  ........##
##......##  ##.....##.  ##......##
##......##  #########.  .########.
##......##  ########..  ..######..
"""


def letters() -> np.ndarray:
    """Patterns (3, 100) of -1 and 1."""
    rows = [line.split() for line in LETTERS.strip().splitlines()]
    return np.array(
        [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[k]] for k in range(3)]
    )


def remember(patterns: np.ndarray, cue: np.ndarray, beta: float) -> np.ndarray:
    """States after each of ten sweeps of the heat bath from a cue, at a low temperature."""
    J = patterns.T @ patterns / patterns.shape[1]
    # no likelihood is asked for here, so that any log Z will do
    memory = pms.Ising.dist(
        J - np.diag(np.diag(J)), beta=beta, log_partition=pms.log_partition.mean_field
    )
    way = pms.sample_network(
        memory, 10, tune=0, chains=1, moves=pms.heat_bath, start=cue, random_seed=1
    )
    return way.posterior["x"].values[0]


def bars_and_stripes(size: int) -> np.ndarray:
    """All different pictures (2^(size + 1) - 2, size^2) of whole columns or whole rows."""
    lines = np.array(list(product([0, 1], repeat=size)))
    bars = np.repeat(lines[:, None], size, axis=1).reshape(-1, size**2)
    stripes = np.repeat(lines[:, :, None], size, axis=2).reshape(-1, size**2)
    return np.unique(np.vstack([bars, stripes]), axis=0)


def main() -> None:
    patterns = letters()
    rng = np.random.default_rng(2)
    cue = np.where(rng.random(100) < 0.3, -1, 1) * patterns[0]
    found = remember(patterns, cue, 8.0)[-1]
    overlap = patterns @ found / 100
    print(f"the cue agrees with the first letter in {np.mean(cue == patterns[0]):.0%} of pixels,")
    print(f"what is remembered in {np.mean(found == patterns[0]):.0%}")
    v = bars_and_stripes(3)
    best = -np.log(len(v))
    fits = [pms.maximum_likelihood_layers(v, 6, random_seed=s) for s in range(5)]
    exact = max(fits, key=lambda fit: fit.log_likelihood[-1])
    chains = pms.persistent_chains_layers(v, 6, steps=20_000, rate=0.3, random_seed=1)
    print(f"log likelihood a picture: at most {best:.2f}, by the likelihood "
          f"{exact.log_likelihood[-1]:.2f}, by chains {chains.log_likelihood[-1]:.2f}")  # fmt: skip
    dreams = pm.draw(pms.RestrictedBoltzmannMachine.dist(*exact[:3], size=12), random_seed=3)
    known = {tuple(picture) for picture in v}
    print(f"{sum(tuple(d) in known for d in dreams)} of 12 dreams are bars or stripes")
    draw(patterns, cue, found, overlap, dreams)


def draw(patterns, cue, found, overlap, dreams) -> None:
    _, axes = plt.subplots(3, 6, figsize=(9, 5))
    titles = ["stored", "stored", "stored", "shown", "remembered"]
    for ax, picture, title in zip(axes[0], [*patterns, cue, found], titles, strict=False):
        ax.imshow(picture.reshape(10, 10), cmap="gray_r")
        ax.set_title(title, fontsize=9)
    axes[0, 5].barh(["S", "R", "A"], overlap[::-1], color="0.4")
    axes[0, 5].set_title("overlap", fontsize=9)
    for ax, picture in zip(axes[1:].flat, dreams, strict=True):
        ax.imshow(picture.reshape(3, 3), cmap="gray_r", vmin=0, vmax=1)
        ax.set_title("dreamt", fontsize=9)
    for ax in [*axes[0, :5], *axes[1:].flat]:
        ax.set(xticks=[], yticks=[])
    plt.tight_layout()
    plt.savefig("memory.png", dpi=120)


if __name__ == "__main__":
    main()
