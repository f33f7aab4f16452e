"""Which integers a discrete free variable may take.

A kernel must never propose a value that the model cannot hold: an index past the end of an
array is read from somebody else's memory, not refused.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.discrete import DiscreteUniformRV
from pymc.pytensorf import rvs_in_graph
from pytensor.tensor.random.basic import (
    BernoulliRV,
    BetaBinomialRV,
    BinomialRV,
    CategoricalRV,
    GeometricRV,
)
from pytensor.tensor.variable import TensorVariable

from pm_statmech.errors import UnsupportedVariableError


def _value(node: TensorVariable) -> np.ndarray | None:
    """Value of a parameter, or None where it is random itself."""
    return None if rvs_in_graph([node]) else np.asarray(node.eval(), dtype=float)


def integer_bounds(rv: TensorVariable) -> tuple[np.ndarray, np.ndarray]:
    r"""Lowest and highest integer of each entry of a discrete variable, infinite where unbounded.

    Where a bound is random, or the distribution is not known here, the variable walks over all
    integers and its own log-probability of :math:`-\infty` keeps it inside.

    Raises
    ------
    UnsupportedVariableError
        entries that cannot change one at a time, as in a Multinomial.
    """
    op = rv.owner.op
    low: np.ndarray | float | None = -np.inf
    high: np.ndarray | float | None = np.inf
    # on a network nodes change one at a time; values between theirs have probability 0
    of_nodes = getattr(op, "values", None)
    if hasattr(op, "node_shape") and of_nodes is not None:
        return np.asarray(np.min(of_nodes), float), np.asarray(np.max(of_nodes), float)
    if getattr(op, "ndim_supp", 0) > 0:
        raise UnsupportedVariableError(
            f"{rv.name!r} is a discrete vector whose entries move together "
            f"({type(op).__name__}): no kernel here moves it. Marginalise it, or write it as "
            "independent Categorical or Binomial variables."
        )
    if isinstance(op, BernoulliRV):
        low, high = 0.0, 1.0
    elif isinstance(op, CategoricalRV):
        p = pt.as_tensor(op.dist_params(rv.owner)[0])
        low, high = 0.0, float(p.shape[-1].eval()) - 1.0
    elif isinstance(op, DiscreteUniformRV):
        low, high = (_value(pt.as_tensor(node)) for node in op.dist_params(rv.owner))
    elif isinstance(op, BinomialRV | BetaBinomialRV):
        low, high = 0.0, _value(pt.as_tensor(op.dist_params(rv.owner)[0]))
    elif isinstance(op, GeometricRV):
        low = 1.0
    return (
        np.asarray(-np.inf if low is None else low, dtype=float),
        np.asarray(np.inf if high is None else high, dtype=float),
    )
