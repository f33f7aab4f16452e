"""Checks of parameters that are constants, when a model is built."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import constant_fold
from pytensor.graph.basic import Variable
from pytensor.tensor import TensorConstant

from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family


def check_constant(name: str, value, holds, what: str):
    """Parameter in float64; FamilyError where it is a constant that does not hold."""
    if not isinstance(value, Variable):
        value = np.asarray(value, dtype=np.float64)
    value = pt.cast(pt.as_tensor_variable(value), "float64")
    if isinstance(value, TensorConstant) and not np.all(holds(value.data)):
        raise FamilyError(f"{name} = {value.data}: {what}.")
    return value


def is_positive(value):
    """Positive and finite."""
    return (value > 0) & np.isfinite(value)


def is_not_negative(value):
    """Not negative, and finite."""
    return (value >= 0) & np.isfinite(value)


def is_finite(value):
    """Finite."""
    return np.isfinite(value)


def known(value) -> np.ndarray | None:
    """Value of a graph of constants, or None of one that is not."""
    [found] = constant_fold([pt.as_tensor_variable(value)], raise_not_constant=False)
    return None if isinstance(found, Variable) else np.asarray(found)


def check_normaliser(A, error, said: str, support: str) -> None:
    """Raise FamilyError where A and its error, graphs of constants, give no distribution.

    Parameters
    ----------
    said
        what they are of; support : where it lives.
    """
    A, error = pytensor.function([], [A, error], mode="FAST_COMPILE")()
    if np.any(np.isposinf(A)):
        raise FamilyError(
            f"{said} give no distribution on {support}: the sum or integral of "
            "exp(eta . T) is infinite."
        )
    if np.any(np.isnan(A)):
        raise FamilyError(
            f"the normaliser at {said} on {support} has an estimated relative error of "
            f"{np.max(error):.1g}. Look for kinks or separate narrow modes in the statistics, for "
            "a singularity at an end that is not 0, or for a sum of more than a million terms that "
            "does not fall off on both sides."
        )


def check_natural_parameters(family: Family, eta) -> None:
    """Raise FamilyError where constants (..., K) give no distribution."""
    values = eta.eval(mode="FAST_COMPILE")
    said = f"natural parameters {values}"
    if not np.all(np.isfinite(values)):
        raise FamilyError(f"{said} are not all finite.")
    check_normaliser(
        family.log_partition(eta), family.relative_error(eta), said, str(family.support)
    )


def check_distribution(kind, *params) -> None:
    """Raise FamilyError where constants of a variable's kind give no distribution."""
    if all(isinstance(p, TensorConstant) for p in params):
        check_natural_parameters(kind.family, kind.natural(*params))
