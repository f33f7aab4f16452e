r"""Distributions on spheres by a quadratic form, with their normalisers.

.. math:: p(x) = \frac{e^{x^\top A x + b \cdot x}}{Z(A, b)}, \qquad |x| = 1

with respect to the surface measure. Draws are accepted out of those of an angular central Gaussian
distribution, y / |y| with y normal, whose density lies above that of a Bingham distribution by at
most a constant; and a Bingham distribution lies above all these, because

.. math:: b \cdot x \le \frac{|b|}{2 s_0} \left(s_0^2 + \Big(\frac{b \cdot x}{|b|}\Big)^2\right)

for any s_0 > 0, here the mean of b . x / abs(b).

Source of both: Kent, Ganeiban, Mardia (2018), A new unified approach for the simulation of a wide
class of directional distributions, J. Comput. Graph. Stat. 27(2), 291-301.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import Distribution, _support_point
from pymc.distributions.shape_utils import rv_size_is_none
from pymc.distributions.transforms import _default_transform
from pymc.logprob.abstract import _logprob
from pytensor.tensor import TensorConstant
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.random.op import RandomVariable
from scipy.optimize import brentq

from pm_statmech.distributions.constants import check_constant, is_finite, is_not_negative
from pm_statmech.distributions.spheres import ROUNDING, Stereographic, unit
from pm_statmech.errors import FamilyError
from pm_statmech.log_partition.fisher_bingham import FisherBingham as Normaliser
from pm_statmech.log_partition.fisher_bingham import normaliser

# of the mean along b, and rounds of proposals without a draw
LEAST_LEAN, MOST_ROUNDS = 1e-3, 20_000


def envelope(roots: np.ndarray) -> float:
    """The b of the envelope, sum_i 1 / (b + 2 a_i) = 1, of roots a (d,) of which one is 0."""
    d = len(roots)
    return brentq(lambda b: np.sum(1.0 / (b + 2.0 * roots)) - 1.0, 1e-12, float(d) + 1e-9)


def draws(rng: np.random.Generator, n: int, A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Unit vectors (n, d) of one A (d, d) and b (d,)."""
    d, kappa = len(b), float(np.linalg.norm(b))
    direction = b / kappa if kappa > 0 else b
    mean = float(normaliser(A, b)[1] @ direction)
    # it is NaN where log Z is, and any positive number will do
    lean = mean if mean > LEAST_LEAN else LEAST_LEAN
    form = 0.5 * (A + A.T) + 0.5 * kappa / lean * np.outer(direction, direction)
    eigenvalues, axes = np.linalg.eigh(form)
    roots = eigenvalues[-1] - eigenvalues
    flat = envelope(roots)
    scales = 1.0 / np.sqrt(1.0 + 2.0 * roots / flat)
    log_bound = 0.5 * (flat - d) + 0.5 * d * np.log(d / flat)
    kept, n_proposed = np.empty((0, d)), 0
    while len(kept) < n:
        n_proposed += 1
        if n_proposed > MOST_ROUNDS and len(kept) == 0:
            raise FamilyError(
                "no draw was accepted: b and A pull too hard in different directions for the "
                "envelope by Bingham distributions."
            )
        y = rng.normal(size=(2 * (n - len(kept)) + 16, d)) * scales
        u = y / np.linalg.norm(y, axis=1, keepdims=True)
        # of the Bingham distribution against its envelope, and of this against that
        log_share = -(u**2) @ roots + 0.5 * d * np.log(u**2 @ (1.0 / scales**2)) - log_bound
        x = u @ axes.T
        log_share -= 0.5 * kappa / lean * (lean - x @ direction) ** 2
        accepted = np.log(rng.random(len(x))) < log_share
        kept = np.concatenate([kept, x[accepted]])
    return kept[:n]


class FisherBinghamRV(RandomVariable):
    """Quadratic form A and vector b."""

    name = "fisher_bingham"
    signature = "(d,d),(d)->(d)"
    dtype = "floatX"
    _print_name = ("FisherBingham", "\\operatorname{FisherBingham}")

    @staticmethod
    def log_partition(A, b):
        """Log Z (...)."""
        return Blockwise(Normaliser())(0.5 * (A + pt.swapaxes(A, -1, -2)), b)[0]

    @staticmethod
    def relative_error(A, b):
        """None but rounding."""
        return pt.zeros_like(b[..., 0])

    @staticmethod
    def engine_said() -> str:
        """How it is computed."""
        return "contour integral"

    @staticmethod
    def engine_bytes() -> int:
        """Nothing: nodes are not kept."""
        return 0

    @classmethod
    def rng_fn(cls, rng, A, b, size=None):
        """Draws of every A and b."""
        batch = np.broadcast_shapes(A.shape[:-2], b.shape[:-1]) if size is None else tuple(size)
        d = b.shape[-1]
        A = np.broadcast_to(A, (*batch, d, d)).reshape(-1, d, d)
        b = np.broadcast_to(b, (*batch, d)).reshape(-1, d)
        same = len(A) > 0 and np.all(A[0] == A) and np.all(b == b[0])
        if same:
            return draws(rng, len(A), A[0], b[0]).reshape(*batch, d)
        found = [draws(rng, 1, one, other)[0] for one, other in zip(A, b, strict=True)]
        return np.array(found).reshape(*batch, d)


fisher_bingham = FisherBinghamRV()


@_logprob.register(FisherBinghamRV)
def _fisher_bingham_logp(op, values, rng, size, A, b, **kwargs):
    [x] = values
    log_z = op.log_partition(A, b)
    form = pt.sum(x * pt.sum(A * x[..., None, :], axis=-1), axis=-1)
    off = pt.abs(pt.sum(pt.sqr(x), axis=-1) - 1.0)
    log_p = form + pt.sum(b * x, axis=-1) - log_z
    log_p = pt.switch(pt.le(off, 2.0 * ROUNDING), log_p, -np.inf)
    finite = pt.all(pt.isfinite(A), axis=(-2, -1)) & pt.all(pt.isfinite(b), axis=-1)
    return check_parameters(log_p, finite, msg="A and b are finite")


@_support_point.register(FisherBinghamRV)
def _fisher_bingham_support_point(op, rv, rng, size, A, b):
    # off the pole of the projection
    d = rv.type.shape[-1]
    point = unit(pt.constant(np.arange(d, 0, -1) / d)) + 0.0 * (b + A[..., 0])
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


@_default_transform.register(FisherBinghamRV)
def _fisher_bingham_transform(op, rv):
    return Stereographic()


def check_form(A, b):
    """Quadratic form (..., d, d) and vector (..., d) in float64.

    Raises
    ------
    FamilyError
        constants that are not finite or not symmetric, shapes that do not fit, or a number of
        dimensions that is not known.
    """
    A = check_constant("A", A, is_finite, "a quadratic form is finite")
    b = check_constant("b", b, is_finite, "a vector is finite")
    d = b.type.shape[-1] if b.type.ndim > 0 else None
    shapes_fit = A.type.ndim >= 2 and all(n is None or n == d for n in A.type.shape[-2:])
    if d is None or d < 2 or not shapes_fit:
        raise FamilyError(
            f"A has the shape {A.type.shape} and b {b.type.shape}: these are (..., d, d) and "
            "(..., d), of d >= 2 that is known."
        )
    if isinstance(A, TensorConstant):
        lean = np.max(np.abs(A.data - np.swapaxes(A.data, -1, -2)))
        if lean > 1e-8 * max(1.0, float(np.max(np.abs(A.data)))):
            raise FamilyError(f"A is not symmetric: it and its transpose differ by {lean:.3g}.")
    return A, b


class FisherBingham(Distribution):
    r"""Unit vectors by a quadratic form and a direction.

    .. math:: p(x) = \frac{e^{x^\top A x + b \cdot x}}{Z(A, b)}, \qquad |x| = 1

    with respect to the surface measure. Adding a multiple of the unit matrix to A changes nothing.

    Parameters
    ----------
    A
        (..., d, d) symmetric; b : (..., d). d is 2 or more.

    Raises
    ------
    FamilyError
        constants that are not finite or not symmetric, or a number of dimensions that is not
        known.

    Notes
    -----
    Z is good to 1e-10 or NaN for any d, and to rounding where b is not large against A: see
    `log_partition.fisher_bingham`. Data are unit vectors to
    1e-4, and others have probability 0; a latent vector is sampled by its stereographic projection.
    First derivatives are offered.

    Source: Mardia and Jupp (2000), Directional Statistics, section 9.3.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = pms.FisherBingham.dist(np.zeros((3, 3)), np.zeros(3))
    >>> round(float(pm.logp(y, [1.0, 0.0, 0.0]).exp().eval(mode="FAST_COMPILE")) * 4 * np.pi, 6)
    1.0
    """

    rv_type = FisherBinghamRV
    rv_op = fisher_bingham

    @classmethod
    def dist(cls, A, b, **kwargs):
        """Return the variable without a model."""
        A, b = check_form(A, b)
        if isinstance(A, TensorConstant) and isinstance(b, TensorConstant):
            log_z = FisherBinghamRV.log_partition(A, b).eval(mode="FAST_COMPILE")
            if not np.all(np.isfinite(log_z)):
                raise FamilyError(
                    f"the contour integral of A = {A.data} and b = {b.data} has not converged."
                )
        return super().dist([A, b], **kwargs)


class Bingham(Distribution):
    r"""Axes by a quadratic form: x and -x are the same.

    .. math:: p(x) = \frac{e^{x^\top A x}}{Z(A)}, \qquad |x| = 1

    with respect to the surface measure; on unit quaternions (d = 4) it is a distribution of
    rotations.

    Parameters
    ----------
    A
        (..., d, d) symmetric, of any sign.

    Raises
    ------
    FamilyError
        see `FisherBingham`, whose notes hold here too.

    Notes
    -----
    Source: Bingham (1974), An antipodally symmetric distribution on the sphere, Ann. Statist. 2,
    1201-1225.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = pms.Bingham.dist(np.diag([0.0, 0.0, 10.0]))
    >>> round(float(pm.logp(y, [0.0, 0.0, -1.0]).eval(mode="FAST_COMPILE")), 6)
    0.40573
    """

    rv_type = None

    @classmethod
    def dist(cls, A, **kwargs):
        """Return the variable without a model."""
        A = check_constant("A", A, is_finite, "a quadratic form is finite")
        d = A.type.shape[-1] if A.type.ndim >= 2 else None
        if d is None:
            raise FamilyError(
                f"A has the shape {A.type.shape}: it is (..., d, d), of d >= 2 that is known."
            )
        return FisherBingham.dist(A, np.zeros(d), **kwargs)


class Kent(Distribution):
    r"""Unit vectors in three dimensions with oval contours about a mean direction.

    .. math:: p(x) = \frac{1}{Z(\kappa, \beta)} e^{\kappa\, \gamma_1 \cdot x
              + \beta \left((\gamma_2 \cdot x)^2 - (\gamma_3 \cdot x)^2\right)}, \qquad |x| = 1

    with respect to the surface measure. beta < kappa / 2 has one mode.

    Parameters
    ----------
    axes
        (..., 3, 3) orthonormal rows: mean direction, major axis, minor axis.
    kappa
        (...) concentration, >= 0; beta : (...) how oval, of any sign.

    Raises
    ------
    FamilyError
        constants outside their range, axes that are not orthonormal to 1e-6.

    Notes
    -----
    See `FisherBingham`.

    Source: Kent (1982), The Fisher-Bingham distribution on the sphere, J. R. Stat. Soc. B 44(1),
    71-80.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = pms.Kent.dist(np.eye(3), kappa=5.0, beta=2.5)
    >>> round(float(pm.logp(y, [1.0, 0.0, 0.0]).eval(mode="FAST_COMPILE")), 6)
    -0.501236
    """

    rv_type = None

    @classmethod
    def dist(cls, axes, kappa, beta, **kwargs):
        """Return the variable without a model."""
        axes = check_constant("axes", axes, is_finite, "an axis is finite")
        if axes.type.ndim < 2 or axes.type.shape[-2:] != (3, 3):
            raise FamilyError(f"axes has the shape {axes.type.shape}: it is (..., 3, 3).")
        check_constant(
            "axes", axes,
            lambda v: np.allclose(v @ np.swapaxes(v, -1, -2), np.eye(3), atol=1e-6),
            "its rows are not orthonormal",
        )  # fmt: skip
        kappa = check_constant("kappa", kappa, is_not_negative, "it is finite and not negative")
        beta = check_constant("beta", beta, is_finite, "it must be finite")
        mean, major, minor = axes[..., 0, :], axes[..., 1, :], axes[..., 2, :]
        form = major[..., :, None] * major[..., None, :] - minor[..., :, None] * minor[..., None, :]
        return FisherBingham.dist(beta[..., None, None] * form, kappa[..., None] * mean, **kwargs)
