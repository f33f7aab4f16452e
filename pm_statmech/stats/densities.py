r"""Densities of energies and of parameters at every rung, as plots draw them.

By ArviZ's kernel estimate; a quantity of few values has a frequency at each instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, azstats, tempering_group
from pm_statmech.errors import TreeError

# points of a density, and different values from which on there is one
N_POINTS, FEW = 256, 20
# of the draws of all rungs, that a parameter's axis shows
SHOWN = (0.005, 0.995)
# dimensions that no variable of a user's should have
PART, POINT = "density_part", "density_point"


def density(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n,) and density there (n,) of a sample; narrow spikes for a few different values."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= FEW:
        half = 0.05 * (np.min(np.diff(distinct)) if len(distinct) > 1 else 1.0)
        heights = counts / (len(values) * half)
        x = (distinct[:, None] + half * np.array([-1.0, 0.0, 1.0])).ravel()
        y = (heights[:, None] * np.array([0.0, 1.0, 0.0])).ravel()
        grid = np.unique(np.append(x, np.linspace(x[0], x[-1], N_POINTS - len(x))))
        return _to_length(grid), np.interp(_to_length(grid), x, y)
    x, y = azstats(xr.DataArray(values, dims=["draw"])).kde(dim=["draw"]).values
    grid = np.linspace(x[0], x[-1], N_POINTS)
    return grid, np.interp(grid, x, y)


def _to_length(grid: np.ndarray) -> np.ndarray:
    """Points of the grid, the last one repeated up to the common number."""
    return np.append(grid, np.full(N_POINTS - len(grid), grid[-1]))


def energy_densities(dt: DataTree, *, place: Callable | None = None) -> xr.Dataset:
    r"""Density of the energy at every rung, on a scale of the caller's.

    .. math:: p_k(u), \qquad u = \mathrm{place}(E), \quad E \sim \pi_{\beta_k}

    Parameters
    ----------
    dt
        the tree of `sample_tempered` or of `from_energies`.
    place
        increasing function of energies, by default themselves.

    Returns
    -------
    Dataset over ``inverse_temperature`` and ``density_point``
        ``position`` u, ``density`` there, of area 1 in u; ``finite_share`` over
        ``inverse_temperature``, of the draws that have a finite energy.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> from pm_statmech.stats import energy_densities
    >>> energy = np.random.default_rng(1).normal(size=(2, 500, 2))
    >>> found = energy_densities(pms.from_energies(energy, [0.0, 1.0]))
    >>> area = np.trapezoid(found["density"], found["position"], axis=1)
    >>> bool(np.all(abs(area - 1) < 0.02))
    True
    """
    group = tempering_group(dt)
    energy = group["energy"].transpose(RUNG, "chain", "draw").values.reshape(group.sizes[RUNG], -1)
    finite = np.isfinite(energy)
    rows = []
    for own, good in zip(energy, finite, strict=True):
        values = own[good] if np.any(good) else np.zeros(1)
        rows.append(density(values if place is None else place(values)))
    positions, heights = (np.array(column) for column in zip(*rows, strict=True))
    return xr.Dataset(
        {
            "position": ((RUNG, POINT), positions),
            "density": ((RUNG, POINT), heights),
            "finite_share": (RUNG, np.mean(finite, axis=1)),
        },
        coords={RUNG: group[RUNG].values},
        attrs={"target_beta": group.attrs["target_beta"]},
    )


def ladder_densities(dt: DataTree, *, var_names: Sequence[str] | None = None) -> xr.Dataset:
    """Marginal density of every parameter at every rung, inside what nearly all draws span.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
    var_names
        by default all variables.

    Returns
    -------
    Dataset over ``density_part`` ("x", "y"), ``inverse_temperature`` and ``density_point``
        for every variable, beside its own dimensions, the points, and the density there relative
        to its largest.

    Raises
    ------
    TreeError
        the draws of hotter rungs were not kept, or an unknown variable.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> from pm_statmech.stats import ladder_densities
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> ladder_densities(dt)["mu"].sel(density_part="y").max().item()
    1.0
    """
    tempering_group(dt)
    if "tempered_posterior" not in dt.children:
        raise TreeError(
            "the draws of hotter rungs were not kept: sample with keep_tempered=True to see them."
        )
    draws = dt["tempered_posterior"].dataset
    names = list(draws.data_vars) if var_names is None else list(var_names)
    unknown = sorted(set(names) - set(draws.data_vars))
    if unknown:
        raise TreeError(f"var_names: {unknown} are not among {sorted(draws.data_vars)}.")
    found = {str(name): _marginals(draws[name]) for name in names}
    attrs = {"target_beta": tempering_group(dt).attrs["target_beta"]}
    return xr.Dataset(found, attrs=attrs)


def _marginals(draws: xr.DataArray) -> xr.DataArray:
    def rows(values: np.ndarray) -> np.ndarray:
        """(K, chain, draw) -> (2, K, point), all rungs inside one range."""
        flat = values.reshape(len(values), -1)
        usable = flat[np.isfinite(flat)]
        low, high = np.quantile(usable, SHOWN) if len(usable) else (0.0, 1.0)
        high = high if high > low else low + 1.0
        found = np.zeros((2, len(flat), N_POINTS))
        for k, own in enumerate(flat):
            inside = own[(own >= low) & (own <= high)]
            found[0, k] = np.linspace(low, high, N_POINTS)
            if len(inside):
                found[:, k] = density(inside)
        found[1] /= np.maximum(np.max(found[1], axis=-1, keepdims=True), 1e-300)
        return found

    return xr.apply_ufunc(
        rows, draws.astype(float), input_core_dims=[[RUNG, "chain", "draw"]],
        output_core_dims=[[PART, RUNG, POINT]], vectorize=True,
    ).assign_coords({PART: ["x", "y"]})  # fmt: skip
