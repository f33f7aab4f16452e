r"""Independent draws of the prior on unconstrained space, and what they say of Z(0).

Where pi_0 is normalised the forward draws of the model are draws of pi_0, and refresh the rung
beta = 0. Where it is not (a Potential kept in the prior, a transform that cuts the support),
they are draws of a density g, and

.. math:: Z(0) = \int \pi_0 = E_g\left[\pi_0(x) / g(x)\right]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.continuous import FlatRV, HalfFlatRV
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import reseed_rngs
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors

from pm_statmech.energy_function import EnergyFunction
from pm_statmech.errors import EnergyError, ImproperPriorError, UnsupportedVariableError
from pm_statmech.native_code import repeated
from pm_statmech.tempering import TemperedModel

N_CHECKED = 1000
MOST_ON_THE_EDGE = 1e-3
N_FOR_Z0 = 10_000


@dataclass(frozen=True)
class PriorDraws:
    """Forward draws of the free variables, mapped to the flat unconstrained vector.

    Parameters
    ----------
    fill
        rows (n, d) -> None, which become flat vectors.
    rngs
        its random number generators, seeded anew by `draw`.
    log_excess
        x -> log pi_0(x) - log g(x), or None where the prior is normalised.
    size
        d.
    """

    fill: Callable[[np.ndarray], None]
    rngs: tuple
    log_excess: Callable[[np.ndarray], np.ndarray] | None
    size: int

    @property
    def exact(self) -> bool:
        """Whether the draws are draws of pi_0 itself."""
        return self.log_excess is None

    def as_drawn(self, n: int, seed: int) -> np.ndarray:
        """Return n draws (n, d) from their own seed, infinite where one rounds to an edge."""
        reseed_rngs(self.rngs, seed)
        draws = np.empty((n, self.size))
        self.fill(draws)
        return draws

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Return n draws (n, d) from their own seed; those on the edge of the support again."""
        draws = self.as_drawn(n, seed)
        on_edge = np.flatnonzero(np.any(np.isinf(draws), axis=1))
        if len(on_edge) and self.exact:
            again = np.empty((4 * len(on_edge) + 16, self.size))
            self.fill(again)
            inside = again[~np.any(np.isinf(again), axis=1)]
            draws[on_edge[: len(inside)]] = inside[: len(on_edge)]
        return draws

    def log_weights(self, draws: np.ndarray) -> np.ndarray:
        """Return log pi_0 - log g at each draw (n,); -inf off the support of pi_0."""
        if self.log_excess is None:
            return np.zeros(len(draws))
        finite = np.all(np.isfinite(draws), axis=1)
        weights = np.full(len(draws), -np.inf)
        for i in np.flatnonzero(finite):
            value = float(self.log_excess(draws[i]))
            weights[i] = value if not np.isnan(value) else -np.inf
        return weights


def refuse_flat_priors(model: pm.Model) -> None:
    """Raise ImproperPriorError for a prior without an integral, before anything is compiled."""
    flat = [rv.name for rv in model.free_RVs if isinstance(rv.owner.op, FlatRV | HalfFlatRV)]
    if flat:
        raise ImproperPriorError(
            f"the prior of {flat} is flat: it has no integral, so there is nothing to draw at "
            "beta = 0 and no evidence. Give it a proper prior, however wide, such as "
            "pm.Normal(..., sigma=1e3); pm_statmech.minimise takes flat priors."
        )


def compile_prior_draws(
    split: TemperedModel, energy_function: EnergyFunction, compile_kwargs: dict | None = None
) -> PriorDraws:
    """Compile the forward draws of a split model.

    Raises
    ------
    ImproperPriorError
        a flat prior.
    UnsupportedVariableError
        a prior that has no random draws.
    """
    model = split.model
    pieces = []
    for rv in model.free_RVs:
        transform = model.rvs_to_transforms[rv]
        piece = rv if transform is None else transform.forward(rv, *rv.owner.inputs)
        pieces.append(pt.cast(pt.flatten(piece), "float64"))
    # a free variable may descend from an observed one, whose data are then given
    observed = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    [joined] = clone_replace([pt.concatenate(pieces)], observed)
    options = {"mode": "NUMBA", **(compile_kwargs or {})}
    try:
        function, updates = pymc_compile(
            [], joined, random_seed=False, return_updates=True, **options
        )
        function()
    except NotImplementedError as error:
        raise UnsupportedVariableError(
            f"the prior of this model cannot be drawn ({error}), so that beta = 0 has no draws. "
            "Give the variable a random= or dist= function."
        ) from error
    log_excess = None
    if not split.prior_normalised:
        x = pt.vector("x", shape=(energy_function.size,), dtype="float64")
        pieces = [
            pt.cast(piece, v.type.dtype)
            for v, piece in zip(split.value_vars, energy_function.layout.split(x), strict=True)
        ]
        forward = model.logp(vars=model.free_RVs, jacobian=True, sum=True)
        excess = split.log_prior - forward
        if set(ancestors([excess])) & set(split.value_vars):
            [excess] = clone_replace([excess], zip(split.value_vars, pieces, strict=True))
        with model:
            log_excess = pymc_compile([x], excess, on_unused_input="ignore", **options)
    return PriorDraws(repeated(function), tuple(updates), log_excess, energy_function.size)


@dataclass(frozen=True)
class PriorSample:
    """Checked prior draws: positions, energy function values, and the estimate of Z(0).

    Those of one `family` (n,) are copies, made by resampling where the prior is not normalised.
    """

    x: np.ndarray
    values: np.ndarray
    family: np.ndarray
    log_z0: float
    log_z0_mcse: float


def _tell_of_edges(draws: np.ndarray, energy_function: EnergyFunction) -> None:
    """Warn of the draws that round to the edge of their support, or raise where they are many."""
    name = energy_function.layout.coordinate_names()[
        int(np.argmax(np.any(~np.isfinite(draws), axis=0)))
    ]
    share = float(np.mean(np.any(~np.isfinite(draws), axis=1)))
    seen = f"{share:.2g} of the prior draws of {name} are not finite on the unconstrained scale"
    if share > MOST_ON_THE_EDGE or np.any(np.isnan(draws)):
        raise ImproperPriorError(
            f"{seen}: its prior puts mass on the edge of its support. Bound the prior away from it."
        )
    warnings.warn(
        f"{seen}: they round to the edge of its support, and are drawn again. log Z may be off "
        f"by as much ({share:.1g} nats).",
        UserWarning,
        stacklevel=2,
    )


def checked_prior_sample(
    split: TemperedModel,
    energy_function: EnergyFunction,
    prior: PriorDraws,
    n: int,
    rng: np.random.Generator,
) -> PriorSample:
    """Draw n points of pi_0 and check their energies; resample by weight where g is not pi_0.

    Raises
    ------
    EnergyError
        an energy is NaN, or every one is infinite; names a draw.
    ImproperPriorError
        no forward draw lies in the support of pi_0.
    """
    n_drawn = max(n, N_CHECKED if prior.exact else N_FOR_Z0)
    seed = int(rng.integers(2**31))
    draws = prior.as_drawn(n_drawn, seed)
    log_weights = prior.log_weights(draws)
    log_z0 = log_z0_mcse = 0.0
    if prior.exact:
        if not np.all(np.isfinite(draws)):
            _tell_of_edges(draws, energy_function)
            draws = prior.draw(n_drawn, seed)
        x, family = draws[:n], np.arange(n)
    else:
        top = np.max(log_weights)
        if not np.isfinite(top):
            raise ImproperPriorError(
                f"none of {len(draws)} forward draws satisfies the prior's constraints "
                f"({split.prior_reason}), so that beta = 0 cannot be started. Loosen the "
                "constraint, or move it into the prior's own distribution."
            )
        weights = np.exp(log_weights - top)
        log_z0 = float(top + np.log(np.mean(weights)))
        log_z0_mcse = float(np.std(weights) / np.mean(weights) / np.sqrt(len(weights)))
        # in order, so that copies of a draw are not in both halves of a population
        family = np.sort(rng.choice(len(draws), size=n, p=weights / np.sum(weights)))
        x = draws[family]
    x = np.ascontiguousarray(x)
    values = energy_function(x)
    energies = values[:, 1]
    terms = ", ".join(term.name for term in split.terms)
    if np.any(np.isnan(energies)):
        worst = x[int(np.argmax(np.isnan(energies)))]
        names = energy_function.layout.coordinate_names()
        point = ", ".join(f"{k} = {v:.4g}" for k, v in list(zip(names, worst, strict=True))[:8])
        raise EnergyError(
            f"the energy of {terms} is NaN at {np.mean(np.isnan(energies)):.1%} of the prior "
            f"draws, for instance at {point} (unconstrained scale). An energy may be +inf, "
            "which excludes a point, but never NaN: look for log or sqrt of a negative number, or "
            "for a normaliser that cannot be computed at parameters so far out, which a narrower "
            "prior leaves out."
        )
    if not np.any(np.isfinite(energies)):
        raise EnergyError(
            f"the energy of {terms} is infinite at all of {len(energies)} prior draws: the prior "
            "never meets data it can explain. Check the support of the likelihood."
        )
    return PriorSample(x, values, family, log_z0, log_z0_mcse)
