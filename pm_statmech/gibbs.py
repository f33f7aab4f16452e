r"""Terms of a model that are losses, not likelihoods.

.. math:: \pi_\beta(\theta) \propto \pi_0(\theta) \exp(-\beta E(\theta)),
          \qquad E(\theta) = \sum_i w_i\, \ell(y_i, \hat y_i(\theta))

Source: Bissiri, Holmes, Walker (2016), A general framework for updating belief distributions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import convert_observed_data, rvs_in_graph
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.random.op import RandomVariable

from pm_statmech import losses
from pm_statmech.errors import (
    ImproperScaleError,
    InverseTemperatureError,
    LossError,
    ObservedDataError,
    PredictionError,
    ShapeMismatchError,
)
from pm_statmech.ladder import check_beta
from pm_statmech.losses import Loss


class GibbsLossRV(RandomVariable):
    """Observed variable with logp = -beta w loss(value, *prediction); inputs beta, w, prediction.

    The loss is a property of the Op, so that it survives every copy of a model's graph.
    """

    _print_name = ("GibbsLoss", "\\operatorname{GibbsLoss}")
    __props__ = (*RandomVariable.__props__, "label", "loss", "random")  # type: ignore[assignment]

    def __init__(self, signature, dtype, label, loss, random, name="gibbs_loss", inplace=False):
        self.label, self.loss, self.random = label, loss, random
        super().__init__(name=name, signature=signature, dtype=dtype, inplace=inplace)

    def __str__(self) -> str:
        return f"GibbsLoss{{{self.label}, {self.loss.label}}}"

    def rng_fn(self, rng, beta, weights, *arguments):  # type: ignore[override]
        """Draw data by the user's own function, or say that there is none."""
        *prediction, size = arguments
        if self.random is None:
            raise PredictionError(
                f"{self.label} is a loss, which does not say how data are drawn. Pass "
                f"random= to GibbsLoss({self.label!r}, ...), a function "
                "random(prediction, rng, size), or leave it out with var_names=."
            )
        return np.asarray(self.random(*prediction, rng=rng, size=size), dtype=self.dtype)


def tempered_log_density(beta, energy):
    """Return -beta * energy, and exactly 0 at beta = 0 even where the energy is infinite."""
    return pt.switch(pt.eq(beta, 0), pt.zeros_like(energy), -beta * energy)


@_logprob.register(GibbsLossRV)
def _gibbs_loss_logprob(op, values, rng, size, beta, weights, *prediction, **kwargs):
    (value,) = values
    return tempered_log_density(beta, weights * op.loss(value, *prediction))


class GibbsPotentialOp(OpFromGraph):
    """Marks a Potential as -beta * energy; inputs energy and beta."""


def _beta_node(name: str, beta, model: pm.Model):
    """Return the data node of a term's own beta, or the tensor it was given."""
    if isinstance(beta, pt.Variable):
        random = rvs_in_graph([beta])
        if random:
            raise InverseTemperatureError(
                f"{name}: beta depends on a random variable ({beta}). exp(-beta * loss) is not "
                "normalised over the data, so beta would run to 0. Fix beta, or observe "
                "pm_statmech.Powered(dist, beta), the power of a distribution with its normaliser."
            )
        if beta.type.ndim != 0:
            raise InverseTemperatureError(f"{name}: beta must be a scalar, not {beta.type}.")
        if isinstance(beta, SharedVariable):
            check_beta(beta.get_value(), f"{name}: beta")
        return pt.cast(beta, "float64")
    if np.ndim(beta) != 0:
        raise InverseTemperatureError(
            f"{name}: beta has shape {np.shape(beta)}; it is one number. Use weights= for a "
            "factor an observation."
        )
    value = check_beta(beta, f"{name}: beta")
    return pm.Data(f"{name}_beta", np.float64(value), model=model)


def _as_loss(name: str, loss, n_predictions: int) -> Loss:
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        raise LossError(
            f"{name}: loss={loss!r} is not a loss. Give one of pm_statmech.losses, or a "
            "function of (observed, *prediction) written in pytensor.tensor."
        )
    label = getattr(loss, "__name__", type(loss).__name__)
    if getattr(loss, "__module__", "").startswith(losses.__name__):
        raise LossError(
            f"{name}: losses.{label} makes a loss and is not one: call it with its constants, "
            f"loss=losses.{label}(...)."
        )
    scalars = ",".join(["()"] * (1 + n_predictions)) + "->()"
    return Loss(
        name=label,
        law=loss,
        unit="unspecified",
        smooth=False,
        convex=False,
        source=loss,
        signature=getattr(loss, "signature", scalars),
    )


def _check_observed(name: str, observed) -> Any:
    """Return observed as PyMC wants it, after refusing what PyMC would silently impute."""
    values = observed.get_value() if isinstance(observed, SharedVariable) else observed
    if not isinstance(values, pt.Variable):
        masked = np.ma.isMaskedArray(values) and np.ma.is_masked(values)
        array = np.ma.getdata(values) if masked else np.asarray(values)
        if array.size == 0:
            raise ObservedDataError(f"{name}: observed is empty, shape {array.shape}.")
        if array.dtype.kind not in "biuf":
            raise ObservedDataError(f"{name}: observed has dtype {array.dtype}; give numbers.")
        n_bad = int(np.ma.count_masked(values)) if masked else int(np.sum(~np.isfinite(array)))
        if n_bad:
            raise ObservedDataError(
                f"{name}: {n_bad} of {array.size} observed values are missing or not finite. A "
                "loss cannot impute them (there is no density to draw them from): drop those "
                "rows from observed and prediction."
            )
        if array.dtype == bool:
            return array.astype("int64")
    return observed if isinstance(observed, pt.Variable) else convert_observed_data(observed)


def _pointwise_on_dummies(name: str, loss: Loss, arguments) -> Any:
    """Call the loss on placeholders, so that what it closes over becomes visible."""
    dummies = [a.type() for a in arguments]
    try:
        pointwise = loss(*dummies) if loss.source is None else loss.source(*dummies)
    except LossError:
        raise
    except Exception as error:
        raise LossError(
            f"{name}: the loss {loss.label} could not be built on symbolic tensors ({error}). "
            "Write it with pytensor.tensor: pt.abs, pt.maximum, pt.where instead of np's."
        ) from error
    if not isinstance(pointwise, pt.TensorVariable):
        raise LossError(
            f"{name}: the loss {loss.label} returned a {type(pointwise).__name__}, not a "
            "tensor. Write it with pytensor.tensor, and return one value an observation."
        )
    closed_over = rvs_in_graph([pointwise])
    if closed_over:
        raise LossError(
            f"{name}: the loss {loss.label} uses the random variable(s) "
            f"{sorted(str(rv) for rv in closed_over)} of its surroundings. Pass them through "
            "prediction=(..., ...), so that the model knows of them."
        )
    return pointwise


def _check_shapes(name: str, loss: Loss, observed, prediction, n_core: int) -> None:
    pointwise = loss(observed, *prediction)
    expected = observed.shape[: observed.ndim - n_core]
    if pointwise.ndim != observed.ndim - n_core:
        seen = f"{pointwise.ndim} dimension(s)"
        raise ShapeMismatchError(
            f"{name}: the loss has {seen} where observed has {observed.ndim - n_core} without "
            f"core dimensions (signature {loss.signature}). Give prediction the shape of observed."
        )
    got, want = pointwise.type.shape, observed.type.shape[: pointwise.ndim]
    if None in got or None in want:
        # data of unknown static length: ask the graph, without drawing anything
        ask = pytensor.function([], pt.stack([*pointwise.shape, *expected]), mode="FAST_COMPILE")
        try:
            flat = ask()
        except (AssertionError, ValueError) as error:
            raise ShapeMismatchError(
                f"{name}: observed {observed.type} and prediction "
                f"{', '.join(str(p.type) for p in prediction)} do not broadcast. Make their "
                "shapes agree, for instance with observed.ravel() or prediction.squeeze()."
            ) from error
        got, want = tuple(flat[: pointwise.ndim]), tuple(flat[pointwise.ndim :])
    if tuple(map(int, got)) != tuple(map(int, want)):
        shapes_of = ", ".join(str(p.type.shape) for p in prediction)
        raise ShapeMismatchError(
            f"{name}: observed has shape {tuple(map(int, want))} and prediction {shapes_of}, which "
            f"broadcast to a loss of shape {tuple(map(int, got))}: one value for every pair. Make "
            "them agree, for instance with observed.ravel() or prediction.squeeze()."
        )


def _check_scale(name: str, loss: Loss, observed, prediction) -> None:
    """Refuse a free scale that exp(-beta * loss) is not normalised over."""
    if loss.proper_scale or len(prediction) < 2:
        return
    free = [p for p in prediction[1:] if rvs_in_graph([p])]
    if not free:
        return
    improper = loss.residual
    if loss.source is not None:
        # a loss that vanishes as its second argument grows has its infimum at infinity
        location, scale = pm.draw(list(prediction[:2]), random_seed=0)
        grow = [
            float(np.sum(loss(observed, location, factor * scale).eval())) for factor in (1.0, 1e9)
        ]
        improper = abs(grow[1]) < 1e-6 * abs(grow[0])
    if improper:
        raise ImproperScaleError(
            f"{name}: the scale given to {loss.label} depends on a free variable. The loss falls "
            "to 0 as the scale grows, and nothing (no log scale term) holds it back. Fix the "
            "scale, or use a loss that is proper in it: losses.crps_gaussian, "
            "losses.interval_score, losses.density_power, or a likelihood."
        )


def GibbsLoss(
    name: str,
    prediction,
    *,
    loss: Loss | Callable,
    observed,
    beta=1.0,
    weights=None,
    random: Callable | None = None,
    dims=None,
):
    r"""Observed variable of a PyMC model whose log density is a loss at an inverse temperature.

    .. math:: \log p = -\beta \sum_i w_i\, \ell(y_i, \hat y_i)

    Parameters
    ----------
    name
        of the variable.
    prediction
        tensor that broadcasts to the shape of `observed`, or a tuple of them, such as
        (location, scale) or (lower, upper), as the loss takes them.
    loss
        one of ``pm_statmech.losses``, or a function ``(observed, *prediction)`` -> pointwise
        values written in PyTensor.
    observed
        the data, array or ``pm.Data``; finite, complete, not empty.
    beta
        inverse temperature >= 0, in the inverse of the loss's unit. A number becomes the
        data node ``{name}_beta``, to be changed with ``pm.set_data``; a tensor or ``pm.Data``
        is used as it is. It multiplies the *sum* of the losses.
    weights
        one factor >= 0 an observation.
    random
        ``random(prediction, rng, size)`` -> draws, for predictive sampling.
    dims
        of the observations.

    Returns
    -------
    The observed random variable. ``pm.sample``, nutpie and ``pm.sample_smc`` take it as any other.

    Raises
    ------
    LossError, ShapeMismatchError, ObservedDataError, ImproperScaleError,
    InverseTemperatureError
        each names the variable, what was seen and what to do.

    Notes
    -----
    Source: Bissiri, Holmes, Walker (2016). exp(-beta loss) is not a density of y: compare
    models by the evidence at equal beta and loss, and predict with ``pm_statmech.loo``.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     median = pm.Normal("median", 0, 10)
    ...     y = pms.GibbsLoss("y", median, loss=pms.losses.absolute, observed=np.arange(5.0))
    >>> model.compile_logp(vars=[y])({"median": 2.0}).item()
    -6.0
    """
    model = pm.modelcontext(None)
    arguments = prediction if isinstance(prediction, tuple) else (prediction,)
    loss = _as_loss(name, loss, len(arguments))
    arguments = tuple(
        pt.as_tensor_variable(a, dtype=None if isinstance(a, pt.Variable) else "float64")
        for a in arguments
    )
    data = pt.as_tensor_variable(_check_observed(name, observed))
    _pointwise_on_dummies(name, loss, (data, *arguments))
    observed_core, *prediction_core = loss.signature.split("->")[0].replace(" ", "").split("),(")
    n_core = observed_core.strip("()").count(",") + 1 if observed_core.strip("()") else 0
    _check_shapes(name, loss, data, arguments, n_core)
    _check_scale(name, loss, data, arguments)
    if weights is None:
        factor: pt.Variable = pt.constant(np.float64(1.0))
    else:
        values = weights.get_value() if isinstance(weights, SharedVariable) else weights
        if not isinstance(values, pt.Variable):
            values = np.asarray(values, dtype=np.float64)
            if values.size == 0 or not np.all(np.isfinite(values)) or np.any(values < 0):
                raise LossError(f"{name}: weights must be finite and >= 0, one an observation.")
        factor = weights if isinstance(weights, pt.Variable) else pt.constant(values)
        if factor.type.ndim > data.ndim - n_core:
            raise ShapeMismatchError(
                f"{name}: weights have {factor.type.ndim} dimensions where the losses have "
                f"{data.ndim - n_core}: give one factor an observation."
            )
    inverse_temperature = _beta_node(name, beta, model)
    cores = ["()", "()"] + [f"({core.strip('()')})" for core in prediction_core]
    cores += ["()"] * (len(arguments) - len(prediction_core))
    op = GibbsLossRV(
        signature=",".join(cores) + f"->({observed_core.strip('()')})",
        dtype=data.type.dtype,
        label=name,
        loss=loss,
        random=random,
    )
    _, rv = op(
        inverse_temperature,
        factor,
        *arguments,
        size=tuple(data.shape[: data.ndim - n_core]),
        rng=pt.random.shared_rng(seed=None),
        return_next_rng=True,
    )
    # PyMC would take a string for a sequence of letters here
    own = (dims,) if isinstance(dims, str) else dims
    return model.register_rv(rv, name, observed=data, dims=own)


def GibbsPotential(name: str, energy, *, beta=1.0):
    r"""Scalar energy without a data axis, tempered with the rest: adds -beta * energy to the logp.

    A plain ``pm.Potential`` is a constraint, and stays with the prior when a model is tempered.

    Parameters
    ----------
    name
        of the Potential.
    energy
        scalar tensor that depends on the model's free variables; it does not contain beta.
    beta
        number >= 0, which becomes the data node ``{name}_beta``, or a ``pm.Data``.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     x = pm.Normal("x")
    ...     p = pms.GibbsPotential("well", (x**2 - 1) ** 2, beta=2.0)
    >>> model.compile_logp(vars=[p])({"x": 0.0}).item()
    -2.0
    """
    model = pm.modelcontext(None)
    energy = pt.as_tensor_variable(energy)
    if energy.ndim != 0:
        raise ShapeMismatchError(
            f"{name}: the energy has shape {energy.type.shape}; a GibbsPotential takes a scalar. "
            "Sum it, or use GibbsLoss, which keeps one value an observation."
        )
    node = _beta_node(name, beta, model)
    inner_energy, inner_beta = pt.dscalar("energy"), pt.dscalar("beta")
    op = GibbsPotentialOp(
        [inner_energy, inner_beta], [tempered_log_density(inner_beta, inner_energy)], inline=True
    )
    return pm.Potential(name, op(pt.cast(energy, "float64"), node))
