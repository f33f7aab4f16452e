"""Checks of parameters that are constants, when a model is built."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
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


def check_natural_parameters(family: Family, eta, said: str | None = None) -> None:
    """Raise FamilyError where constants (..., K) give no distribution.

    Parameters
    ----------
    said
        what to call them, by default natural parameters with their values.
    """
    finite = pt.all(pt.isfinite(eta))
    A, error = family.log_partition(eta), family.relative_error(eta)
    outputs = [finite, A, error, eta]
    is_finite, A, error, eta = pytensor.function([], outputs, mode="FAST_COMPILE")()
    said = f"natural parameters {eta}" if said is None else said
    if not is_finite:
        raise FamilyError(f"{said} are not all finite.")
    if np.any(np.isposinf(A)):
        raise FamilyError(
            f"{said} give no distribution on {family.support}: the sum or integral of "
            "exp(eta . T) is infinite."
        )
    if np.any(np.isnan(A)):
        raise FamilyError(
            f"the normaliser at {said} on {family.support} has an estimated relative error of "
            f"{np.max(error):.1g}. Look for kinks or separate narrow modes in the statistics, for "
            "a singularity at an end that is not 0, or for a sum of more than a million terms that "
            "does not fall off on both sides."
        )


def check_distribution(kind, *params) -> None:
    """Raise FamilyError where constants of a variable's kind give no distribution."""
    if all(isinstance(p, TensorConstant) for p in params):
        check_natural_parameters(kind.family, kind.natural(*params))
