r"""Signs of a first-order transition along a ladder: phases that coexist and do not mix.

- *Two phases at one rung*: the density of the energy has two peaks with a valley between them
  below 35% of the lower one.
- *Restarts vanish*: replicas carry prior draws to the target far less often than the rate

.. math:: \tau = \left(2 + 2 \sum_k \frac{r_k}{1 - r_k}\right)^{-1} \text{ a scan}

  that swap rejections r_k allow where rungs explore well (simulated, where scans are few).
- *Ladders disagree* on the energy of a rung.
- *A mode that only a search found*, which the ladder itself cannot weigh.

Sources: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), JRSS B 84(2), theorem 1, for the rate;
Binder (1987), Rep. Prog. Phys. 50, for coexisting phases.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

VALLEY = 0.35
LEAST_SHARE = 0.02
FAR_TOO_FEW = 0.1
EXPECTED = 10.0
DISAGREEING = 1.1
MOST_POINTS = 2000
BEYOND_NOISE = 4.0
LEAST_DRAWS = 200
NEGLIGIBLE_WEIGHT = 1e-3


class Transition(NamedTuple):
    """One sign of a transition: the beta where it shows, and a sentence."""

    beta: float
    sentence: str


def valley(energies: np.ndarray) -> float:
    """Depth of the deepest valley of the density of energies (n,), relative to its lower bank.

    1 where there is none beyond the noise of a density estimate, where a side holds less than 2%
    of the draws, or where energies are levels of a lattice.
    """
    finite = energies[np.isfinite(energies)]
    # energies on a lattice (integers, zero-one losses) have a gap between any two levels
    if len(finite) < 50 or len(np.unique(finite)) < len(finite) / 4:
        return 1.0
    thinned = finite[:: max(1, len(finite) // MOST_POINTS)]
    # a heavy tail must not widen the kernel over both peaks, nor be the plot
    low, high = np.quantile(thinned, [LEAST_SHARE / 2, 1 - LEAST_SHARE / 2])
    inner = thinned[(thinned >= low) & (thinned <= high)]
    if np.ptp(inner) == 0:
        return 1.0
    from scipy.stats import gaussian_kde

    grid = np.linspace(low, high, 200)
    kernel = gaussian_kde(inner)
    density = kernel(grid)
    left = np.maximum.accumulate(density)
    right = np.maximum.accumulate(density[::-1])[::-1]
    bank = np.minimum(left, right)
    # variance of a kernel estimate, f / (2 sqrt(pi) n h), for the bank and for the valley
    width = float(np.sqrt(kernel.covariance[0, 0]))
    noise = np.sqrt((bank + density) / (2 * np.sqrt(np.pi) * len(inner) * width))
    share = np.searchsorted(np.sort(inner), grid) / len(inner)
    usable = (share > LEAST_SHARE) & (share < 1 - LEAST_SHARE)
    usable &= bank - density > BEYOND_NOISE * noise
    depth = np.where(usable, density / bank, 1.0)
    return float(np.min(depth))


def expected_restarts(rejections: np.ndarray, n_scans: int) -> float:
    """Arrivals of prior draws at the target in n scans, where rungs explore well.

    Replicas that begin in place, swapped with these probabilities whatever they are: the mean
    of 16 simulations of up to 2000 scans, and the rate of the theory for the rest. A long
    ladder needs many scans before its first replica has come through.
    """
    n_rungs = len(rejections) + 1
    bounded = np.minimum(rejections, 1 - 1e-12)
    rate = 1.0 / (2.0 + 2.0 * float(np.sum(bounded / (1.0 - bounded))))
    rng = np.random.default_rng(0)
    from_prior = np.zeros((16, n_rungs), dtype=bool)
    arrived, n_simulated = 0, min(n_scans, 2000)
    for scan in range(n_simulated):
        from_prior[:, 0] = True
        low = np.arange(scan % 2, n_rungs - 1, 2)
        swaps = rng.random((16, len(low))) >= bounded[low]
        hotter, colder = from_prior[:, low], from_prior[:, low + 1]
        from_prior[:, low] = np.where(swaps, colder, hotter)
        from_prior[:, low + 1] = np.where(swaps, hotter, colder)
        arrived += int(np.sum(from_prior[:, -1]))
        from_prior[:, -1] = False
    return arrived / 16 + (n_scans - n_simulated) * rate


def find_transitions(
    energy: np.ndarray,
    betas: np.ndarray,
    target_rung: int,
    rejections: np.ndarray,
    restarts: np.ndarray,
    r_hat: np.ndarray,
    searched_weights: np.ndarray,
) -> list[Transition]:
    """Signs of a transition in one run.

    Parameters
    ----------
    energy
        (C, n, K); betas, r_hat : (K,), R-hat of the energies, NaN for a single chain.
    target_rung, rejections, restarts
        index of the target, (K - 1,) swap rejections, (C,) arrivals of prior draws there.
    searched_weights
        weights of the modes that only a search found.
    """
    found = []
    depths = [valley(energy[..., k].ravel()) for k in range(1, len(betas))]
    deepest = int(np.argmin(depths)) if depths else 0
    if depths and depths[deepest] < VALLEY:
        beta = float(betas[deepest + 1])
        found.append(Transition(
            beta,
            f"at beta = {beta:.3g} the energy has two peaks with a valley of "
            f"{depths[deepest]:.0%} between them: two phases coexist there. Their weights are "
            "right only if states pass often; compare chains, and draw more.",
        ))  # fmt: skip
    expected = expected_restarts(rejections[:target_rung], energy.shape[1]) * len(energy)
    arrived = int(np.sum(restarts))
    if expected >= EXPECTED and arrived < FAR_TOO_FEW * expected:
        beta = float(betas[int(np.argmax(rejections[:target_rung])) + 1])
        found.append(Transition(
            beta,
            f"{arrived} prior draws reached the target where swap rejections allow "
            f"{expected:.0f}: something holds them up, most likely near beta = {beta:.3g}, where "
            "most swaps are rejected. Add rungs there with betas=, or draw more.",
        ))  # fmt: skip
    worst = int(np.argmax(np.nan_to_num(r_hat)))
    if r_hat[worst] > DISAGREEING and energy.shape[1] >= LEAST_DRAWS:
        beta = float(betas[worst])
        found.append(Transition(
            beta,
            f"independent ladders disagree on the energy at beta = {beta:.3g} (R-hat "
            f"{r_hat[worst]:.2f}): each sits in a phase of its own. Draw more, or add rungs "
            "below with betas=.",
        ))  # fmt: skip
    heavy = searched_weights[searched_weights > NEGLIGIBLE_WEIGHT]
    if len(heavy) > 0:
        beta = float(betas[target_rung])
        found.append(Transition(
            beta,
            f"modes with weights {', '.join(f'{w:.2g}' for w in heavy)} at beta = {beta:.3g} were "
            "found by a search only: no particle that "
            "started at the prior reached them. Bridges weigh them; the ladder cannot, and others "
            "may be hidden as well. Start chains where you suspect them with initvals=.",
        ))  # fmt: skip
    return found
