r"""One repetition of a study: new data, their posterior, perhaps a beta of their own.

.. math:: y \sim G, \qquad \theta^{(s)} \sim \pi_0(\theta)\, e^{-\beta(y)\, E(\theta; y)}
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor
from pytensor.graph.basic import Constant

from pm_statmech.errors import CalibrationError
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.refits import Fit, Refits, compile_constrained, compile_refits
from pm_statmech.tempering import copy_model, tempered_model

FEWEST_DRAWS = 100

Generate = Callable[[np.random.Generator], Mapping[str, np.ndarray]]


class Repetition(NamedTuple):
    """Draws of one posterior, {variable: (S, ...)}, its beta, and whether it mixed."""

    draws: Mapping[str, np.ndarray]
    beta: float = np.nan
    converged: bool = True


def check_data(given: Any, model: pm.Model) -> dict[str, np.ndarray]:
    """The generated data as arrays; names that the model lacks, or other values, are errors."""
    if not isinstance(given, Mapping) or not given:
        raise CalibrationError(
            "generate(rng) gives {name: values} of observed variables and pm.Data of the model; "
            f"it gave {type(given).__name__}."
        )
    names = data_names(model)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise CalibrationError(
            f"generate(rng) gives {unknown}, which the model does not have as data of its own: it "
            f"has {sorted(names)}. A variable observed through pm.Data has that one's name."
        )
    return {name: _checked(name, np.asarray(given[name]), names[name]) for name in given}


def _checked(name: str, array: np.ndarray, held: np.ndarray) -> np.ndarray:
    if array.shape != held.shape:
        raise CalibrationError(
            f"generate(rng) gives {name} of shape {array.shape}; the model's is {held.shape}."
        )
    if array.dtype.kind not in "biuf":
        raise CalibrationError(f"generate(rng) gives {name} of type {array.dtype}: give numbers.")
    if not np.all(np.isfinite(array)):
        raise CalibrationError(f"generate(rng) gives {name} with values that are not finite.")
    if held.dtype.kind in "biu" and not np.all(array == np.round(array)):
        raise CalibrationError(
            f"generate(rng) gives {name} such as {array.ravel()[array.ravel() % 1 != 0][0]:g}, "
            f"where the model's are integers ({held.dtype})."
        )
    return array.astype(held.dtype)


def data_names(model: pm.Model) -> dict[str, np.ndarray]:
    """Values now of observed variables with data of their own, and of pm.Data, by name."""
    found = {}
    betas = {f"{rv.name}_beta" for rv in model.observed_RVs}
    for data in model.data_vars:
        if data.name not in betas:
            found[data.name] = np.asarray(
                data.get_value() if hasattr(data, "get_value") else data.data
            )
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        if isinstance(value, Constant):
            found[rv.name] = np.asarray(value.data)
    return found


def coordinate_labels(model: pm.Model, name: str, shape: tuple[int, ...]) -> list[str]:
    """Name of each entry of a variable: by the model's coordinates where it has them."""
    dims = model.named_vars_to_dims.get(name, ())
    values = []
    for axis, size in enumerate(shape):
        labels = model.coords.get(dims[axis]) if axis < len(dims) else None
        if labels is None or len(labels) != size:
            labels = range(size)
        values.append([str(v) for v in labels])
    return [
        name + (f"[{', '.join(values[axis][i] for axis, i in enumerate(index))}]" if shape else "")
        for index in np.ndindex(*shape)
    ]


def check_names(model: pm.Model, var_names: Sequence[str] | None) -> None:
    """Raise CalibrationError for names that are neither free variables nor deterministics."""
    own = {v.name for v in [*model.free_RVs, *model.deterministics]}
    unknown = sorted(set(var_names or ()) - own)
    if unknown:
        raise CalibrationError(
            f"var_names: {unknown} are not among the free variables and deterministics "
            f"{sorted(own)}."
        )


def with_seed(method: Callable, rng: np.random.Generator) -> dict[str, Any]:
    """Arguments for a method that takes random_seed=None and progressbar=: a seed, and no bar."""
    known = inspect.signature(method).parameters
    found: dict[str, Any] = {}
    if "random_seed" in known and known["random_seed"].default is None:
        found["random_seed"] = int(rng.integers(2**32))
    if "progressbar" in known and known["progressbar"].default is True:
        found["progressbar"] = False
    return found


def with_data(model: pm.Model, data: Mapping[str, np.ndarray]) -> pm.Model:
    """Copy of a model with other data.

    They are shared variables: constants would be part of the code, and compiled with it each time.
    """
    observed = {
        rv.name for rv in model.observed_RVs if isinstance(model.rvs_to_values[rv], Constant)
    }
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

    # compiled once under a lock, so that threads may share it
    in_threads = True

    def __init__(
        self, model, generate: Generate, beta: float | None, draws: int, var_names, tempered
    ) -> None:
        self.model, self.generate, self.beta, self.draws = model, generate, beta, draws
        self.var_names, self.tempered = var_names, tempered
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

    @property
    def fingerprint(self) -> str:
        """What a checkpoint is compared by."""
        return f"refitted at {self.beta}, {_described(self)}"

    def _compiled(self) -> tuple[Refits, Fit, Callable]:
        with self._lock:
            if self._ready is None:
                split = tempered_model(self.model, tempered=self.tempered)
                refits = compile_refits(split, counted=False)
                beta = split.target_beta if self.beta is None else self.beta
                first = refits.first(beta, {}, self.draws, np.random.default_rng(0))
                constrained = compile_constrained(
                    split, refits.energy_function.layout, self.var_names
                )
                self._ready = refits, first, constrained
            return self._ready

    def __call__(self, rng: np.random.Generator) -> Repetition:
        """Draw data and their posterior."""
        refits, first, constrained = self._compiled()
        data = check_data(self.generate(rng), self.model)
        fit = refits.again(first, first.beta, data, self.draws, rng)
        return Repetition(constrained(fit.pooled()), fit.beta, fit.converged)


class Calibrated:
    """Callable rng -> Repetition: data, the beta that a method finds for them, the posterior.

    See `calibrated`.
    """

    # it compiles for each data set
    in_threads = False

    def __init__(
        self, model, generate: Generate, method: Callable | float, draws: int, var_names, tempered
    ) -> None:
        self.model, self.generate, self.method, self.draws = model, generate, method, draws
        self.var_names, self.tempered = var_names, tempered

    @property
    def fingerprint(self) -> str:
        """What a checkpoint is compared by."""
        return f"calibrated by {described_function(self.method)}, {_described(self)}"

    def __call__(self, rng: np.random.Generator) -> Repetition:
        """Draw data, calibrate, and draw the posterior."""
        data = check_data(self.generate(rng), self.model)
        model = with_data(self.model, data)
        found: Any = self.method
        if callable(found):
            found = found(model, **with_seed(found, rng))
        beta = check_beta(float(getattr(found, "beta", found)), "the method's beta")
        split = tempered_model(model, tempered=self.tempered)
        refits = compile_refits(split, counted=False)
        fit = refits.first(beta, {}, self.draws, rng)
        constrained = compile_constrained(split, refits.energy_function.layout, self.var_names)
        return Repetition(constrained(fit.pooled()), beta, fit.converged)


def check_level(level: float) -> None:
    """Raise CalibrationError for a level that is no probability."""
    if not 0 < level < 1:
        raise CalibrationError(
            f"level = {level:g}: a coverage lies between 0 and 1, such as 0.95 for 95%."
        )


def _check_draws(draws: int) -> None:
    if draws < FEWEST_DRAWS:
        raise CalibrationError(f"draws = {draws}: an interval takes at least {FEWEST_DRAWS}.")


def described_function(function: Any) -> str:
    """Name of a function, or a number as text, for the file of a study."""
    if not callable(function):
        return str(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"


def _described(repeat: Refitted | Calibrated) -> str:
    """Generator, draws, and the model by its variables and data."""
    held = hashlib.sha256()
    for name, values in sorted(data_names(repeat.model).items()):
        held.update(name.encode() + np.ascontiguousarray(values).tobytes())
    variables = ", ".join(f"{rv.name} {rv.owner.op}" for rv in repeat.model.basic_RVs)
    return (
        f"{repeat.draws} draws, data by {described_function(repeat.generate)}, model of "
        f"{variables}, data {held.hexdigest()[:16]}"
    )


def refitted(
    model: pm.Model,
    generate: Generate,
    *,
    beta: float | None = None,
    draws: int = 1000,
    var_names: Sequence[str] | None = None,
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
        ``generate(rng) -> {name: values}`` of ``pm.Data``, and of variables whose ``observed=`` is
        an array; what it does not name stays as it is in the model.
    beta
        inverse temperature, by default the model's own.
    draws
        of each posterior, at least 100.
    var_names
        variables that are drawn, by default all free ones; deterministics may be named.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Callable, rng -> Repetition
        which travels to other processes.

    Raises
    ------
    CalibrationError
        too few draws, unknown names; (when called) data that the model does not have, or of another
        shape, or fractions for integers.
    EnergyError
        (when called) data that the likelihood does not allow.
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
    _check_draws(draws)
    check_names(model, var_names)
    return Refitted(model, generate, beta, draws, var_names, tempered)


def calibrated(
    model: pm.Model,
    generate: Generate,
    method: Callable | float,
    *,
    draws: int = 1000,
    var_names: Sequence[str] | None = None,
    tempered=None,
) -> Calibrated:
    r"""Repetition for `coverage_study`: new data, the beta that a method finds for them, draws.

    Parameters
    ----------
    model, generate, draws, var_names, tempered
        as for `refitted`.
    method
        ``method(model) -> Calibration``, such as `information_matching`, or a number. A method
        with the arguments ``random_seed=None`` and ``progressbar=True`` is given a seed of the
        repetition's stream, and no bar.

    Returns
    -------
    Callable, rng -> Repetition

    Raises
    ------
    CalibrationError
        as `refitted`, and (when called) what the method raises.

    Notes
    -----
    The method and the posterior are compiled anew for each data set, from a cache on disk: seconds,
    where `refitted` takes a hundredth of one. PyTensor does not compile in several threads at
    once: give `coverage_study` processes to go faster.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", 0, 10)
    ...     loss = pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=np.arange(20.0))
    >>> repeat = pms.calibration.calibrated(
    ...     model, lambda rng: {"y": rng.normal(3.0, 2.0, size=20)},
    ...     pms.calibration.information_matching)
    >>> bool(0.1 < repeat(np.random.default_rng(1)).beta < 1.0)
    True
    """
    _check_draws(draws)
    check_names(model, var_names)
    return Calibrated(model, generate, method, draws, var_names, tempered)
