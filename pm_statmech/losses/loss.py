"""What a loss is: a frozen value that knows its law and the properties others rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from pm_statmech.errors import LossError

Pointwise = Callable[..., TensorVariable]


@dataclass(frozen=True)
class Loss:
    r"""A pointwise loss, :math:`\ell(y_i, \hat y_i) \ge` its lower bound, summed by the energy.

    .. math:: E(\theta) = \sum_i w_i\, \ell(y_i, \hat y_i(\theta))

    Parameters
    ----------
    name
        how it is called in tables and errors.
    law
        ``law(observed, *prediction)`` -> one value an observation, written in PyTensor.
    parameters
        its fixed constants, as (name, value) pairs.
    unit
        the unit of a loss value, as a power of the unit of y: ``"y"``, ``"y^2"``, or ``"1"``.
        beta carries the inverse of it, since beta times the energy is a pure number.
    bound
        the supremum of the loss; infinite for most.
    smooth
        whether it is differentiable everywhere in the prediction.
    convex
        whether it is convex in the prediction.
    additive
        whether the energy is a sum over observations.
    proper_scale
        whether a scale it is given may itself be estimated.
    residual
        whether it is a function of ``observed - prediction``; such a loss takes an
        optional second prediction, a scale, that divides the residual.
    signature
        core dimensions, ``"(observed),(prediction)...->(loss)"``.
    source
        the user's own function, for a loss made from a plain callable.
    smoothed
        width -> a differentiable law that tends to this one's as the width, in the unit of
        the law's argument, tends to 0; for a loss with kinks. The width may be a tensor.
    convolved
        width -> the law convolved with a normal density of that standard deviation in the
        residual or the score, whose curvature is a kernel estimate at the kink.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> loss = pms.losses.pinball(0.9)
    >>> loss.unit, loss.smooth, loss.convex
    ('y', False, True)
    >>> loss(2.0, 1.0).eval().item()
    0.9
    """

    name: str
    law: Pointwise = field(compare=False, repr=False)
    parameters: tuple[tuple[str, Any], ...] = ()
    unit: str = "1"
    bound: float = np.inf
    smooth: bool = True
    convex: bool = True
    additive: bool = True
    proper_scale: bool = False
    residual: bool = False
    signature: str = "(),()->()"
    source: Callable | None = field(default=None, repr=False)
    smoothed: Callable[[Any], Pointwise] | None = field(default=None, compare=False, repr=False)
    convolved: Callable[[Any], Pointwise] | None = field(default=None, compare=False, repr=False)

    @property
    def bounded(self) -> bool:
        """Whether the loss has a finite supremum, `bound`."""
        return bool(np.isfinite(self.bound))

    @property
    def label(self) -> str:
        """Name and constants, such as ``pinball(tau=0.5)``."""
        constants = ", ".join(f"{key}={value}" for key, value in self.parameters)
        return f"{self.name}({constants})" if constants else self.name

    def __call__(self, *arguments) -> Any:
        """Pointwise loss of (observed, *prediction); with no argument, the loss itself."""
        if not arguments:
            return self
        observed, *prediction = (pt.as_tensor_variable(a) for a in arguments)
        if not prediction:
            raise LossError(f"{self.label} takes observed and prediction; it was given one value.")
        if self.residual:
            if len(prediction) > 2:
                raise LossError(
                    f"{self.label} takes a prediction and at most a scale, not "
                    f"{len(prediction)} predictions."
                )
            residual = observed - prediction[0]
            return self.law(residual / prediction[1] if len(prediction) == 2 else residual)
        expected = self.signature.split("->")[0].count("(") - 1
        if len(prediction) != expected:
            raise LossError(
                f"{self.label} takes {expected} prediction(s), signature {self.signature}; "
                f"{len(prediction)} were given."
            )
        return self.law(observed, *prediction)


def softplus_part(u, width):
    """Smooth relative of max(0, u): w log(1 + exp(u / w))."""
    return width * pt.softplus(u / width)


def convolved_part(u, width):
    r"""max(0, u) convolved with a normal density, :math:`u\,\Phi(u/h) + h\,\varphi(u/h)`."""
    z = u / width
    density = pt.exp(constant(-0.5) * z**2) / constant(np.sqrt(2.0 * np.pi))
    return u * constant(0.5) * pt.erfc(-z / constant(np.sqrt(2.0))) + width * density


def constant(value: float) -> TensorVariable:
    """A float64 constant: PyTensor would store a Python float that fits as float32."""
    return pt.constant(np.float64(value))


def positive(value: float, what: str) -> float:
    """Return a positive, fixed number, or raise LossError naming it."""
    number = fixed(value, what)
    if not 0 < number < np.inf:
        raise LossError(f"{what} = {number:g}: it must be positive and finite.")
    return number


def fraction(value: float, what: str) -> float:
    """Return a fixed number strictly between 0 and 1, or raise LossError naming it."""
    number = fixed(value, what)
    if not 0 < number < 1:
        raise LossError(f"{what} = {number:g}: it must lie strictly between 0 and 1.")
    return number


def fixed(value: float, what: str) -> float:
    """Return a plain number, or raise: a loss with a free constant has no fixed normaliser."""
    if isinstance(value, pt.TensorVariable):
        raise LossError(
            f"{what} is a tensor ({value}): the constants of a loss are fixed numbers, because "
            "exp(-beta * loss) is not normalised over them. Fix it, or use a likelihood."
        )
    return float(value)
