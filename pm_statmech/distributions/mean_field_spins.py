"""Spins that all see each other: Curie and Weiss, and Hopfield's memory of a few patterns."""

from __future__ import annotations

from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import SymbolicRandomVariable, _support_point
from pymc.distributions.moments.means import _mean
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.constants import known
from pm_statmech.distributions.graphs import Nodes, check_finite, couplings_on, field_on
from pm_statmech.distributions.network_variables import (
    NetworkDistribution,
    drawn_rows,
    in_network,
    of_network,
)
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.mean_fields import (
    STEP,
    TAIL,
    DrawsOfPatterns,
    FieldsOfPatterns,
    curie_weiss,
    log_terms,
)

# points of the grid of fields, times groups of spins
MOST_TERMS = 2e7
# spins whose states are enumerated instead, where there are not many more than terms
MOST_ENUMERATED = 20
_subclasses: WeakValueDictionary = WeakValueDictionary()


class Memory:
    """Patterns (p, n), and spins grouped by what they have of them.

    Spins whose entries are equal in all patterns are exchangeable where the field is the same.
    """

    def __init__(self, patterns: np.ndarray, *, one_field: bool) -> None:
        self.patterns = patterns
        self.one_field = one_field

    @property
    def n(self) -> int:
        """Spins."""
        return self.patterns.shape[1]

    @cached_property
    def grouped(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patterns (p, g) and counts (g,) of groups, and the group (n,) of every spin."""
        if not self.one_field:
            return self.patterns, np.ones(self.n), np.arange(self.n)
        found, group, counts = np.unique(
            self.patterns, axis=1, return_inverse=True, return_counts=True
        )
        return np.ascontiguousarray(found), counts.astype(float), group.ravel()

    def terms(self, beta: float) -> float:
        """Points of the grid times groups."""
        farthest = np.sqrt(beta / self.n) * np.sum(np.abs(self.patterns), axis=1)
        return float(np.prod(2 * (farthest + TAIL) / STEP + 1)) * self.grouped[0].shape[1]


class MemoryRV(SymbolicRandomVariable):
    """Spins by beta and beta times the field of every spin."""

    name = "hopfield"
    extended_signature = "[rng],[size],(),(n)->[rng],(n)"
    _print_name = ("Hopfield", "\\operatorname{Hopfield}")
    values = np.array([-1.0, 1.0])
    memory: Memory
    node_shape: tuple[int, ...]

    @classmethod
    def _groups(cls, field):
        """Field (..., g) of every group, and constants of the operations."""
        patterns, counts, group = cls.memory.grouped
        first = np.unique(group, return_index=True)[1]
        return field[..., first], [pt.constant(patterns), pt.constant(counts)], group

    @classmethod
    def log_partition(cls, beta, field):
        """Log Z (...)."""
        of_groups, constants, _ = cls._groups(field)
        return Blockwise(FieldsOfPatterns())(beta, of_groups, *constants)[0]

    @classmethod
    def relative_error(cls, beta, field):
        """None but rounding."""
        return pt.zeros_like(beta)

    @classmethod
    def engine_said(cls) -> str:
        """How log Z is computed."""
        p, n = cls.memory.patterns.shape
        return f"integral over {p} fields on {n} nodes"

    @classmethod
    def engine_bytes(cls) -> float:
        """Nothing: the grid is not kept."""
        return 0.0

    @classmethod
    def rv_op(cls, beta, field, *, size=None, rng=None):
        """Draw a field on the grid, and every spin given it."""
        beta, field = (pt.cast(pt.as_tensor_variable(p), "float64") for p in (beta, field))
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        of_groups, constants, group = cls._groups(field)
        next_rng, found = drawn_rows(
            DrawsOfPatterns(), [beta, of_groups, *constants, group], 1 + cls.memory.n, size, rng
        )
        drawn = pt.cast(found, "int64")
        return cls(inputs=[rng, size, beta, field], outputs=[next_rng, drawn])(
            rng, size, beta, field
        )


@_logprob.register(MemoryRV)
def _memory_logp(op, values, rng, size, beta, field, **kwargs):
    [x] = values
    patterns = op.memory.patterns
    n = op.memory.n
    overlaps = pt.dot(x, pt.constant(patterns.T))
    quadratic = pt.sum(pt.sqr(overlaps), axis=-1) - np.sum(patterns**2)
    log_p = beta / (2.0 * n) * quadratic + pt.sum(field * x, axis=-1)
    log_p = log_p - op.log_partition(beta, field)
    log_p = pt.switch(pt.all(pt.eq(pt.abs(x), 1), axis=-1), log_p, -np.inf)
    return check_parameters(log_p, beta > 0, msg="beta > 0")


@_support_point.register(MemoryRV)
def _memory_support_point(op, rv, rng, size, beta, field):
    # the first pattern is where a memory is
    first = np.where(op.memory.patterns[0] < 0, -1, 1).astype("int64")
    return pt.broadcast_to(pt.constant(first), rv.shape)


@_mean.register(MemoryRV)
def _memory_mean(op, rv, rng, size, beta, field):
    of_groups, constants, group = op._groups(field)
    mean = Blockwise(FieldsOfPatterns())(beta, of_groups, *constants)[2][..., group]
    return pt.broadcast_to(mean, rv.shape)


def _variable_of(memory: Memory, name: str) -> type[MemoryRV]:
    """Class of the variables of a memory; one a memory, so that equal graphs are merged."""
    key = (memory.patterns.shape, memory.patterns.tobytes(), memory.one_field, name)
    found = _subclasses.get(key)
    if found is None:
        members = {
            "memory": memory, "node_shape": (memory.n,), "name": name.lower(),
            "_print_name": (name, f"\\operatorname{{{name}}}"),
        }  # fmt: skip
        found = _subclasses[key] = type(f"{name}RV", (MemoryRV,), members)
    return found


def _params(memory: Memory, beta, field):
    """Beta, and beta times the field of every spin."""
    constant = known(beta)
    largest = 1.0 if constant is None else float(np.max(constant))
    if memory.terms(largest) > MOST_TERMS:
        p, n = memory.patterns.shape
        raise NetworkError(
            f"{p} patterns on {n} spins take a grid of {memory.terms(largest):.2g} terms at beta = "
            f"{largest:g}, more than {MOST_TERMS:.0g}. Take fewer patterns, or fewer spins: up to "
            f"{MOST_ENUMERATED} are enumerated."
        )
    return [beta, beta[..., None] * field_on(Nodes((memory.n,), np.empty((0, 2))), field)]


class MagnetRV(SymbolicRandomVariable):
    """Spins by beta and the field of all."""

    name = "curie_weiss"
    extended_signature = "[rng],[size],(),()->[rng],(n)"
    _print_name = ("CurieWeiss", "\\operatorname{CurieWeiss}")
    values = np.array([-1.0, 1.0])
    node_shape: tuple[int, ...]

    @classmethod
    def log_partition(cls, beta, field):
        """Log Z (...)."""
        return curie_weiss(cls.node_shape[0], beta, field)

    @classmethod
    def relative_error(cls, beta, field):
        """None but rounding."""
        return pt.zeros_like(beta)

    @classmethod
    def engine_said(cls) -> str:
        """How log Z is computed."""
        return f"sum over magnetisations of {cls.node_shape[0]} nodes"

    @classmethod
    def engine_bytes(cls) -> float:
        """Of the terms."""
        return 8.0 * (cls.node_shape[0] + 1)

    @classmethod
    def rv_op(cls, beta, field, *, size=None, rng=None):
        """Draw the magnetisation, and which spins are down."""
        beta, field = (pt.cast(pt.as_tensor_variable(p), "float64") for p in (beta, field))
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        n = cls.node_shape[0]
        batch = implicit_size_from_params(beta, field, ndims_params=[0, 0])
        given = batch if rv_size_is_none(size) else size
        n_outer = given.type.shape[0]
        outer = [given[k] for k in range(n_outer)]
        next_rng, u = pt.random.uniform(size=(*outer, n + 1), rng=rng, return_next_rng=True)
        exponents = log_terms(n, beta, field)
        p = pt.exp(exponents - pt.max(exponents, axis=-1, keepdims=True))
        cumulative = pt.cumsum(p, axis=-1)
        wanted = u[..., :1] * cumulative[..., -1:]
        n_down = pt.sum(pt.le(cumulative, wanted), axis=-1)
        rank = pt.argsort(pt.argsort(u[..., 1:], axis=-1), axis=-1)
        drawn = pt.cast(pt.switch(pt.lt(rank, n_down[..., None]), -1, 1), "int64")
        return cls(inputs=[rng, size, beta, field], outputs=[next_rng, drawn])(
            rng, size, beta, field
        )


@_logprob.register(MagnetRV)
def _magnet_logp(op, values, rng, size, beta, field, **kwargs):
    [x] = values
    x = pt.specify_shape(x, (*[None] * (x.type.ndim - 1), *op.node_shape))
    M = pt.sum(x, axis=-1)
    log_p = beta * pt.sqr(M) / (2.0 * op.node_shape[0]) + field * M - op.log_partition(beta, field)
    return pt.switch(pt.all(pt.eq(pt.abs(x), 1), axis=-1), log_p, -np.inf)


@_support_point.register(MagnetRV)
def _magnet_support_point(op, rv, rng, size, beta, field):
    up = pt.cast(pt.switch(pt.ge(field, 0.0), 1, -1), "int64")
    return pt.broadcast_to(up[..., None], rv.shape)


@_mean.register(MagnetRV)
def _magnet_mean(op, rv, rng, size, beta, field):
    field = field + pt.zeros_like(op.log_partition(beta, field))
    mean = pytensor.grad(pt.sum(op.log_partition(beta, field)), field) / op.node_shape[0]
    return pt.broadcast_to(mean[..., None], rv.shape)


def magnet_of(n: int) -> type[MagnetRV]:
    """Class of the variables of n spins."""
    found = _subclasses.get(n)
    if found is None:
        found = _subclasses[n] = type("CurieWeissRV", (MagnetRV,), {"node_shape": (n,)})
    return found


class Hopfield(NetworkDistribution):
    r"""Spins that remember patterns.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\beta \Big(\frac{1}{n} \sum_{i < j} x_i x_j
              \sum_\mu \xi_{\mu i} \xi_{\mu j} + \sum_i h_i x_i\Big)\Big), \qquad
              x \in \{-1, 1\}^n

    An `Ising` model with J = patterns' patterns / n, off the diagonal. log Z is an integral over
    one field a pattern, whatever n is, or an enumeration of few spins.

    Parameters
    ----------
    patterns
        xi (p, n), constants; p up to 3 or so.
    beta
        inverse temperature (...), > 0; field : h, a number or (..., n).

    Raises
    ------
    NetworkError
        patterns that are not constants (p, n), and more of them than the integral reaches.

    Notes
    -----
    Draws are a field by the integrand and every spin given it, exact as the rule is.

    Source: Hopfield (1982), PNAS 79, 2554-2558; Amit, Gutfreund, Sompolinsky (1985), Phys. Rev. A
    32, 1007-1018.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> x = pms.Hopfield.dist(np.array([[1, 1, -1]]), beta=1.5)
    >>> float(pm.logp(x, [1, 1, -1]).eval(mode="FAST_COMPILE").round(6))
    -1.0339
    """

    rv_op = staticmethod(of_network)
    values = (-1.0, 1.0)

    @classmethod
    def dist(cls, patterns, beta=1.0, *, field=0.0, **kwargs):
        """Return the variable without a model."""
        constant = known(patterns)
        if constant is None or constant.ndim != 2 or not np.all(np.isfinite(constant)):
            raise NetworkError("patterns are constants (p, n). Random ones go into Ising.")
        beta = check_finite("beta", beta)
        cold = known(beta)
        if cold is not None and not np.all(cold > 0):
            raise NetworkError(f"beta = {cold}: an inverse temperature is positive here.")
        n = constant.shape[1]
        memory = Memory(constant.astype(float), one_field=False)
        if n <= MOST_ENUMERATED and 2.0**n < 100.0 * memory.terms(1.0):
            J = constant.T @ constant / n
            couplings = couplings_on(None, J - np.diag(np.diag(J)))
            h = field_on(couplings.nodes, field)
            params, kind = in_network(
                "Hopfield", couplings, pt.stack([-h, h], axis=-1), cls.values,
                np.outer(cls.values, cls.values), beta=beta, field=field, log_partition=None,
            )  # fmt: skip
            return super().dist(params, kind=kind, **kwargs)
        one_field = pt.as_tensor_variable(field).type.ndim == 0
        memory = Memory(constant.astype(float), one_field=one_field)
        params = _params(memory, beta, field)
        return super().dist(params, kind=_variable_of(memory, "Hopfield"), **kwargs)


class CurieWeiss(NetworkDistribution):
    r"""Spins that are all coupled alike.

    .. math:: p(x) = \frac{1}{Z} \exp\Big(\frac{\beta M^2}{2 n} + h M\Big), \qquad
              M = \sum_i x_i, \quad x \in \{-1, 1\}^n

    with the field outside beta. Ordered where beta > 1 and h = 0.

    Parameters
    ----------
    n
        number of spins, a constant.
    beta
        inverse temperature (...); field : h (...).

    Raises
    ------
    NetworkError
        fewer than two spins; constants that are not finite.

    Notes
    -----
    log Z is the sum over the n + 1 values of M.

    Source: Kac (1968), in Statistical Physics, Phase Transitions and Superfluidity, 241-305.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> x = pms.CurieWeiss.dist(2, beta=1.0)
    >>> float(pm.logp(x, [1, 1]).exp().eval(mode="FAST_COMPILE").round(6))
    0.365529
    """

    rv_op = staticmethod(of_network)

    @classmethod
    def dist(cls, n: int, beta=1.0, field=0.0, **kwargs):
        """Return the variable without a model."""
        if not (isinstance(n, int | np.integer) and n >= 2):
            raise NetworkError(f"n = {n}: it is a number of spins, two or more.")
        params = [check_finite("beta", beta), check_finite("field", field)]
        return super().dist(params, kind=magnet_of(int(n)), **kwargs)
