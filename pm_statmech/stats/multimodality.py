r"""Separate modes of the target: how heavy, how sure, how often found anew.

.. math:: \text{weight of mode } m = Z_m / Z

by bridges to the references of the modes where `log_evidence` trusts them; else by the share of
the draws in the mode, whose error is that of the mean of an indicator.

Source: Meng and Wong (1996), Statistica Sinica 6.
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import reference_group
from pm_statmech.errors import ConvergenceWarning, TreeError
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.combination import log_evidence


def entries(inside: np.ndarray) -> np.ndarray:
    """How often draws (chain, draw, M) enter each mode from another: (M,)."""
    return np.sum(inside[:, 1:] & ~inside[:, :-1], axis=(0, 1))


def independent_entries(inside: np.ndarray) -> np.ndarray:
    r"""Entries into each mode (M,) that are worth an independent one.

    .. math:: \min\left(\text{entries},\; p_m\, \mathrm{ESS}_m\right), \qquad
              \mathrm{ESS}_m = p_m (1 - p_m) / \mathrm{mcse}(p_m)^2

    of the indicator (chain, draw, M). Swaps back and forth between the same two states are many
    entries and few independent ones; chains that sit in a mode each are none.
    """
    p = np.mean(inside, axis=(0, 1))
    error = mcse_of_mean(inside.astype(np.float64))
    # a mode with no draws, or all of them, has an indicator that does not vary
    size = p * (1 - p) / np.where(error > 0, error, np.inf) ** 2
    return np.minimum(entries(inside), p * size)


def positions(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean of values (chain, draw, ...) in each mode (M, ...), and its error.

    .. math:: \bar x_m = \frac{\sum_n I_{nm} x_n}{\sum_n I_{nm}}, \qquad
              \delta \bar x_m = \frac{1}{p_m}\, \overline{I_m (x - \bar x_m)}

    NaN for a mode without draws.
    """
    flat = values.reshape(*values.shape[:2], -1).astype(np.float64)
    n_modes = inside.shape[2]
    means, errors = np.full((2, n_modes, flat.shape[2]), np.nan)
    for m in range(n_modes):
        here = inside[..., m]
        if np.any(here):
            means[m] = np.mean(flat[here], axis=0)
            errors[m] = mcse_of_mean((flat - means[m]) * (here / np.mean(here))[..., None])
    shape = (n_modes, *values.shape[2:])
    return means.reshape(shape), errors.reshape(shape)


def modes(dt: DataTree) -> xr.Dataset:
    r"""Separate modes of the target: weights, how often the run entered each, and where they are.

    .. math:: w_m = Z_m / Z, \qquad Z_m = \int_{A_m} \pi_0\, e^{-\beta_* E}

    over the region A_m of mode m. Only modes that the pilot or its search saw are here: what no
    draw saw, no statistic reports.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset over ``mode``, the heaviest of the pilot first: ``weight`` and ``weight_mcse``;
        ``share`` of the run's draws in the mode and ``share_mcse``; ``entries`` from another
        mode, and ``independent_entries``, those that autocorrelation leaves (NaN with one mode,
        where there is nothing to enter); for each variable of the posterior its mean in the
        mode, ``{variable}_mean`` and ``{variable}_mean_mcse``. The attribute ``method`` is
        "bridges", "counts" or "one mode", which has weight 1 with error 0.

    Raises
    ------
    TreeError
        no references were fitted, so that modes are not told apart.

    Warns
    -----
    ConvergenceWarning
        weights are counts, and a mode that the pilot found has none of the draws, or all: its
        weight then has no error.

    Notes
    -----
    Bridged weights do not hang on how many draws found a mode, counts do: with fewer than some
    ten independent entries a count is not to be believed. Source: Meng and Wong (1996).

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.gaussian_mixture(dimension=2, separation=10.0, prior_sd=5.0)
    >>> dt = pms.sample_tempered(200, tune=200, model=system.model(), random_seed=1, quiet=True)
    >>> pms.modes(dt)["weight"].round(2).values.tolist()
    [0.7, 0.3]
    """
    group = reference_group(dt)
    if group is None:
        raise TreeError(
            "no references were fitted to this run (more than 200 dimensions, variables that "
            "are not continuous, or too few particles), so that modes are not told apart. "
            "Compare the posteriors of the chains instead, as verdict does."
        )
    label = group["mode"].transpose("chain", "draw").values
    n_modes = group["reference_log_ratio"].shape[-2]
    inside = label[..., None] == np.arange(n_modes)
    share, share_error = np.mean(inside, axis=(0, 1)), mcse_of_mean(inside.astype(np.float64))
    weight, weight_error, method = share, share_error, "one mode"
    if n_modes > 1:
        bridged = log_evidence(dt)
        if "mode_weight" in bridged:
            weight, weight_error = (
                bridged[name].values for name in ("mode_weight", "mode_weight_mcse")
            )
            method = "bridges"
        else:
            method = "counts"
            weight_error = np.where((share > 0) & (share < 1), share_error, np.nan)
            _warn_of_unvisited(share)
    variables: dict = {
        "weight": ("mode", weight),
        "weight_mcse": ("mode", weight_error),
        "share": ("mode", share),
        "share_mcse": ("mode", share_error),
        "entries": ("mode", entries(inside)),
        "independent_entries": (
            "mode",
            independent_entries(inside) if n_modes > 1 else np.full(1, np.nan),
        ),
    }
    posterior = dt["posterior"].dataset
    for name, values in posterior.data_vars.items():
        ordered = values.transpose("chain", "draw", ...)
        # a dimension of the user's that is called mode too
        dims = ["mode_" if dim == "mode" else dim for dim in ordered.dims[2:]]
        for suffix, array in zip(
            ("mean", "mean_mcse"), positions(ordered.values, inside), strict=True
        ):
            variables[f"{name}_{suffix}"] = (("mode", *dims), array)
    own = {"chain", "draw", "mode"}
    coords = {k: v for k, v in posterior.coords.items() if k not in own and not own & set(v.dims)}
    return xr.Dataset(
        variables,
        coords={**coords, "mode": np.arange(n_modes)},
        attrs={"method": method, "target_beta": group.attrs["target_beta"]},
    )


def _warn_of_unvisited(share: np.ndarray) -> None:
    """Warn where the indicator of a mode never varies, so that a count has no error."""
    unvisited = [int(m) for m in np.flatnonzero(share == 0)]
    if unvisited:
        warnings.warn(
            f"the pilot found {len(share)} modes, and the run has no draw in {unvisited}: by "
            "counts their weight is not known. Draw more, or look at log_evidence for why its "
            "bridges are not trusted.",
            ConvergenceWarning,
            stacklevel=3,
        )
