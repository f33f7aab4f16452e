r"""Powers of distributions without closed form, by integrals and sums.

.. math:: p_\beta(x) = e^{\beta \log p(x; \theta) - A(\beta, \theta)}, \qquad
          \frac{\partial A}{\partial \beta} = E_\beta[\log p], \qquad
          \frac{\partial A}{\partial \theta} = \beta\, E_\beta\left[
          \frac{\partial \log p}{\partial \theta}\right]

an exponential family in beta, whose statistic depends on theta: log p, its derivatives and x are
averaged over the same points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions import transforms
from pymc.distributions.distribution import Distribution, SymbolicRandomVariable
from pymc.distributions.transforms import _default_transform
from pytensor.graph.replace import graph_replace

from pm_statmech.distributions.constants import check_normaliser, known
from pm_statmech.distributions.family_variables import (
    CountRV,
    IntervalRV,
    NumberRV,
    of_kind,
)
from pm_statmech.errors import FamilyError
from pm_statmech.integer_support import integer_bounds
from pm_statmech.log_partition import lattice, quadrature
from pm_statmech.log_partition.moments import OneNumber
from pm_statmech.supports import Integers, Interval


def support_of(rv) -> Integers | Interval:
    """Where a variable may lie, whatever its parameters.

    Raises
    ------
    FamilyError
        a support that its transform does not tell, or that depends on parameters that are random.
    """
    if rv.dtype.startswith(("int", "uint", "bool")):
        low, high = (float(bound) for bound in integer_bounds(rv))
        return Integers(low, high)
    transform = _default_transform(rv.owner.op, rv)
    if transform is None:
        return Interval(-np.inf, np.inf)
    if isinstance(transform, transforms.LogTransform):
        return Interval(0.0, np.inf)
    if isinstance(transform, transforms.LogOddsTransform):
        return Interval(0.0, 1.0)
    if isinstance(transform, transforms.Interval):
        found = transform.args_fn(*rv.owner.inputs)
        ends = [None if end is None else known(end) for end in found]
        if all(end is None or value is not None for end, value in zip(found, ends, strict=True)):
            first = -np.inf if ends[0] is None else float(ends[0])
            return Interval(first, np.inf if ends[1] is None else float(ends[1]))
    raise FamilyError(
        f"where {type(rv.owner.op).__name__} lies is not known here, or depends on random "
        "parameters; take an ExponentialFamily with its log density as the statistic, and its "
        "support."
    )


class PoweredRV(NumberRV):
    """The power and the distribution's own parameters; a subclass holds what they are of."""

    name = "powered"
    _print_name = ("Powered", "\\operatorname{Powered}")
    power: OneNumber
    within: Integers | Interval
    rebuild: Callable

    @classmethod
    def engine(cls) -> OneNumber:
        """Integral or sum of the power."""
        return cls.power

    @classmethod
    def support(cls) -> Integers | Interval:
        """That of the distribution."""
        return cls.within

    @classmethod
    def weights(cls, beta, *params):
        """Beta, the parameters, and 0 for x itself, whose mean is wanted (..., P + 2)."""
        return pt.stack(pt.broadcast_arrays(beta, *params, pt.zeros(())), axis=-1)

    @classmethod
    def log_p(cls, value, beta, *params):
        """Log density (...)."""
        return beta * pm.logp(cls.rebuild(*params), value) - cls.log_partition(beta, *params)

    @classmethod
    def log_partition(cls, *params):
        """Log of the normaliser (...)."""
        return cls.power.log_partition(cls.weights(*params))

    @classmethod
    def relative_error(cls, *params):
        """Estimated relative error of the normaliser (...)."""
        return cls.power.moments(cls.weights(*params))[2]

    @classmethod
    def engine_said(cls) -> str:
        """How it is computed."""
        return "sum over integers" if isinstance(cls.within, Integers) else "quadrature"

    @classmethod
    def engine_bytes(cls) -> int:
        """Of the points of one normaliser at most."""
        most = lattice.MOST_TERMS if isinstance(cls.within, Integers) else quadrature.MOST_CELLS
        return 8 * most * 4


def engine_of(rebuild: Callable, n_params: int, support: Integers | Interval) -> OneNumber:
    """Log p as the statistic, its derivatives times beta, and x, at weights (P + 2,)."""
    x, weights = pt.dscalar("x"), pt.dvector("weights")
    params = [pt.dscalar(f"parameter{k}") for k in range(n_params)]
    log_p = pm.logp(rebuild(*params), pt.cast(x, "int64") if isinstance(support, Integers) else x)
    slopes = [pytensor.grad(log_p, p, disconnected_inputs="ignore") for p in params]
    joined = pt.stack([log_p, *(weights[0] * slope for slope in slopes), x])
    joined = graph_replace(joined, {p: weights[1 + k] for k, p in enumerate(params)}, strict=False)
    rule = lattice if isinstance(support, Integers) else quadrature
    return OneNumber(
        joined, x, float(support.low), float(support.high), rule, weights=weights, n_own=1
    )


class IntegratedPower(Distribution):
    """Power of a distribution by its log density as a statistic."""

    rv_type = PoweredRV
    rv_op = staticmethod(of_kind)

    @classmethod
    def dist(cls, rv, beta, **kwargs):
        """Return the variable without a model."""
        op = rv.owner.op
        name = type(op).__name__.removesuffix("RV")
        if getattr(op, "ndim_supp", 0) > 0:
            raise FamilyError(f"a power of {name}, a vector, has no closed form here.")
        params = [pt.as_tensor_variable(p) for p in op.dist_params(rv.owner)]
        # of integers, such as a number of trials, there are no derivatives
        fixed = [p.dtype.startswith("int") and rv.dtype.startswith("int") for p in params]
        free = [pt.cast(p, "float64") for p, is_fixed in zip(params, fixed, strict=True)
                if not is_fixed]  # fmt: skip
        for p, is_fixed in zip(params, fixed, strict=True):
            if is_fixed and (known(p) is None or np.ndim(known(p)) > 0):
                raise FamilyError(f"an integer parameter of {name} must be one constant: {p}.")

        if any(p.owner is not None and hasattr(p.owner.op, "dist_params") and p.name is None
               for p in params):  # fmt: skip
            raise FamilyError(
                f"a power of {name}, which is made of other distributions, is not known."
            )
        support = support_of(rv)

        def rebuild(*given):
            rest = iter(given)
            again = [
                p if is_fixed else next(rest) for p, is_fixed in zip(params, fixed, strict=True)
            ]
            if hasattr(op, "rv_op"):
                return op.rebuild_rv(*again)
            if isinstance(op, SymbolicRandomVariable):
                # one without a constructor takes parameters of the types it had
                of_old = dict(zip(op.dist_params(rv.owner), again, strict=True))
                inputs = [of_old.get(old, old) for old in rv.owner.inputs]
                return op.make_node(*inputs).outputs[rv.owner.outputs.index(rv)]
            rng = pt.random.shared_rng(seed=None)
            return op(*again, rng=rng, return_next_rng=True)[1]

        try:
            power = engine_of(rebuild, len(free), support)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as why:
            raise FamilyError(
                f"a power of {name} is not known: its density cannot be written with other "
                f"parameters ({why})."
            ) from why
        attributes = {
            "power": power, "within": support,
            "rebuild": staticmethod(rebuild),
            "extended_signature": f"[rng],[size],{','.join(['()'] * (1 + len(free)))}->[rng],()",
        }  # fmt: skip
        base = IntervalRV if isinstance(support, Interval) else CountRV
        kind = type("PoweredRV", (PoweredRV, base), attributes)
        if all(known(p) is not None for p in (beta, *free)):
            A, error = kind.log_partition(beta, *free), kind.relative_error(beta, *free)
            check_normaliser(A, error, f"{name} to the power {known(beta)}", str(support))
        return super().dist([beta, *free], kind=kind, **kwargs)
