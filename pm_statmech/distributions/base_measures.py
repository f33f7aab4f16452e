r"""Distributions of exponential families apart: the energy that is tempered, and what remains.

.. math:: p(x) = h(x)\, e^{-\beta E(x) - A}, \qquad E(x) = -\eta \cdot T(x)

At beta = 0 the base measure h is left, as a probability: on a network all states of all nodes are
equally probable.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import SymbolicRandomVariable, _support_point
from pymc.distributions.shape_utils import rv_size_is_none
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param, rvs_in_graph
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.constants import check_natural_parameters
from pm_statmech.distributions.family_variables import FamilyRV
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.errors import TemperedTermError

_subclasses: WeakValueDictionary = WeakValueDictionary()


class StatesRV(SymbolicRandomVariable):
    """States of the nodes of a network, independent and all equally probable."""

    name = "states"
    _print_name = ("States", "\\operatorname{States}")
    of: Any
    # as for variables on networks
    problem: Any
    values: np.ndarray
    node_shape: tuple[int, ...]

    @classmethod
    def rv_op(cls, *, size=None, rng=None):
        """Draw every node by itself."""
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        shape = cls.node_shape if rv_size_is_none(size) else (*size, *cls.node_shape)
        next_rng, number = pt.random.integers(
            0, len(cls.values), size=shape, rng=rng, return_next_rng=True
        )
        drawn = pt.constant(cls.values.astype("int64"))[number]
        return cls(inputs=[rng, size], outputs=[next_rng, drawn])(rng, size)


def states_of(op: Any) -> type[StatesRV]:
    """Class of the independent states of a network variable's nodes."""
    found = _subclasses.get(op)
    if found is None:
        core = ",".join(f"s{k}" for k in range(len(op.node_shape)))
        members = {
            "of": op, "problem": op.problem, "values": op.values, "node_shape": op.node_shape,
            "extended_signature": f"[rng],[size]->[rng],({core})",
        }  # fmt: skip
        found = _subclasses[op] = type("StatesRV", (StatesRV,), members)
    return found


@_logprob.register(StatesRV)
def _states_logp(op, values, rng, size, **kwargs):
    [value] = values
    flat = op.of.flat(value)
    _, possible = op.of.numbers(flat)
    log_p = -op.problem.network.n * np.log(len(op.values))
    return pt.switch(possible, pt.constant(np.float64(log_p)), -np.inf)


@_support_point.register(StatesRV)
def _states_support_point(op, rv, rng, size):
    return pt.full(rv.shape, pt.constant(op.values.astype("int64"))[0])


class TemperedDistribution(NamedTuple):
    """A free variable of an exponential family as a tempered term.

    Parameters
    ----------
    energy
        -eta . T(x) without beta, a graph on the variable itself.
    beta
        graph of the inverse temperature that the variable carries.
    base
        variable of the base measure, of the same shape.
    """

    energy: Any
    beta: Any
    base: Any


def _shape_of(rv) -> tuple[int, ...]:
    if None not in rv.type.shape:
        return tuple(rv.type.shape)
    return tuple(int(k) for k in rv.shape.eval(mode="FAST_COMPILE"))


def can_be_tempered(rv) -> bool:
    """Whether a free variable is of an exponential family whose energy can be read off."""
    op = type(rv.owner.op)
    # of families by name the parameters stand for natural ones, or something is added to x
    plain = issubclass(op, FamilyRV) and all(
        getattr(op, name).__func__ is getattr(FamilyRV, name).__func__
        for name in ("natural", "weights", "log_p", "origin")
    )
    return issubclass(op, NetworkRV) or plain


def taken_apart(rv) -> TemperedDistribution:
    """Energy, inverse temperature and base measure of a free variable, see `can_be_tempered`.

    Raises
    ------
    TemperedTermError
        parameters that are random: log Z would depend on them, so that the energy would hold it.
    FamilyError
        a base measure that has no finite integral.
    """
    op: Any = type(rv.owner.op)
    params = rv.owner.inputs[2:]
    random = sorted({str(v.name) for v in rvs_in_graph(params)})
    if random:
        raise TemperedTermError(
            f"tempered={[rv.name]}: its parameters depend on {random}, so that its normaliser "
            "would be part of the energy. Fix them, or temper the observed variables instead."
        )
    shape = _shape_of(rv)
    if issubclass(op, NetworkRV):
        theta, K, beta = (pt.cast(p, "float64") for p in params)
        outer = shape[: len(shape) - len(op.node_shape)]
        weight, _ = op.log_weight(op.flat(rv), theta, K)
        return TemperedDistribution(-weight, beta, states_of(op).rv_op(size=outer or None))
    [eta] = params
    none = np.zeros(op.family.n_statistics)
    check_natural_parameters(op.family, pt.constant(none))
    outer = shape[: len(shape) - len(op.family.support.shape)]
    return TemperedDistribution(
        op.family.energy(rv, eta), pt.constant(1.0), op.rv_op(none, size=outer or None)
    )
