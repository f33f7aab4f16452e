r"""The power prior: historical data that count for a part of what they would as data.

.. math:: p(\theta, a) = p(a)\, \frac{\pi_0(\theta)\, L(\theta; y_0)^a}{Z(a)}, \qquad
          Z(a) = \int \pi_0(\theta)\, L(\theta; y_0)^a\, d\theta

Without Z(a) a random power would be drawn to 0, because a product of densities below one grows as
its power falls: 40 of 100 before and 44 of 100 now make it .014 instead of .561.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.basic import logp
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pm_statmech.errors import CalibrationError
from pm_statmech.log_partition.curves import LogPartitionCurve

# draws of a random power that must lie inside the ladder
N_TRIED = 500


def _is_random(power: TensorVariable, model: pm.Model) -> bool:
    return bool(set(model.basic_RVs) & set(ancestors([power])))


def PowerPrior(
    name: str,
    historical,
    *,
    observed,
    power,
    log_partition: LogPartitionCurve | None = None,
) -> TensorVariable:
    r"""Historical data with a power, normalised over theta where the power is random.

    .. math:: \log p = a \log L(\theta; y_0) - \log Z(a)

    It is a part of the prior: a Potential of this name, which stays with the prior when the model
    is tempered.

    Parameters
    ----------
    name
        of the Potential.
    historical
        the law of the historical data given the model's variables, such as
        ``pm.Binomial.dist(100, theta)``.
    observed
        the historical data y_0.
    power
        a, >= 0: a number, or a variable of the model such as ``pm.Uniform("a")``.
    log_partition
        log Z(a) from `log_partition_curve` of a tempered run of *the same prior with the
        historical data alone*; needed where the power is random. It is known inside the run's
        ladder, so that the power's prior must not reach beyond. A fixed power needs none.

    Returns
    -------
    The Potential.

    Raises
    ------
    CalibrationError
        a random power without log_partition, or one whose prior leaves the ladder; a negative
        power.

    Notes
    -----
    It is normalised over theta: a joint law of theta and a, in which p(a) is a's prior. Sources:
    Ibrahim and Chen (2000), Statistical Science 15; Duan, Ye, Smith (2006), Environmetrics 17,
    and Neuenschwander, Branson, Spiegelhalter (2009), Stat. Med. 28, for the normaliser; Carvalho
    and Ibrahim (2021), Stat. Med. 40, for its approximation along a.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     theta = pm.Beta("theta", 1, 1)
    ...     before = pm.Binomial("before", 100, theta, observed=40)
    ...     dt = pms.sample_tempered(500, random_seed=1, quiet=True)
    >>> with pm.Model() as model:
    ...     theta = pm.Beta("theta", 1, 1)
    ...     a = pm.Uniform("a")
    ...     prior = pms.calibration.PowerPrior(
    ...         "before", pm.Binomial.dist(100, theta), observed=40, power=a,
    ...         log_partition=pms.log_partition_curve(dt))
    ...     now = pm.Binomial("now", 100, theta, observed=44)
    >>> [v.name for v in model.potentials]
    ['before']
    """
    model = pm.modelcontext(None)
    node = pt.as_tensor_variable(power, dtype=None if isinstance(power, pt.Variable) else "float64")
    if node.type.ndim != 0:
        raise CalibrationError(
            f"{name}: the power has {node.type.ndim} axes; give one number for one set of data."
        )
    random = _is_random(node, model)
    if random and log_partition is None:
        raise CalibrationError(
            f"{name}: the power is random, and L(theta)^a alone is no density of theta given a: "
            "give log_partition=pm_statmech.log_partition_curve(dt), dt a tempered run of the "
            "historical data alone under the same prior."
        )
    if not np.all(np.isfinite(np.asarray(observed.eval() if isinstance(observed, pt.Variable)
                                         else observed, dtype=float))):  # fmt: skip
        raise CalibrationError(f"{name}: the historical data have values that are not finite.")
    if not random:
        fixed = float(node.eval())
        if not 0 <= fixed < np.inf:
            raise CalibrationError(f"{name}: power = {fixed:g}; it is at least 0, and finite.")
        # a constant normaliser moves no posterior
        log_partition = None
    if random and log_partition is not None:
        tried = np.asarray(pm.draw(node, N_TRIED, random_seed=0))
        low, high = float(log_partition.betas[0]), float(log_partition.betas[-1])
        if np.min(tried) < low or np.max(tried) > high:
            raise CalibrationError(
                f"{name}: the power's prior reaches from {np.min(tried):.3g} to "
                f"{np.max(tried):.3g}, and log Z is known from {low:.3g} to {high:.3g}. Bound the "
                "prior, or temper the historical data to a larger target_beta."
            )
    density = pt.sum(logp(historical, pt.as_tensor_variable(observed)))
    value = pt.cast(node, "float64") * pt.cast(density, "float64")
    if log_partition is not None:
        value = value - log_partition(node)
    return pm.Potential(name, value)
