r"""Thermodynamic length: how many distinguishable steps lie between two inverse temperatures.

.. math:: \mathcal L(\beta) = \int_{\beta_0}^{\beta} \sqrt{\mathrm{Var}_b(E)}\; db

the length of the curve of tempered distributions in the Fisher metric, in standard deviations.
For steps so small that energies are normal, the swap rejection of neighbours is
:math:`\Delta \mathcal L / \sqrt\pi`, and so is the barrier.

Source: Crooks (2007), Measuring thermodynamic length, Phys. Rev. Lett. 99, 100602.
"""

from __future__ import annotations

import itertools

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import LadderError
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.evidence import check_ladder_of
from pm_statmech.stats.pooled import KEPT_ATTRIBUTES, solve_ladder, thinning
from pm_statmech.stats.pooled_moments import MOST_BETAS, central_moments, influences

# Gauss-Legendre nodes between two rungs, and of the coarser rule that judges them
NODES, COARSE = 4, 2


def nodes_between(betas: np.ndarray, n_nodes: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    r"""Nodes and weights of the integrals between neighbouring rungs, (K - 1, n) each.

    By Gauss and Legendre in :math:`\log b`, where the integrand of a regular model is flat; next
    to beta = 0 in the square root of b, since there Var(E) may be infinite.
    """
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    u, w = 0.5 * (x + 1.0), 0.5 * w
    nodes, weights = np.empty((2, len(betas) - 1, n_nodes))
    for k, (low, high) in enumerate(itertools.pairwise(betas)):
        if low == 0:
            nodes[k], weights[k] = high * u**2, 2.0 * high * u * w
        else:
            nodes[k] = low * (high / low) ** u
            weights[k] = nodes[k] * np.log(high / low) * w
    return nodes, weights


def thermodynamic_length(dt: DataTree, *, n_rungs: int | None = None) -> xr.Dataset:
    r"""Thermodynamic length at every rung, and the ladder with rungs at equal lengths.

    .. math:: \mathcal L(\beta) = \int_{\beta_0}^{\beta} \sqrt{\mathrm{Var}_b(E)}\; db

    Parameters
    ----------
    dt
        the tree of `sample_tempered` or of `from_energies`.
    n_rungs
        of the recommended ladder, by default as many as this one has.

    Returns
    -------
    Dataset
        ``length`` and ``length_mcse`` over ``inverse_temperature``, in standard deviations of the
        energy; the error holds what half as many nodes between rungs change, which is much where
        a transition lies between two of them. ``recommended_ladder`` over ``rung``, from the first
        rung to the last in equal lengths, with the rung next to the target moved onto it.
        `exchange_statistics` recommends rungs at equal rejections, which is nearly the same where
        energies are normal.

    Raises
    ------
    LadderError
        a single rung, or fewer than two recommended ones.
    EvidenceError
        two neighbouring rungs have less than one draw in common.

    Notes
    -----
    Variances between rungs are MBAR's. Source: Crooks (2007), Phys. Rev. Lett. 99, 100602.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> rng = np.random.default_rng(1)
    >>> betas = np.array([0.0, 0.3, 0.6, 1.0])
    >>> # normal energies of variance 4, whose length is 2 beta
    >>> energy = rng.normal(-4 * betas, 2.0, size=(4, 2000, 4))
    >>> found = pms.thermodynamic_length(pms.from_energies(energy, betas))
    >>> bool(abs(found["length"][-1] - 2.0) < 5 * found["length_mcse"][-1])
    True
    """
    from scipy.interpolate import PchipInterpolator

    group = tempering_group(dt)
    betas = group[RUNG].values
    n_rungs = len(betas) if n_rungs is None else int(n_rungs)
    check_ladder_of(group)
    inside = betas[0] < group.attrs["target_beta"] < betas[-1]
    if n_rungs < 2 + inside:
        raise LadderError(
            f"n_rungs = {n_rungs}: a ladder has {2 + inside} rungs at least, its ends"
            f"{' and the target' if inside else ''}."
        )
    nodes, weights = nodes_between(betas)
    energy = group["energy"].transpose("chain", "draw", RUNG).values
    solution = solve_ladder(dt, thin=thinning(energy, nodes.size))
    at, weight = nodes.ravel(), weights.ravel()
    sd, parts = np.empty(len(at)), []
    for first in range(0, len(at), MOST_BETAS):
        own = slice(first, first + MOST_BETAS)
        found = central_moments(solution, at[own])
        sd[own] = np.sqrt(found.central[:, 0])
        # of a variance that is 0 nothing moves
        slope = np.divide(0.5 * weight[own], sd[own], out=np.zeros(len(sd[own])), where=sd[own] > 0)
        parts.append(influences(solution, at[own], found).moments[..., 1] * slope)
    shape = (*parts[0].shape[:2], *nodes.shape)
    pieces = np.sum((weight * sd).reshape(nodes.shape), axis=1)
    # how far the rule is from one of half as many nodes, in a transition between two rungs
    at, weight = (v.ravel() for v in nodes_between(betas, COARSE))
    coarse = weight * np.sqrt(central_moments(solution, at).central[:, 0])
    misfit = np.cumsum(np.abs(pieces - coarse.reshape(-1, COARSE).sum(axis=1)))
    on_pieces = np.sum(np.concatenate(parts, axis=-1).reshape(shape), axis=-1)
    length = np.append(0.0, np.cumsum(pieces))
    errors = np.hypot(mcse_of_mean(np.cumsum(on_pieces, axis=-1)), misfit)
    recommended = np.linspace(betas[0], betas[-1], n_rungs)
    if length[-1] > 0:
        # where the energy does not vary the length stands still, and has no inverse
        rising = length + np.arange(len(length)) * 1e-9 * length[-1]
        recommended = PchipInterpolator(rising, betas)(np.linspace(0.0, rising[-1], n_rungs))
        recommended[[0, -1]] = betas[[0, -1]]
    target = float(group.attrs["target_beta"])
    if n_rungs > 2 and target not in recommended:
        inner = recommended[1:-1]
        inner[
            np.argmin(np.abs(np.interp(inner, betas, length) - np.interp(target, betas, length)))
        ] = target
    return xr.Dataset(
        {
            "length": (RUNG, length),
            "length_mcse": (RUNG, np.append(0.0, errors)),
            "recommended_ladder": ("rung", recommended),
        },
        coords={RUNG: betas},
        attrs={key: group.attrs[key] for key in KEPT_ATTRIBUTES},
    )
