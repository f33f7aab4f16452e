r"""Capacity of a channel, the largest mutual information of what is sent and received.

.. math:: C = \max_p \sum_x p_x \mathrm{KL}(W_x, q_p) = \min_q \max_x \mathrm{KL}(W_x, q),
          \qquad q_p = \sum_x p_x W_x

The second form is a game as well: q is the forecast whose worst redundancy over the inputs is
least.

Sources: Blahut (1972) and Arimoto (1972), IEEE Trans. Inf. Theory 18, 460-473 and 14-20; Gallager
(1979), MIT report LIDS-P-937, for redundancy.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, rel_entr

from pm_statmech.concentration.divergences import probabilities_of
from pm_statmech.errors import ConvergenceWarning, ProjectionError


class Capacity(NamedTuple):
    """A capacity in nats with bounds, and inputs (X,) and outputs (Y,) that reach the lower."""

    capacity: float
    lower: float
    upper: float
    inputs: np.ndarray
    outputs: np.ndarray
    rounds: int


def channel_capacity(channel, *, tolerance: float = 1e-10, rounds: int = 100_000) -> Capacity:
    r"""Capacity of a memoryless channel by the iteration of Blahut and Arimoto.

    .. math:: p_x \leftarrow p_x\, \frac{e^{D_x}}{\sum p e^{D}}, \quad D_x = \mathrm{KL}(W_x, q_p),
              \qquad \log \sum_x p_x e^{D_x} \le C \le \max_x D_x

    Parameters
    ----------
    channel
        (X, Y) W, the probabilities of outputs given each input.
    tolerance
        nats between the bounds; rounds : at most, after which a `ConvergenceWarning` gives the
        bounds that were reached.

    Raises
    ------
    ProjectionError
        rows that are no probabilities.

    Examples
    --------
    A symmetric channel that errs one time in ten:

    >>> found = channel_capacity([[0.9, 0.1], [0.1, 0.9]])
    >>> round(found.capacity, 6), found.inputs.round(3).tolist()
    (0.368064, [0.5, 0.5])
    """
    W = np.asarray(channel, dtype=np.float64)
    if W.ndim != 2 or np.any(np.abs(W.sum(axis=-1) - 1) > 1e-9):
        raise ProjectionError(f"a channel of shape {W.shape}: rows (X, Y) of sum 1, one an input.")
    W = probabilities_of(W)
    W = W[:, np.any(W > 0, axis=0)]
    log_p = np.full(len(W), -np.log(len(W)))
    lower, upper, done, p = -np.inf, np.inf, 0, np.exp(log_p)
    while True:
        p, done = np.exp(log_p), done + 1
        redundancy = np.sum(rel_entr(W, p @ W), axis=1)
        lower, upper = float(logsumexp(log_p + redundancy)), float(np.max(redundancy))
        if upper - lower <= tolerance or done == rounds:
            break
        log_p = log_p + redundancy - lower
    if upper - lower > tolerance:
        warnings.warn(
            f"the capacity is between {lower:.9g} and {upper:.9g} nats after {rounds} rounds, "
            f"{upper - lower:.2g} apart: give more rounds or a larger tolerance.",
            ConvergenceWarning,
            stacklevel=2,
        )
    outputs = np.zeros(np.shape(channel)[1])
    outputs[np.any(np.asarray(channel) > 0, axis=0)] = p @ W
    return Capacity(lower, lower, upper, p, outputs, done)
