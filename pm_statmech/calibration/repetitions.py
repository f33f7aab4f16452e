r"""One repetition of a study: new data, their posterior, perhaps a beta of their own.

.. math:: y \sim G, \qquad \theta^{(s)} \sim \pi_0(\theta)\, e^{-\beta(y)\, E(\theta; y)}
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor

from pm_statmech.errors import CalibrationError
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.refits import Fit, Refits, compile_constrained, compile_refits
from pm_statmech.tempering import copy_model, tempered_model

Generate = Callable[[np.random.Generator], Mapping[str, np.ndarray]]


class Repetition(NamedTuple):
    """Draws of one posterior, {variable: (S, ...)}, its beta, and whether it mixed."""

    draws: Mapping[str, np.ndarray]
    beta: float = np.nan
    converged: bool = True


def check_data(given: Any, names: set[str], model: pm.Model) -> dict[str, np.ndarray]:
    """The generated data as arrays; names that the model lacks, or other shapes, are errors."""
    if not isinstance(given, Mapping) or not given:
        raise CalibrationError(
            "generate(rng) gives {name: values} of observed variables and pm.Data of the model; "
            f"it gave {type(given).__name__}."
        )
    unknown = sorted(set(given) - names)
    if unknown:
        raise CalibrationError(
            f"generate(rng) gives {unknown}, which the model does not have as data: it has "
            f"{sorted(names)}."
        )
    found = {}
    for name, values in given.items():
        array = np.asarray(values)
        old = np.shape(_held(model, name))
        if array.shape != old:
            raise CalibrationError(
                f"generate(rng) gives {name} of shape {array.shape}; the model's is {old}."
            )
        if not np.all(np.isfinite(array)):
            raise CalibrationError(f"generate(rng) gives {name} with values that are not finite.")
        found[name] = array
    return found


def _held(model: pm.Model, name: str) -> np.ndarray:
    """Values that an observed variable or a pm.Data has now."""
    variable = model[name]
    value = model.rvs_to_values.get(variable, variable)
    return np.asarray(value.eval())


def data_names(model: pm.Model) -> set[str]:
    """Names of observed variables with data of their own, and of pm.Data."""
    data = {v.name for v in model.data_vars}
    observed = {rv.name for rv in model.observed_RVs if model.rvs_to_values[rv].name not in data}
    return data | observed


def with_data(model: pm.Model, data: Mapping[str, np.ndarray]) -> pm.Model:
    """Copy of a model with other data.

    They are shared variables: constants would be part of the code, and compiled with it each time.
    """
    observed = {rv.name for rv in model.observed_RVs}
    types = {name: model.rvs_to_values[model[name]].type for name in data if name in observed}
    copy = copy_model(
        model,
        observed={
            name: pytensor.shared(
                np.asarray(data[name], dtype=own.dtype), name=f"{name}_data", shape=own.shape
            )
            for name, own in types.items()
        },
    )
    for name, values in data.items():
        if name not in observed:
            copy[name].set_value(np.asarray(values, dtype=copy[name].type.dtype))
    return copy


class Refitted:
    """Callable rng -> Repetition: data of a generator, and the model's posterior at one beta.

    See `refitted`. It compiles when it is first called, and again in another process.
    """

    def __init__(self, model, generate: Generate, beta: float | None, draws: int, tempered) -> None:
        self.model, self.generate, self.beta, self.draws = model, generate, beta, draws
        self.tempered = tempered
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._ready: tuple[Refits, Fit, Callable] | None = None

    def __getstate__(self) -> dict:
        """Without what was compiled."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_ready")}

    def __setstate__(self, state: dict) -> None:
        """As before it was compiled."""
        self.__dict__.update(state)
        self._prepare()

    def _compiled(self) -> tuple[Refits, Fit, Callable]:
        with self._lock:
            if self._ready is None:
                split = tempered_model(self.model, tempered=self.tempered)
                refits = compile_refits(split, counted=False)
                beta = split.target_beta if self.beta is None else self.beta
                first = refits.first(beta, {}, self.draws, np.random.default_rng(0))
                constrained = compile_constrained(split, refits.energy_function.layout)
                self._ready = refits, first, constrained
            return self._ready

    def __call__(self, rng: np.random.Generator) -> Repetition:
        """Draw data and their posterior."""
        refits, first, constrained = self._compiled()
        data = check_data(self.generate(rng), data_names(self.model), self.model)
        fit = refits.again(first, first.beta, data, self.draws, rng)
        return Repetition(constrained(fit.pooled()), fit.beta, fit.converged)


class Calibrated:
    """Callable rng -> Repetition: data, the beta that a method finds for them, the posterior.

    See `calibrated`.
    """

    def __init__(self, model, generate: Generate, method: Callable, draws: int, tempered) -> None:
        self.model, self.generate, self.method, self.draws = model, generate, method, draws
        self.tempered = tempered

    def __call__(self, rng: np.random.Generator) -> Repetition:
        """Draw data, calibrate, and draw the posterior."""
        data = check_data(self.generate(rng), data_names(self.model), self.model)
        model = with_data(self.model, data)
        found = self.method(model)
        beta = check_beta(float(getattr(found, "beta", found)), "the method's beta")
        split = tempered_model(model, tempered=self.tempered)
        refits = compile_refits(split, counted=False)
        fit = refits.first(beta, {}, self.draws, rng)
        constrained = compile_constrained(split, refits.energy_function.layout)
        return Repetition(constrained(fit.pooled()), beta, fit.converged)


def refitted(
    model: pm.Model,
    generate: Generate,
    *,
    beta: float | None = None,
    draws: int = 1000,
    tempered=None,
) -> Refitted:
    r"""Repetition for `coverage_study`: new data, and the posterior of the model at one beta.

    The model is compiled once; new data take the place of the old ones in memory, and the chains
    start from the posterior of the model's own data with its preconditioner and step, tune both
    in two short rounds, and are checked by R-hat and the effective number of draws.

    Parameters
    ----------
    model
        with data of the shapes that are generated; their values shape the first posterior.
    generate
        ``generate(rng) -> {name: values}`` of observed variables and ``pm.Data``.
    beta
        inverse temperature, by default the model's own.
    draws
        of each posterior.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Callable, rng -> Repetition
        which travels to other processes.

    Raises
    ------
    CalibrationError
        (when called) data that the model does not have, or of another shape.
    UnsupportedVariableError
        (when called) free variables on networks.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1, observed=np.zeros(20))
    >>> repeat = pms.calibration.refitted(model, lambda rng: {"y": rng.normal(3.0, 1.0, size=20)})
    >>> repetition = repeat(np.random.default_rng(1))
    >>> repetition.draws["mu"].shape, repetition.converged
    ((1000,), True)
    """
    check_beta(1.0 if beta is None else beta)
    return Refitted(model, generate, beta, draws, tempered)


def calibrated(
    model: pm.Model,
    generate: Generate,
    method: Callable,
    *,
    draws: int = 1000,
    tempered=None,
) -> Calibrated:
    r"""Repetition for `coverage_study`: new data, the beta that a method finds for them, draws.

    Parameters
    ----------
    model, generate, draws, tempered
        as for `refitted`.
    method
        ``method(model) -> Calibration``, such as `information_matching`, or a number.

    Returns
    -------
    Callable, rng -> Repetition

    Raises
    ------
    CalibrationError
        (when called) as `refitted`, and what the method raises.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", 0, 10)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=np.arange(20.0))
    >>> repeat = pms.calibration.calibrated(
    ...     model, lambda rng: {"y": rng.normal(3.0, 2.0, size=20)},
    ...     pms.calibration.information_matching)
    >>> bool(0.1 < repeat(np.random.default_rng(1)).beta < 0.6)
    True
    """
    return Calibrated(model, generate, method, draws, tempered)
