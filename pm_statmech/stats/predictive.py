r"""Leave-one-out at any beta: weights from the tempered values, evaluation at power one.

Draws of pi_beta become draws without observation i by the weights

.. math:: w_i(\theta) \propto e^{+\beta\, \ell_i(\theta)}

smoothed by their Pareto tail. With a likelihood (:math:`\ell_i = -\log p(y_i|\theta)`) the score
is the log predictive density at power one; with a loss it is the expected loss in its unit.

Source: Vehtari, Gelman, Gabry (2017), Stat. Comput. 27; Vehtari et al. (2024), JMLR 25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree import TermInfo, azstats, read_terms
from pm_statmech.errors import TreeError
from pm_statmech.stats.averages import SAMPLE_DIMS, mcse_of_mean

# values in a tail below which there is no distribution to fit to it
FEWEST_VALUES = 10

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData


class ExpectedLoss(NamedTuple):
    """Expected out-of-sample loss of a new data set of the same size, by leave-one-out.

    `loss` is the sum over observations of E[loss_i | data without i], in `unit`; `se` its
    standard error over observations and `mcse` its Monte Carlo error over draws; `optimism` is
    how much the in-sample loss lies below it.
    """

    loss: float
    se: float
    mcse: float
    optimism: float
    unit: str
    n_data_points: int
    loss_i: xr.DataArray
    pareto_k: xr.DataArray

    def __str__(self) -> str:
        share = float(np.mean(self.pareto_k > 0.7))
        return (
            f"expected out-of-sample loss {self.loss:.2f} +- {self.se:.2f} (unit {self.unit}) over "
            f"{self.n_data_points} observations, optimism {self.optimism:.2f}, "
            f"{share:.0%} of Pareto k above 0.7"
        )

    def __repr__(self) -> str:
        return str(self)


def _term(dt: DataTree, var_name: str | None) -> tuple[TermInfo, float]:
    if not isinstance(dt, DataTree) or "loss" not in dt.children:
        raise TreeError(
            "leave-one-out needs the group 'loss', the pointwise losses free of beta. Add it "
            "with dt = pm_statmech.compute_loss(dt, model)."
        )
    attrs = dt["loss"].attrs
    terms = {t.name: t for t in read_terms(attrs) if t.n_observations > 0}
    if var_name is None:
        if len(terms) != 1:
            raise TreeError(f"there are several terms, {sorted(terms)}: name one by var_name=.")
        var_name = next(iter(terms))
    if var_name not in terms:
        raise TreeError(f"var_name={var_name!r} is not a tempered term; there are {sorted(terms)}.")
    return terms[var_name], float(attrs["target_beta"])


def _relative_efficiency(dt: DataTree) -> float:
    posterior = dt["posterior"].dataset
    if posterior.sizes["chain"] == 1:
        return 1.0
    sizes = [azstats(v).ess(method="mean", sample_dims=SAMPLE_DIMS).mean() for v in
             posterior.data_vars.values() if np.all(np.ptp(v.values, axis=(0, 1)) > 0)]  # fmt: skip
    return float(np.mean(sizes)) / (posterior.sizes["chain"] * posterior.sizes["draw"])


def left_out_weights(
    log_density: xr.DataArray, efficiency: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Pareto-smoothed log weights of leaving out what adds `log_density`, and the tail's k.

    An observation whose weights have a few values for a tail (a 0-1 loss, states of a network)
    keeps its raw ones, k = 0.
    """
    n_draws = log_density.sizes["chain"] * log_density.sizes["draw"]
    if n_draws < 25:
        raise TreeError(
            f"leave-one-out from {n_draws} draws has no tail to smooth: draw at least 25."
        )
    lowest = np.sort(log_density.stack(all_draws=SAMPLE_DIMS).values, axis=-1)
    tail = lowest[..., : max(6, n_draws // 10 + 1)]
    tied = 1 + np.sum(np.diff(tail, axis=-1) > 0, axis=-1) < FEWEST_VALUES
    if not np.any(tied):
        return azstats(log_density).psislw(r_eff=efficiency, dim=SAMPLE_DIMS)
    dims = [dim for dim in log_density.dims if dim not in SAMPLE_DIMS]
    ties = xr.DataArray(tied, dims=dims)
    # noise far below any weight that matters only breaks the ties for the smoothing
    spread = np.linspace(0.0, 1e-9, n_draws).reshape(
        log_density.sizes["chain"], log_density.sizes["draw"]
    )
    jitter = xr.DataArray(spread, dims=SAMPLE_DIMS)
    smoothed, k = azstats(log_density + jitter).psislw(r_eff=efficiency, dim=SAMPLE_DIMS)
    raw = -log_density - xr.apply_ufunc(
        logsumexp, -log_density, input_core_dims=[SAMPLE_DIMS], kwargs={"axis": (-2, -1)}
    )
    return xr.where(ties, raw, smoothed), xr.where(ties, 0.0, k)


def _mcse(influence: xr.DataArray) -> float:
    """Monte Carlo error of a sum over observations, from each draw's influence on its terms."""
    total = influence.sum([dim for dim in influence.dims if dim not in SAMPLE_DIMS])
    values = total.transpose(*SAMPLE_DIMS).values * total.size
    return float(mcse_of_mean(values[..., None])[0])


def loo(dt: DataTree, *, var_name: str | None = None) -> ELPDData | ExpectedLoss:
    r"""Leave-one-out predictive accuracy of a tempered posterior.

    .. math:: \widehat{\mathrm{elpd}} = \sum_i \log \sum_s \tilde w_{is}\, p(y_i|\theta_s),
              \qquad \widehat{L} = \sum_i \sum_s \tilde w_{is}\, \ell_i(\theta_s)

    Parameters
    ----------
    dt
        tree with the groups ``posterior`` and ``loss`` (see `compute_loss`).
    var_name
        the term, where there are several.

    Returns
    -------
    ELPDData of ArviZ for a likelihood, at power one, to be compared across models and betas;
    ExpectedLoss for a loss, in its unit. Either has ``mcse``, the Monte Carlo error over draws,
    beside ``se``, the standard error over observations.

    Raises
    ------
    TreeError
        the tree has no pointwise losses, or several terms and no name.

    Notes
    -----
    ``az.loo`` on tempered values ranks beta, not models. Source: Vehtari, Gelman, Gabry (2017).

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0, 2.5], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pms.loo(dt).kind
    'loo'
    """
    import arviz_stats

    term, target = _term(dt, var_name)
    loss = dt["loss"].dataset[term.name]
    observed_dims = [dim for dim in loss.dims if dim not in SAMPLE_DIMS]
    if not observed_dims:
        raise TreeError(f"{term.name} has a single observation, so there is none to leave out.")
    # psislw takes the log density an observation adds, and negates it to leave it out
    power = target * term.ratio
    tempered = -power * loss
    log_weights, pareto_k = left_out_weights(tempered, _relative_efficiency(dt))
    weights: xr.DataArray = xr.DataArray(np.exp(log_weights - log_weights.max(SAMPLE_DIMS)))
    weights = weights / weights.sum(SAMPLE_DIMS)
    if term.kind == "likelihood":
        if power != 1.0:
            # away from power one the sum of w_i p_i has a tail of its own, p_i^(1 - power)
            _, score_k = azstats((power - 1.0) * -loss).psislw(dim=SAMPLE_DIMS)
            pareto_k = np.maximum(pareto_k, score_k)
        found = arviz_stats.loo(
            dt, var_name=term.name, pointwise=True, log_weights=log_weights, pareto_k=pareto_k
        )
        # relative to its largest value, so that no density underflows
        score = np.exp(loss.min(SAMPLE_DIMS) - loss)
        found.mcse = _mcse(weights * score / (weights * score).sum(SAMPLE_DIMS) - weights)
        return found
    loss_i = (weights * loss).sum(SAMPLE_DIMS)
    n = int(loss_i.size)
    in_sample = float(loss.mean(SAMPLE_DIMS).sum())
    return ExpectedLoss(
        loss=float(loss_i.sum()),
        se=float(np.sqrt(n * np.var(loss_i.values, ddof=1))) if n > 1 else np.nan,
        mcse=_mcse(weights * (loss - loss_i)),
        optimism=float(loss_i.sum()) - in_sample,
        unit=term.unit,
        n_data_points=n,
        loss_i=loss_i,
        pareto_k=pareto_k,
    )
