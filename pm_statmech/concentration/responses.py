r"""Thermodynamics of an exponential family: responses, heat capacity, relations between them.

.. math:: \frac{d E_\eta[O]}{dh}\Bigr|_{\eta + h F} = \operatorname{Cov}_\eta(O, F), \qquad
          C = \eta \cdot \operatorname{Cov}_\eta(T)\, \eta, \qquad
          \frac{\partial E[T_i]}{\partial \eta_j} = \frac{\partial E[T_j]}{\partial \eta_i}

with the energy -eta . T at beta = 1. The first is the fluctuation-dissipation theorem, the last
Maxwell's relation.

Sources: Kubo (1966), Rep. Prog. Phys. 29, 255-284; Callen (1985), Thermodynamics and an
Introduction to Thermostatistics, chapters 7 and 19; Amari (2016), Information Geometry and Its
Applications, section 2.1, for mixed coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family


class MixedResponses(NamedTuple):
    """Responses where some means are held instead of their natural parameters.

    `susceptibility` (a, a) of the free means to their parameters; `means` (a, b) of the free
    means to the held ones; `parameters` (b, a), how the parameters of the held means must move
    with the free ones: minus the transpose of `means`, which is Maxwell's relation.
    """

    susceptibility: np.ndarray
    means: np.ndarray
    parameters: np.ndarray


def _values(expression) -> np.ndarray:
    return np.asarray(expression.eval(mode="FAST_COMPILE"))


def fisher_information(family: Family, eta) -> np.ndarray:
    r"""Fisher information (K, K), :math:`\nabla^2 A = \operatorname{Cov}_\eta(T)`.

    Parameters
    ----------
    family
        a `Family`; eta : (K,) natural parameters, numbers.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> round(float(fisher_information(die, [0.0])[0, 0]), 6)
    2.916667
    """
    return _values(family.covariance(np.asarray(eta, dtype=np.float64)))


def response(family: Family, eta, *, observable: Callable, field: Callable) -> float:
    r"""How fast the mean of an observable grows with a field, by fluctuations.

    .. math:: \frac{d}{dh} E_{\eta, h}[O] \Bigr|_{h = 0} = \operatorname{Cov}_\eta(O, F), \qquad
              p_{\eta, h} \propto p_\eta\, e^{h F}

    Parameters
    ----------
    family
        a `Family`; eta : (K,) natural parameters, numbers.
    observable, field
        x -> O(x) and F(x), numbers as tensors.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> round(response(die, [0.0], observable=lambda x: x, field=lambda x: x), 6)
    2.916667
    """
    eta = np.asarray(eta, dtype=np.float64)
    statistics = family.statistics
    wider = Family(
        lambda x: [*statistics(x), observable(x), field(x)], family.support, family.log_base
    )
    found = fisher_information(wider, np.append(eta, [0.0, 0.0]))
    return float(found[-2, -1])


def heat_capacity_of_family(family: Family, eta) -> float:
    r"""Heat capacity at beta = 1 of the energy -eta . T, :math:`\eta \cdot \nabla^2 A\, \eta`.

    Parameters
    ----------
    family
        a `Family`; eta : (K,) natural parameters, numbers: beta times them at another beta.

    Examples
    --------
    Schottky's two levels, a distance of one apart, at the peak of their heat capacity:

    >>> import pm_statmech as pms
    >>> levels = pms.Family(lambda x: [x], pms.Integers(0, 1))
    >>> round(heat_capacity_of_family(levels, [-1 / 0.41677828]), 6)
    0.439229
    """
    eta = np.asarray(eta, dtype=np.float64)
    return float(eta @ fisher_information(family, eta) @ eta)


def mixed_responses(family: Family, eta, *, held: Sequence[int]) -> MixedResponses:
    r"""Responses of means with other means held, as a heat capacity at constant volume.

    .. math:: \frac{\partial \mu_a}{\partial \eta_a}\Bigr|_{\mu_b}
              = C_{aa} - C_{ab} C_{bb}^{-1} C_{ba}, \qquad
              \frac{\partial \mu_a}{\partial \mu_b}\Bigr|_{\eta_a} = C_{ab} C_{bb}^{-1}
              = -\left(\frac{\partial \eta_b}{\partial \eta_a}\Bigr|_{\mu_b}\right)^{\!\top}

    Parameters
    ----------
    family
        a `Family`; eta : (K,) natural parameters, numbers.
    held
        numbers of the statistics whose means are held.

    Raises
    ------
    FamilyError
        all or none held, or a number that is no statistic's.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x, x**2], pms.Integers(1, 6))
    >>> found = mixed_responses(die, [0.0, 0.0], held=[0])
    >>> round(float(found.susceptibility[0, 0]), 4), round(float(found.means[0, 0]), 4)
    (6.2222, 7.0)
    """
    C = fisher_information(family, eta)
    b = np.unique(np.asarray(held, dtype=int))
    if len(b) == 0 or len(b) == len(C) or np.any(b < 0) or np.any(b >= len(C)):
        raise FamilyError(f"held = {list(held)} of {len(C)} statistics: some, and not all.")
    if np.linalg.matrix_rank(C[np.ix_(b, b)]) < len(b):
        raise FamilyError(f"held = {list(held)}: some of these statistics follow from the others.")
    a = np.setdiff1d(np.arange(len(C)), b)
    across = np.linalg.solve(C[np.ix_(b, b)], C[np.ix_(b, a)])
    return MixedResponses(C[np.ix_(a, a)] - C[np.ix_(a, b)] @ across, across.T, -across)
