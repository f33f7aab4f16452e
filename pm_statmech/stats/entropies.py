r"""Entropy of the posterior, by log Z and by its draws.

.. math:: H = -\int \pi_\beta \log \pi_\beta = \log Z(\beta) + \beta U - E_\beta[\log \pi_0]
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import digamma, gammaln
from xarray import DataTree

from pm_statmech.datatree import RUNG, read_terms, tempering_group
from pm_statmech.errors import LadderError, TreeError
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.combination import log_evidence

# neighbours counted, and draws of a chain at most: each looks through all other chains
NEIGHBOURS, MOST_DRAWS = (3, 6), 20_000
# bias that is left for what the second of these changes
LEFT_OVER = 1.5
# smallest eigenvalue of the correlations of coordinates that are not sums of others
SINGULAR = 1e-12
# of the normal draws that the estimator is tried out on, and how often
REFERENCE_SEED, N_REFERENCES = 0, 3


def whitened(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Draws (chain, draw, d) with unit covariance, and the log determinant of what that divided."""
    flat = x.reshape(-1, x.shape[-1])
    covariance = np.atleast_2d(np.cov(flat.T))
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, (flat - flat.mean(axis=0)).T).T
    return white.reshape(x.shape), float(np.sum(np.log(np.diag(factor))))


def nearest_neighbour_log_density(x: np.ndarray, neighbours: tuple[int, ...]) -> np.ndarray:
    r"""Log density at every draw, from its k-th neighbour among the other chains: (K, chain, draw).

    .. math:: \log \hat p(x_i) = \psi(k) - \psi(M + 1) - \log V_d - d \log r_k(x_i)

    with M draws in the other chains, and V_d the volume of the unit ball. Draws of the same chain
    are left out, so that autocorrelation does not make neighbours.

    Parameters
    ----------
    x
        (chain, draw, d), of unit covariance or near it, from two chains or more.
    neighbours
        K numbers k.

    Notes
    -----
    Source: Kozachenko and Leonenko (1987), Problems Inform. Transmission 23; Leonenko, Pronzato,
    Savani (2008), Ann. Statist. 36, 2153-2182, for neighbours in another sample.
    """
    from scipy.spatial import cKDTree

    chains, draws, d = x.shape
    found = np.empty((len(neighbours), chains, draws))
    log_ball = 0.5 * d * np.log(np.pi) - gammaln(0.5 * d + 1.0)
    for c in range(chains):
        others = np.delete(x, c, axis=0).reshape(-1, d)
        radius = cKDTree(others).query(x[c], k=list(neighbours))[0]
        with np.errstate(divide="ignore"):
            distance = np.log(radius.T)
        mass = digamma(np.array(neighbours))[:, None] - digamma(len(others) + 1.0)
        found[:, c] = mass - log_ball - d * distance
    return found


def nearest_neighbour_entropy(x: np.ndarray) -> tuple[float, float]:
    r"""Entropy of draws (chain, draw, d) by their third neighbours, and its error.

    Less the bias that the same estimator has for as many normal draws, of which the entropy is
    known: neighbours are not near in many dimensions. The error holds, beside the Monte Carlo
    error, one and a half times what the sixth neighbours change, which is the size of the bias
    that is left where draws are not normal (gamma, lognormal and Student-t ones were tried).

    Raises
    ------
    TreeError
        equal draws in different chains.
    """
    white, log_scale = whitened(x)
    log_p = nearest_neighbour_log_density(white, NEIGHBOURS)
    if not np.all(np.isfinite(log_p)):
        raise TreeError(
            "some draws of different chains are equal, so that they have no density: the posterior "
            "has points, or a coordinate that does not move."
        )
    rng, d = np.random.default_rng(REFERENCE_SEED), x.shape[-1]
    excess = []
    for _ in range(N_REFERENCES):
        z = rng.normal(size=x.shape)
        white_z, log_scale_z = whitened(z)
        exact = -0.5 * np.sum(z**2, axis=-1) - 0.5 * d * np.log(2.0 * np.pi)
        # of the same draws, so that only the estimator's own error is left
        found = nearest_neighbour_log_density(white_z, NEIGHBOURS)
        excess.append(exact - found + log_scale_z)
    bias = np.mean(excess, axis=(0, 2, 3))
    entropies = log_scale - np.mean(log_p, axis=(1, 2)) - bias
    own, k = np.array(excess)[:, 0], NEIGHBOURS[0]
    parts = [
        float(mcse_of_mean(log_p[0])),
        # a draw is the neighbour of k others, whose errors go together; the first part has one
        np.std(own) * np.sqrt((k - 1.0 + k / N_REFERENCES) / log_p[0].size),
        LEFT_OVER * (entropies[1] - entropies[0]),
    ]
    return float(entropies[0]), float(np.sqrt(np.sum(np.square(parts))))


def _free_draws(dt: DataTree) -> tuple[np.ndarray, list[str]]:
    """Draws (chain, draw, d) of the free variables, constrained, and their names."""
    tempering_group(dt)
    if "log_prior" not in dt.children:
        raise TreeError(
            "the entropy needs the group 'log_prior', with the log prior of every free variable at "
            "its draws: sample without switching it off in idata_kwargs, and without var_names, "
            "or add it with pymc.stats.compute_log_prior(dt)."
        )
    names = list(dt["log_prior"].data_vars)
    posterior = dt["posterior"].dataset
    discrete = [v for v in names if not np.issubdtype(posterior[v].dtype, np.floating)]
    if discrete:
        raise TreeError(f"{discrete} are discrete: there is no density of all variables together.")
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    columns = [posterior[v].transpose("chain", "draw", ...).values.reshape(shape) for v in names]
    return np.concatenate(columns, axis=-1), names


def _by_identity(dt: DataTree, names: list[str]) -> tuple[float, float, str]:
    """Entropy by log Z, its error, and why it is not known, or ""."""
    group = tempering_group(dt)
    own = [t.name for t in read_terms(group.attrs) if t.kind == "distribution" and t.name in names]
    if own:
        return (
            np.nan,
            np.nan,
            f"by log Z the entropy is not known: {own} were tempered as distributions, whose log "
            "prior in the tree holds the energy as well.",
        )
    try:
        evidence = log_evidence(dt)
    except (LadderError, TreeError) as reason:
        return np.nan, np.nan, f"by log Z the entropy is not known: {reason}"
    if evidence.attrs["reference"] != "prior" or not group.attrs["prior_normalised"]:
        return (
            np.nan,
            np.nan,
            (
                "by log Z the entropy is not known: the prior may not be normalised "
                f"({group.attrs['prior_reason']}), so that its density is known up to a factor."
            ),
        )
    beta = float(group.attrs["target_beta"])
    energy = group["energy"].sel({RUNG: beta}).transpose("chain", "draw").values
    log_prior = np.zeros(energy.shape)
    for name in names:
        part = dt["log_prior"][name].transpose("chain", "draw", ...).values
        log_prior = log_prior + part.reshape(*energy.shape, -1).sum(axis=-1)
    values = beta * energy - log_prior
    error = float(np.hypot(evidence["mcse"], mcse_of_mean(values)))
    return float(evidence["log_evidence"]) + float(np.mean(values)), error, ""


def posterior_entropy(dt: DataTree) -> xr.Dataset:
    r"""Differential entropy of the posterior in nats, by log Z and from the draws alone.

    .. math:: H = \log Z(\beta) + \beta U - E_\beta[\log \pi_0], \qquad
              \hat H = -\frac1S \sum_s \log \hat p(\theta_s)

    at the target, of the free variables in their own coordinates. It depends on units: a parameter
    in metres has log 1000 nats less than in millimetres. The first is an identity; the others are
    estimates of densities, and a check of log Z.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with two chains or more, or any other with the groups
        ``posterior``, ``log_prior`` and ``loss``.

    Returns
    -------
    Dataset over ``method``
        ``entropy`` and ``mcse`` by ``log partition``, by ``nearest neighbours`` (the third, of
        whitened draws, among those of other chains), and by ``gaussian``, the entropy of a normal
        distribution with the draws' covariance, which is never smaller than the entropy itself.
        ``agreement`` in attrs is the difference of the first two in units of its error. Where log
        Z is not known, or relative to a prior that is not normalised, the first is NaN and
        ``note`` in attrs says why.

    Raises
    ------
    TreeError
        no log prior, discrete variables, coordinates that depend on each other as on a simplex, or
        a single chain.

    Notes
    -----
    Nearest neighbours are biased in many dimensions: they smooth a density over the distance to a
    neighbour, by .05 nats in 5 and .8 in 20 dimensions with 8000 draws. The bias for normal draws
    is taken off, see `nearest_neighbour_entropy`. Sources as for `nearest_neighbour_log_density`;
    Cover and Thomas (2006), Elements of Information Theory, theorem 8.6.5, for the bound.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.posterior_entropy(dt)
    >>> _, sd = system.posterior(1.0)["mu"]
    >>> exact = 0.5 * np.log(2 * np.pi * np.e * sd**2)
    >>> bool(np.all(abs(found["entropy"] - exact) < 5 * found["mcse"]))
    True
    """
    group = tempering_group(dt)
    x, names = _free_draws(dt)
    if x.shape[0] < 2:
        raise TreeError("neighbours are looked for in other chains, and there is one: chains=2.")
    still = np.ptp(x.reshape(-1, x.shape[-1]), axis=0) == 0
    if np.any(still):
        raise TreeError(f"{int(np.sum(still))} of the coordinates of {names} do not move at all.")
    correlation = np.atleast_2d(np.corrcoef(x.reshape(-1, x.shape[-1]).T))
    if np.linalg.eigvalsh(correlation)[0] < SINGULAR:
        raise TreeError(
            f"some coordinates of {names} are sums of others, as those of a simplex are: there is "
            "no density of them all."
        )
    by_identity, identity_error, note = _by_identity(dt, names)
    kept = slice(None, None, max(1, x.shape[1] // MOST_DRAWS))
    by_neighbours, neighbour_error = nearest_neighbour_entropy(x[:, kept])
    white, log_scale = whitened(x)
    d = x.shape[-1]
    squares = 0.5 * np.sum(white**2, axis=-1)
    values = np.array(
        [
            by_identity,
            by_neighbours,
            0.5 * d * np.log(2.0 * np.pi * np.e) + log_scale,
        ]
    )
    errors = np.array(
        [identity_error, neighbour_error, float(mcse_of_mean(squares))]
    )  # fmt: skip
    # from the same draws, but one needs log Z and the other a density: errors as if independent
    agreement = (values[0] - values[1]) / np.hypot(errors[0], errors[1])
    return xr.Dataset(
        {"entropy": ("method", values), "mcse": ("method", errors)},
        coords={"method": ["log partition", "nearest neighbours", "gaussian"]},
        attrs={
            "target_beta": float(group.attrs["target_beta"]),
            "unit": "nats",
            "agreement": float(agreement),
            "note": note,
        },
    )
