r"""bridge: the log evidence of an ordinary trace, with references fitted to it.

.. math:: \log Z = \log \int \pi_0(\theta)\, e^{-\beta E(\theta)}\, d\theta

from the draws of ``pm.sample`` at one beta: no ladder, so it cannot see a mode that the trace has
not visited, and the weights of separate modes are its own bridges', not the trace's counts.
"""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.pytensorf import compile as pymc_compile
from pytensor.graph.replace import clone_replace
from threadpoolctl import threadpool_limits
from xarray import DataTree

from pm_statmech.energy_function import layout_of
from pm_statmech.errors import EvidenceError, EvidenceWarning, TreeError
from pm_statmech.samplers import mixture
from pm_statmech.samplers.reference_bridges import bridge_run
from pm_statmech.samplers.references import (
    HALF_ITERATIONS,
    LARGEST_DIMENSION,
    Partition,
    merge,
)
from pm_statmech.stats.averages import rounded_error
from pm_statmech.stats.combination import (
    LEAST_IN_MODE,
    NEGLIGIBLE_WEIGHT,
    posterior_bridge,
)
from pm_statmech.tempering import TemperedModel, tempered_model


def unconstrained_draws(dt: DataTree, split: TemperedModel) -> np.ndarray:
    """Flat unconstrained draws (chain, draw, d) of a posterior."""
    model, posterior = split.model, dt["posterior"].dataset
    missing = [rv.name for rv in model.free_RVs if rv.name not in posterior]
    if missing:
        raise TreeError(f"the posterior lacks {missing}: sample without var_names.")
    inputs = [rv.type(name=rv.name) for rv in model.free_RVs]
    stand_ins = dict(zip(model.free_RVs, inputs, strict=True))
    outputs = []
    for rv, value in stand_ins.items():
        transform = model.rvs_to_transforms[rv]
        moved = value if transform is None else transform.forward(value, *rv.owner.inputs)
        outputs.append(pt.cast(pt.flatten(moved), "float64"))
    [joined] = clone_replace([pt.concatenate(outputs)], stand_ins)
    function = pymc_compile(inputs, joined, mode="NUMBA", on_unused_input="ignore")
    arrays = [
        posterior[rv.name].transpose("chain", "draw", ...).values.astype(rv.type.dtype)
        for rv in model.free_RVs
    ]
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    x = np.empty((n_chains, n_draws, layout_of(split).size))
    for c, i in product(range(n_chains), range(n_draws)):
        x[c, i] = function(*(array[c, i] for array in arrays))
    return x


def _modes(x: np.ndarray, rng: np.random.Generator) -> Partition:
    """Mixture of a trace, fitted on even draws and judged on odd ones, and its modes."""
    d = x.shape[-1]
    even, odd = x[:, ::2].reshape(-1, d), x[:, 1::2].reshape(-1, d)
    chosen = mixture.select(even, odd, rng)
    pooled = x.reshape(-1, d)
    subset = pooled[rng.permutation(len(pooled))[: 4 * mixture.SUBSAMPLE]]
    full = mixture.improve(chosen, subset, HALF_ITERATIONS)
    component = np.argmax(full.log_components(pooled), axis=1).reshape(x.shape[:2])
    return Partition(full, merge(component.T, full.n_components))


def bridge(
    dt: DataTree,
    model: pm.Model | None = None,
    *,
    beta: float | None = None,
    random_seed: int | None = None,
) -> xr.Dataset:
    r"""Log evidence of an ordinary trace, by bridge sampling to references fitted to it.

    .. math:: E_{q_m}\!\left[\sigma(\ell - r_m + \log\rho)\right]
              = \rho\, E_{\pi | A_m}\!\left[\sigma(r_m - \log\rho - \ell)\right], \quad
              \ell = \log \pi_0 - \beta E - \log q_m, \quad \log Z = \log \sum_m e^{r_m}

    with rho the ratio of the numbers of draws, of the trace to the reference.

    Parameters
    ----------
    dt
        a tree with a ``posterior`` of the model, from ``pm.sample``, nutpie or this package.
    model
        the model it is of, by default the one in context.
    beta
        inverse temperature of its draws, by default the model's own.
    random_seed
        of the references' draws.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats; ``mode_weight`` and ``mode_weight_mcse`` over
        ``mode``. It is absolute, even where the prior is not normalised.

    Raises
    ------
    EvidenceError
        integers among the variables, more than 200 dimensions, or fewer than 20 draws a
        dimension.
    TreeError
        a variable is missing from the posterior.

    Warns
    -----
    EvidenceWarning
        a mode has fewer than 20 draws in the first or second half of the trace.

    Notes
    -----
    A mode that the trace has not visited is not counted, and nothing here can tell;
    `sample_tempered` looks for them. Sources: Meng and Wong (1996), Statistica Sinica 6;
    Gronau et al. (2017), J. Math. Psych. 81.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> with system.model() as model:
    ...     trace = pm.sample(500, tune=500, random_seed=1, progressbar=False, quiet=True)
    >>> found = pms.bridge(trace, model, random_seed=1)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 5 * found.mcse)
    True
    """
    split = tempered_model(model)
    energy_function = split.compile()
    d, integers = energy_function.size, len(energy_function.integers[0])
    n = dt["posterior"].sizes["chain"] * dt["posterior"].sizes["draw"]
    if integers or d > LARGEST_DIMENSION or n < 20 * d:
        raise EvidenceError(
            f"bridge needs continuous variables ({integers} integers seen), at most "
            f"{LARGEST_DIMENSION} dimensions and 20 draws for each of them ({d} dimensions and {n} "
            "draws seen). Draw more, or use sample_tempered, whose ladder needs no reference."
        )
    x = unconstrained_draws(dt, split)
    rng = np.random.default_rng(random_seed)
    own = split.target_beta if beta is None else beta
    with threadpool_limits(1):
        found = bridge_run(_modes(x, rng), energy_function, own, x, rng)
    group = xr.Dataset(
        {
            "log_ratio": (("chain", "draw"), found.log_ratio),
            "mode": (("chain", "draw"), found.mode),
            "reference_log_ratio": (
                ("half", "reference_mode", "reference_draw"),
                found.reference_log_ratio,
            ),
        }
    )
    evidence = posterior_bridge(group)
    rests_on = evidence.draws[evidence.weights > NEGLIGIBLE_WEIGHT]
    if np.min(rests_on, initial=np.inf) < LEAST_IN_MODE:
        warnings.warn(
            f"one of the modes of the trace has {np.min(rests_on):.0f} draws in one half of it: "
            "its part of log Z, and the error, rest on these. Draw more, or use sample_tempered.",
            EvidenceWarning,
            stacklevel=2,
        )
    return xr.Dataset(
        {
            "log_evidence": evidence.log_z,
            "mcse": rounded_error(evidence.log_z, evidence.mcse),
            "mode_weight": ("mode", evidence.weights),
            "mode_weight_mcse": ("mode", evidence.weights_mcse),
        },
        attrs={"method": "bridge to fitted references", "target_beta": own},
    )
