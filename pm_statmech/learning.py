r"""Learning the weights of two layers: by the likelihood, and by chains that stand in for it.

.. math:: \frac{1}{N} \frac{\partial \log p(v^{(1)}, \dots, v^{(N)})}{\partial W_{ij}}
          = \frac{1}{N} \sum_s E[v_i h_j \mid v^{(s)}] - E[v_i h_j]

and likewise for both biases. The first mean is at the data, where hidden units are independent; the
second, of the model, comes with log Z where the smaller layer can be enumerated, or from chains
that go on from one step to the next.

Sources: Ackley, Hinton, Sejnowski (1985), Cognitive Science 9, 147-169; Tieleman (2008), ICML,
1064-1071, for chains that go on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.restricted_boltzmann import layers
from pm_statmech.network_kernels.chains import by_blocks

MOST_UNITS = 22


class LearntLayers(NamedTuple):
    """Weights (n, k), biases (n,) and (k,), and the mean log likelihood after every step.

    The last is NaN where neither layer can be enumerated.
    """

    weights: np.ndarray
    visible_bias: np.ndarray
    hidden_bias: np.ndarray
    log_likelihood: np.ndarray


def _data(v) -> np.ndarray:
    data = np.asarray(v, dtype=np.float64)
    if data.ndim != 2 or data.size == 0 or not np.all(np.isin(data, (0.0, 1.0))):
        raise NetworkError(
            f"data have shape {data.shape}: a table (N, n) of units 0 and 1 is learnt from."
        )
    return data


def _start(v: np.ndarray, n_hidden: int, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small weights, and visible units that are right by themselves."""
    p = np.clip(v.mean(axis=0), 0.5 / len(v), 1 - 0.5 / len(v))
    return 0.1 * rng.normal(size=(v.shape[1], n_hidden)), np.log(p / (1 - p)), np.zeros(n_hidden)


def _at_data(v, W, b, c):
    """Mean log weight of the data, and means of both layers and of all products at the data."""
    fields = c + v @ W
    h = expit(fields)
    log_weight = np.mean(v @ b + np.logaddexp(0.0, fields).sum(axis=1))
    return log_weight, v.mean(axis=0), h.mean(axis=0), v.T @ h / len(v)


def maximum_likelihood_layers(
    v, n_hidden: int, *, penalty: float = 1e-3, max_steps: int = 500, random_seed=None
) -> LearntLayers:
    r"""Weights of the largest likelihood, by the exact gradient.

    .. math:: \frac{1}{N} \sum_s \log p(v^{(s)}) - \frac{\lambda}{2} \sum_{ij} W_{ij}^2

    is climbed by L-BFGS from small random weights. It has many maxima: start from several seeds.

    Parameters
    ----------
    v
        (N, n) units 0 and 1; n_hidden : k; penalty : lambda, which keeps weights finite where data
        could be learnt by heart.
    max_steps
        of L-BFGS; random_seed : of the start.

    Returns
    -------
    LearntLayers

    Raises
    ------
    NetworkError
        data that are no table of 0 and 1; both layers with more than 22 units.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> v = np.array([[1, 1, 0], [0, 0, 1]] * 10)
    >>> found = pms.maximum_likelihood_layers(v, 1, random_seed=1)
    >>> bool(found.log_likelihood[-1] > -0.8)
    True
    """
    v = _data(v)
    n = v.shape[1]
    if min(n, n_hidden) > MOST_UNITS:
        raise NetworkError(
            f"layers of {n} and {n_hidden} units: the smaller one has too many states for the "
            "exact gradient. Take persistent_chains_layers."
        )
    sizes = np.cumsum([n * n_hidden, n])
    history: list[float] = []

    def split(x):
        W, b, c = np.split(x, sizes)
        return np.ascontiguousarray(W.reshape(n, n_hidden)), b.copy(), c.copy()

    def objective(x):
        W, b, c = split(x)
        weight, v_data, h_data, products = _at_data(v, W, b, c)
        log_z, v_model, h_model, model = layers(W, b, c)
        slope = np.concatenate(
            [(products - model - penalty * W).ravel(), v_data - v_model, h_data - h_model]
        )
        return -(weight - log_z - 0.5 * penalty * np.sum(W**2)), -slope

    def keep(x):
        W, b, c = split(x)
        history.append(_at_data(v, W, b, c)[0] - layers(W, b, c)[0])

    start = np.concatenate(
        [np.ravel(part) for part in _start(v, n_hidden, np.random.default_rng(random_seed))]
    )
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", callback=keep,
        options={"maxiter": max_steps},
    )  # fmt: skip
    W, b, c = split(found.x)
    return LearntLayers(W, b, c, np.array(history))


def persistent_chains_layers(
    v, n_hidden: int, *, chains: int = 100, sweeps: int = 1, steps: int = 2000, rate: float = 0.05,
    penalty: float = 1e-3, batch: int = 100, random_seed=None,
) -> LearntLayers:  # fmt: skip
    """Weights by stochastic gradients whose model's means come from chains that go on.

    Parameters
    ----------
    v
        (N, n) units 0 and 1; n_hidden : k; penalty : as for `maximum_likelihood_layers`.
    chains
        how many, each moved by so many sweeps of block Gibbs a step.
    steps
        of the gradient; rate : of the first, which falls linearly to 0; batch : rows of data a
        step.

    Returns
    -------
    LearntLayers
        with the exact log likelihood every fiftieth step, where a layer can be enumerated.

    Raises
    ------
    NetworkError
        data that are no table of 0 and 1.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> v = np.array([[1, 1, 0], [0, 0, 1]] * 10)
    >>> found = pms.persistent_chains_layers(v, 1, steps=500, rate=0.2, random_seed=1)
    >>> found.weights.shape
    (3, 1)
    """
    v = _data(v)
    rng = np.random.default_rng(random_seed)
    n = v.shape[1]
    W, b, c = _start(v, n_hidden, rng)
    states = v[rng.integers(len(v), size=chains)].copy()
    history = []
    for step in range(steps):
        rows = v[rng.integers(len(v), size=min(batch, len(v)))]
        states, _ = by_blocks(rng.integers(2**32), states, W, b, c, sweeps)
        _, v_data, h_data, products = _at_data(rows, W, b, c)
        _, v_model, h_model, model = _at_data(states, W, b, c)
        here = rate * (1.0 - step / steps)
        W = W + here * (products - model - penalty * W)
        b = b + here * (v_data - v_model)
        c = c + here * (h_data - h_model)
        if step % 50 == 49:
            known = min(n, n_hidden) <= MOST_UNITS
            log_z = layers(W, b, c)[0] if known else np.nan
            history.append(_at_data(v, W, b, c)[0] - log_z)
    return LearntLayers(W, b, c, np.array(history))
