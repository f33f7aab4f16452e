r"""Information in draws: entropy of discrete variables, and mutual information of parameters.

.. math:: H(x) = -\sum_v p_v \log p_v, \qquad
          I(x, y) = \int p(x, y) \log \frac{p(x, y)}{p(x)\, p(y)}
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import digamma, ndtri
from xarray import DataTree

from pm_statmech.errors import TreeError
from pm_statmech.stats.averages import SAMPLE_DIMS, mcse_of_mean

# neighbours counted, and parameters whose pairs are looked at
NEIGHBOURS, MOST_PARAMETERS = (3, 6), 60
# of the error, for neighbours in common
SHARED = 1.1
# of a discrete variable, whose indicators are held together
VALUES_AT_A_TIME = 100
# different integers, from which on they are spread over the unit between them
MANY, SPREAD_SEED = 20, 0
# relative gap between a distance and one that is smaller beyond rounding
CLOSER = 1e-9


def plug_in_entropy(x: np.ndarray) -> tuple[float, float, int]:
    r"""Entropy of a discrete sample (chain, draw), its error, and how many values were seen.

    .. math:: \hat H = -\sum_v \hat p_v \log \hat p_v + \frac{K - 1}{2 N_{eff}}

    for K values seen; with the effective size of the indicator of each, since draws that repeat
    themselves see fewer values than as many independent ones. The error holds, beside the Monte
    Carlo error, this bias, and how far `unseen_entropy` is, which allows for values that no draw
    took: much where values are as many as draws.

    Source: Miller (1955), Note on the bias of information estimates, for the second term.
    """
    values, index = np.unique(x, return_inverse=True)
    index = index.reshape(x.shape)
    counts = np.bincount(index.ravel())
    if len(values) == 1:
        # another value may have the probability of one draw
        return 0.0, float(np.log(x.size) / x.size), 1
    p = counts / x.size
    surprise = -np.log(p)[index]
    # each p_v contributes Var(p_v) / (2 p_v), which adds up to (K - 1) / 2N for independent draws
    variance = np.empty(len(values))
    for first in range(0, len(values), VALUES_AT_A_TIME):
        some = np.arange(first, min(first + VALUES_AT_A_TIME, len(values)))
        variance[some] = mcse_of_mean((index[..., None] == some).astype(np.float64)) ** 2
    bias = float(np.sum(variance / (2 * p)))
    found = float(np.mean(surprise)) + bias
    parts = [float(mcse_of_mean(surprise)), bias, unseen_entropy(counts) - found]
    return found, float(np.sqrt(np.sum(np.square(parts)))), len(values)


def unseen_entropy(counts: np.ndarray) -> float:
    r"""Entropy from counts (K,), values that were not seen allowed for by those seen once.

    .. math:: \hat H = -\sum_v \frac{C \hat p_v \log(C \hat p_v)}{1 - (1 - C \hat p_v)^N},
              \qquad C = 1 - f_1 / N

    Source: Chao and Shen (2003), Environmental and Ecological Statistics 10, 429-443.
    """
    n = np.sum(counts)
    # where every value was seen once, as if one of them had been seen twice
    once = min(np.sum(counts == 1), n - 1)
    p = (1.0 - once / n) * counts / n
    return float(-np.sum(p * np.log(p) / -np.expm1(n * np.log1p(-p))))


def discrete_entropy(dt: DataTree, *, var_names: Sequence[str] | None = None) -> xr.Dataset:
    r"""Shannon entropy of each discrete variable of the posterior, entry by entry, in nats.

    .. math:: H = -\sum_v p_v \log p_v

    Parameters
    ----------
    dt
        a tree with a group ``posterior``.
    var_names
        integer or boolean variables, by default all there are.

    Returns
    -------
    Dataset
        for every variable, in its own dimensions, its entropy, ``{name}_mcse``, and
        ``{name}_values``, how many values were seen: no draw counts for those that were not.

    Raises
    ------
    TreeError
        no discrete variable, a continuous one, or no posterior.

    Notes
    -----
    Of each entry alone: the entropy of all together is smaller by what they say of each other, see
    `mutual_information`.

    Examples
    --------
    >>> import numpy as np, xarray as xr, pm_statmech as pms
    >>> k = np.random.default_rng(1).integers(0, 4, size=(4, 1000))
    >>> dt = xr.DataTree.from_dict({"/posterior": xr.Dataset({"k": (("chain", "draw"), k)})})
    >>> round(float(pms.discrete_entropy(dt)["k"]), 2)  # of four equal values: log 4
    1.39
    """
    posterior = _posterior(dt)
    discrete = [str(v) for v in posterior.data_vars if posterior[v].dtype.kind in "iub"]
    names = discrete if var_names is None else list(var_names)
    wrong = sorted(set(names) - set(discrete))
    if wrong or not names:
        raise TreeError(
            f"{wrong or 'all variables'} are not discrete variables of this posterior, which are "
            f"{discrete}. Of continuous ones see posterior_entropy."
        )
    found = {}
    for name in names:
        values = posterior[name].transpose("chain", "draw", ...)
        flat = values.values.reshape(*values.shape[:2], -1)
        rows = [plug_in_entropy(flat[..., j]) for j in range(flat.shape[2])]
        columns = np.array(rows, dtype=np.float64).reshape(*values.shape[2:], 3)
        like = values.isel(chain=0, draw=0, drop=True)
        for k, suffix in enumerate(("", "_mcse", "_values")):
            found[f"{name}{suffix}"] = like.copy(data=columns[..., k])
    return xr.Dataset(found, attrs={"unit": "nats"})


def neighbour_information(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Terms whose mean is the mutual information of two variables (chain, draw).

    By third and sixth neighbours: (2, chain, draw).

    .. math:: \psi(k_i) + \psi(M + 1) - \psi(n_{x,i} + 1) - \psi(n_{y,i} + 1)

    with the M draws of the other chains: the distance to the k-th nearest of them in the plane, in
    the larger of both coordinates, and how many lie closer in each. Where the k-th lies at
    distance 0, as those of discrete variables do, all at distance 0 are counted, and no 1 is
    added. Draws of the same chain are left out, so that autocorrelation makes no neighbours.

    Sources: Kraskov, Stoegbauer, Grassberger (2004), Phys. Rev. E 69, 066138, first estimator;
    Gao, Kannan, Oh, Viswanath (2017), NeurIPS 30, for mixtures of discrete and continuous.
    """
    from scipy.spatial import cKDTree

    terms = np.empty((len(NEIGHBOURS), *x.shape))
    for c in range(len(x)):
        others = np.stack([np.delete(v, c, axis=0).ravel() for v in (x, y)], axis=-1)
        tree, here = cKDTree(others), np.stack([x[c], y[c]], axis=-1)
        ordered = np.sort(others, axis=0)
        radii = tree.query(here, k=list(NEIGHBOURS), p=np.inf)[0].T
        for j, (neighbour, radius) in enumerate(zip(NEIGHBOURS, radii, strict=True)):
            apart = radius > 0
            # strictly closer where points are apart, whatever the rounding; else at the same place
            inside = radius * (1.0 - CLOSER)
            near_x, near_y = (
                np.searchsorted(ordered[:, i], here[:, i] + inside, side="right")
                - np.searchsorted(ordered[:, i], here[:, i] - inside, side="left")
                for i in (0, 1)
            )
            k = np.full(len(here), float(neighbour))
            if not np.all(apart):
                k[~apart] = tree.query_ball_point(here[~apart], 0.0, p=np.inf, return_length=True)
            terms[j, c] = (
                digamma(k)
                + digamma(len(others) + apart)
                - digamma(near_x + apart)
                - digamma(near_y + apart)
            )
    return terms


def information_with_error(terms: np.ndarray) -> tuple[float, float]:
    r"""Mutual information from the terms of `neighbour_information`, and its error.

    The error holds, beside the Monte Carlo error of the terms, a tenth of it for neighbours that
    draws have in common (normal pairs of correlations 0 to .99 were tried), and what the sixth
    neighbours change, which is the size of the bias.
    """
    third, sixth = np.mean(terms, axis=(1, 2))
    return float(third), float(np.hypot(SHARED * mcse_of_mean(terms[0]), third - sixth))


def mutual_information(dt: DataTree, *, var_names: Sequence[str] | None = None) -> xr.Dataset:
    r"""Mutual information of every pair of parameters of the posterior, in nats.

    .. math:: I(x, y) = \int p(x, y) \log \frac{p(x, y)}{p(x)\, p(y)} \ge 0

    How much knowing one parameter says of another, whatever the shape of their dependence; for
    normal parameters of correlation r it is :math:`-\tfrac12 \log(1 - r^2)`.

    Parameters
    ----------
    dt
        a tree with a group ``posterior`` of two chains or more.
    var_names
        by default all variables; discrete ones may be among them.

    Returns
    -------
    Dataset over ``parameter`` and ``other``
        ``mutual_information`` and ``mcse``, with zeros on the diagonal, where nothing is estimated;
        ``correlation``, the coefficient of a normal pair with as much information,
        :math:`\sqrt{1 - e^{-2I}}`.

    Raises
    ------
    TreeError
        a single chain, unknown variables, draws that are not finite, fewer than two parameters or
        more than sixty.

    Notes
    -----
    Continuous parameters are first replaced by the normal scores of their ranks, and integers of
    more than twenty values spread over the unit above each, which changes no information.
    Estimates may fall below 0 by their error. Draws that repeat each other exactly, as those of a
    Metropolis sampler do, count as points without a density, and lower the estimate. Sources
    as for `neighbour_information`.

    Examples
    --------
    >>> import numpy as np, xarray as xr, pm_statmech as pms
    >>> x = np.random.default_rng(1).normal(size=(4, 1000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    >>> dt = xr.DataTree.from_dict({"/posterior": xr.Dataset({"b": (("chain", "draw", "k"), x)})})
    >>> found = pms.mutual_information(dt)
    >>> exact = -0.5 * np.log(1 - 0.8**2)
    >>> bool(abs(found["mutual_information"][0, 1] - exact) < 5 * found["mcse"][0, 1])
    True
    """
    posterior = _posterior(dt)
    known = [str(name) for name in posterior.data_vars]
    names = known if var_names is None else list(var_names)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TreeError(f"var_names: {unknown} are not among {sorted(known)}.")
    if posterior.sizes["chain"] < 2:
        raise TreeError("neighbours are looked for in other chains, and there is one: chains=2.")
    labels, columns = _columns(posterior[names])
    if not 2 <= len(labels) <= MOST_PARAMETERS:
        raise TreeError(
            f"there are {len(labels)} parameters, and pairs are made of 2 to {MOST_PARAMETERS}: "
            "choose with var_names=."
        )
    found, errors = np.zeros((2, len(labels), len(labels)))
    for i in range(len(labels)):
        for j in range(i):
            value, error = information_with_error(neighbour_information(columns[i], columns[j]))
            found[i, j] = found[j, i] = value
            errors[i, j] = errors[j, i] = error
    return xr.Dataset(
        {
            "mutual_information": (("parameter", "other"), found),
            "mcse": (("parameter", "other"), errors),
            "correlation": (
                ("parameter", "other"),
                np.sqrt(-np.expm1(-2.0 * np.maximum(found, 0.0))) + np.eye(len(labels)),
            ),
        },
        coords={"parameter": labels, "other": labels},
        attrs={"unit": "nats"},
    )


def _posterior(dt: DataTree) -> xr.Dataset:
    if not isinstance(dt, DataTree) or "posterior" not in dt.children:
        raise TreeError("this needs a DataTree with a group 'posterior'.")
    return dt["posterior"].dataset


def _columns(posterior: xr.Dataset) -> tuple[list[str], list[np.ndarray]]:
    """Labels and draws (chain, draw) of all parameters, continuous ones as normal scores."""
    from arviz_base import xarray_sel_iter
    from arviz_base.labels import BaseLabeller
    from scipy.stats import rankdata

    labels, columns = [], []
    rng = np.random.default_rng(SPREAD_SEED)
    for name, where, place in xarray_sel_iter(posterior, skip_dims=set(SAMPLE_DIMS)):
        values = posterior[name].sel(where).transpose("chain", "draw").values.astype(np.float64)
        label = BaseLabeller().make_label_flat(name, where, place)
        if not np.all(np.isfinite(values)):
            raise TreeError(f"{label} has draws that are not finite: leave it out by var_names=.")
        labels.append(label)
        whole = np.all(values == np.floor(values))
        many = len(np.unique(values)) > MANY
        if many and whole:
            # the integer can be read from the sum, so that no information comes or goes, and
            # distances between pairs of integers, which would all be the same, differ
            values = values + rng.random(values.shape)
        if many or not whole:
            ranks = rankdata(values, axis=None).reshape(values.shape)
            values = ndtri((ranks - 0.5) / values.size)
        columns.append(values)
    return labels, columns
