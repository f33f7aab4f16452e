r"""Learning coefficient near one point of a model, by draws that are held there.

.. math:: \pi(w) \propto \exp\left(-\beta E(w) - \tfrac{\gamma}{2} \lVert w - w_* \rVert^2\right)

with E = n L_n the summed loss of n observations and beta = 1 / log n.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from pm_statmech.energy_function import flat_point, layout_of
from pm_statmech.errors import ConvergenceWarning, EnergyError, TreeError, UnsupportedVariableError
from pm_statmech.gibbs import GibbsPotential
from pm_statmech.samplers import sample_tempered
from pm_statmech.stats import Estimate, thermodynamics
from pm_statmech.tempering import tempered_model

LEAST_OBSERVATIONS = 3
# errors by which the mean energy may lie below that of a minimum
FAR_BELOW = 3.0


def local_learning_coefficient(
    point: Mapping[str, object],
    model: pm.Model | None = None,
    *,
    n: int | None = None,
    localisation: float = 1.0,
    tempered: Sequence[str] | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    random_seed=None,
    progressbar: bool = True,
    quiet: bool = False,
) -> Estimate:
    r"""Learning coefficient of a model at one of its minima, from draws held near it.

    .. math:: \hat\lambda(w_*) = \beta \left( E_{w|w_*, \beta, \gamma}[E] - E(w_*) \right),
              \qquad \beta = 1 / \log n

    How many effective parameters, by halves, a minimum has: d / 2 where the loss is curved in all d
    directions, less where it is flat or flatter than a parabola. Where `learning_coefficient` reads
    the whole posterior of a run, this samples a distribution of its own about the point, and so
    needs the model.

    Parameters
    ----------
    point
        {variable: value} of the minimum w_*, such as ``minimise(model).point``; variables that are
        left out are at the model's initial point.
    model
        by default the one in context.
    n
        number of observations, by default as many as the tempered terms have.
    localisation
        gamma, in unconstrained coordinates. It takes the prior's place. Where it is not far below
        beta times the curvature of E it lowers the estimate; where it is far too small the draws
        leave the minimum for others.
    tempered
        as in `tempered_model`.
    draws, tune, chains, random_seed, progressbar, quiet
        of `sample_tempered`, which draws from the localised distribution.

    Returns
    -------
    Estimate
        of lambda, with its Monte Carlo error.

    Raises
    ------
    TreeError
        fewer than three observations.
    EnergyError
        the energy of the point is not finite, or gamma is not positive.
    UnsupportedVariableError
        discrete variables, which have no neighbourhood.

    Warns
    -----
    ConvergenceWarning
        the mean energy of the draws lies below that of the point, which is then no minimum.

    Notes
    -----
    Source: Lau, Furman, Wang, Murfet, Wei (2023), The local learning coefficient: a
    singularity-aware complexity measure, arXiv:2308.12108, section 4.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> x = np.random.default_rng(1).normal(size=(200, 2))
    >>> with pm.Model() as model:
    ...     w = pm.Normal("w", 0, 10, shape=2)
    ...     y = pm.Normal("y", x @ w, observed=x[:, 0])
    >>> found = pms.local_learning_coefficient(
    ...     pms.minimise(model).point, model, random_seed=1, quiet=True)
    >>> bool(abs(found.value - 1.0) < 0.2)  # two regular parameters: half of each
    True
    """
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    n = split.n_observations if n is None else int(n)
    if n < LEAST_OBSERVATIONS:
        raise TreeError(f"there are {n} observations, and 1 / log n needs three or more: give n=.")
    if not np.isfinite(localisation) or localisation <= 0:
        raise EnergyError(f"localisation = {localisation}: a positive number holds draws near w_*.")
    discrete = [v.name for v in split.value_vars if np.dtype(v.type.dtype).kind != "f"]
    if discrete:
        raise UnsupportedVariableError(
            f"{discrete} are discrete: no distribution holds them near a value. Fix them first, by "
            "pm.do or in the model."
        )
    layout = layout_of(split)
    centre = flat_point(split, layout, point)
    beta = 1.0 / np.log(n)
    with pm.Model():
        w = pm.Normal("w", centre, 1.0 / np.sqrt(localisation), shape=len(centre))
        pieces: dict[Any, Any] = dict(
            zip(split.value_vars, layout.split(pt.cast(w, "float64")), strict=True)
        )
        # clone_replace would copy w as well, and the energy depend on a variable of its own
        energy = cast("TensorVariable", graph_replace(split.energy, pieces, strict=False))
        at_centre = float(energy.eval({w: centre}))
        if not np.isfinite(at_centre):
            raise EnergyError(f"the energy of the point is {at_centre}: it is no minimum.")
        # relative to the point: large numbers would only round
        GibbsPotential("energy", energy - at_centre, beta=beta)
        dt = sample_tempered(
            draws, tune=tune, chains=chains, random_seed=random_seed, progressbar=progressbar,
            quiet=quiet, keep_tempered=False,
            idata_kwargs={"log_likelihood": False, "log_prior": False},
        )  # fmt: skip
    found = thermodynamics(dt).sel(inverse_temperature=beta)
    if float(found["mean_energy"]) < -FAR_BELOW * float(found["mean_energy_mcse"]):
        warnings.warn(
            f"draws near the point have a mean energy {-float(found['mean_energy']):.3g} below its "
            "own: it is no minimum, and the estimate says nothing of one. Take minimise(model).",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Estimate(
        beta * float(found["mean_energy"]),
        beta * float(found["mean_energy_mcse"]),
        f"energy above that of the point at beta = {beta:.4g}, gamma = {localisation:.3g}",
    )
