"""Two layers of units without couplings inside either, of which one is seen."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.distributions.distribution import SymbolicRandomVariable, _support_point
from pymc.distributions.moments.means import _mean
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.graphs import check_finite
from pm_statmech.distributions.network_variables import (
    NetworkDistribution,
    drawn_rows,
    of_network,
)
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.restricted_boltzmann import LayerDraws, Layers, log_weight

# units of the smaller layer, whose states are all enumerated
MOST_UNITS = 22
_subclasses: dict[tuple[int, int], type] = {}


class LayersRV(SymbolicRandomVariable):
    """Visible units by weights and both biases."""

    name = "restricted_boltzmann_machine"
    extended_signature = "[rng],[size],(n,k),(n),(k)->[rng],(n)"
    _print_name = ("RestrictedBoltzmannMachine", "\\operatorname{RestrictedBoltzmannMachine}")
    values = np.array([0.0, 1.0])
    node_shape: tuple[int, ...]
    n_hidden: int

    @classmethod
    def log_partition(cls, W, b, c):
        """Log Z (...)."""
        return Blockwise(Layers())(W, b, c)[0]

    @classmethod
    def relative_error(cls, W, b, c):
        """None but rounding."""
        return pt.zeros_like(b[..., 0])

    @classmethod
    def engine_said(cls) -> str:
        """How log Z is computed."""
        return f"sum over 2^{min(cls.node_shape[0], cls.n_hidden)} states of the smaller layer"

    @classmethod
    def engine_bytes(cls) -> float:
        """Of means."""
        return 8.0 * cls.node_shape[0] * cls.n_hidden

    @classmethod
    def rv_op(cls, W, b, c, *, size=None, rng=None):
        """Draw a state of the smaller layer, and what depends on it."""
        W, b, c = (pt.cast(pt.as_tensor_variable(p), "float64") for p in (W, b, c))
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        n = cls.node_shape[0]
        next_rng, found = drawn_rows(LayerDraws(), [W, b, c], 1 + n, size, rng)
        drawn = pt.cast(found, "int64")
        return cls(inputs=[rng, size, W, b, c], outputs=[next_rng, drawn])(rng, size, W, b, c)


@_logprob.register(LayersRV)
def _layers_logp(op, values, rng, size, W, b, c, **kwargs):
    [v] = values
    v = pt.specify_shape(v, (*[None] * (v.type.ndim - 1), *op.node_shape))
    log_p = log_weight(v, W, b, c) - op.log_partition(W, b, c)
    return pt.switch(pt.all(pt.eq(v, 0) | pt.eq(v, 1), axis=-1), log_p, -np.inf)


@_support_point.register(LayersRV)
def _layers_support_point(op, rv, rng, size, W, b, c):
    return pt.broadcast_to(pt.cast(pt.gt(b, 0.0), "int64"), rv.shape)


@_mean.register(LayersRV)
def _layers_mean(op, rv, rng, size, W, b, c):
    b = b + pt.zeros_like(op.log_partition(W, b, c))[..., None]
    return pt.broadcast_to(pytensor.grad(pt.sum(op.log_partition(W, b, c)), b), rv.shape)


def layers_of(n: int, k: int) -> type[LayersRV]:
    """Class of the variables of n visible and k hidden units."""
    if (n, k) not in _subclasses:
        members = {"node_shape": (n,), "n_hidden": k}
        _subclasses[n, k] = type("RestrictedBoltzmannMachineRV", (LayersRV,), members)
    return _subclasses[n, k]


class RestrictedBoltzmannMachine(NetworkDistribution):
    r"""Visible units whose couplings go through hidden ones, which are summed over.

    .. math:: p(v) = \frac{1}{Z} \sum_{h \in \{0, 1\}^k} e^{b \cdot v + c \cdot h + v^\top W h}
              = \frac{1}{Z}\, e^{b \cdot v} \prod_j \big(1 + e^{c_j + (v^\top W)_j}\big),
              \qquad v \in \{0, 1\}^n

    Parameters
    ----------
    weights
        W (..., n, k); visible_bias : b, a number or (..., n); hidden_bias : c, a number or
        (..., k).

    Raises
    ------
    NetworkError
        weights of another shape or of unknown sizes, both layers with more than 22 units, entries
        that are not finite, data that are not 0 and 1.

    Notes
    -----
    log Z enumerates the smaller layer. Permuted hidden units, and signs of what they mean, give the
    same distribution, so that posteriors of W have many equal modes.

    Source: Smolensky (1986), in Parallel Distributed Processing, vol. 1, 194-281.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> v = pms.RestrictedBoltzmannMachine.dist(np.zeros((3, 2)), 0.0, 0.0)
    >>> float(pm.logp(v, [1, 0, 1]).exp().eval(mode="FAST_COMPILE").round(6))
    0.125
    """

    rv_op = staticmethod(of_network)

    @classmethod
    def dist(cls, weights, visible_bias=0.0, hidden_bias=0.0, **kwargs):
        """Return the variable without a model."""
        W = check_finite("weights", weights)
        if W.type.ndim < 2 or None in W.type.shape[-2:]:
            raise NetworkError(
                f"weights has shape {W.type.shape}: it is (n, k) for n visible and k hidden units."
            )
        n, k = W.type.shape[-2:]
        if min(n, k) > MOST_UNITS:
            raise NetworkError(
                f"layers of {n} and {k} units: 2^{min(n, k)} states of the smaller one cannot be "
                f"summed over; take at most {MOST_UNITS} units in it."
            )
        biases = []
        for name, bias, length in (
            ("visible_bias", visible_bias, n), ("hidden_bias", hidden_bias, k),
        ):  # fmt: skip
            bias = check_finite(name, bias)
            found = bias.type.shape[-1] if bias.type.ndim else 1
            if found not in (1, length, None):
                raise NetworkError(f"{name} has {found} entries for {length} units.")
            biases.append(bias * pt.ones(length) if found == 1 else bias)
        return super().dist([W, *biases], kind=layers_of(n, k), **kwargs)
