"""A tree from energies that somebody else sampled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree.groups import RUNG
from pm_statmech.errors import EnergyError, LadderError
from pm_statmech.ladder import check_beta


def from_energies(
    energy,
    betas: Sequence[float],
    *,
    target_beta: float | None = None,
    draws: Mapping[str, np.ndarray] | None = None,
    name: str = "energy",
    unit: str = "1",
    n_observations: int = 0,
    prior_normalised: bool = True,
) -> DataTree:
    r"""Tree of energies at given inverse temperatures, from any sampler, for the statistics here.

    .. math:: E^{(k)}_{cs} = E(\theta^{(k)}_{cs}), \qquad
              \theta^{(k)}_{cs} \sim \pi_{\beta_k} \propto \pi_0\, e^{-\beta_k E}

    Parameters
    ----------
    energy
        (chain, draw, K) energies E without beta, finite above beta = 0; rungs of one chain and
        draw may depend on each other, as after swaps.
    betas
        (K,) increasing inverse temperatures that they were sampled at.
    target_beta
        one of them, by default the largest.
    draws
        {variable: (chain, draw, K, ...)} of the parameters at every rung, for `reweight` and
        `expectation`; those at the target become ``posterior``.
    name, unit, n_observations
        of the energy's term, as tables and `wbic` read them.
    prior_normalised
        whether pi_0 integrates to 1, so that log Z at beta = 0 is 0.

    Returns
    -------
    DataTree
        with the groups ``tempering``, and ``posterior`` and ``tempered_posterior`` where draws are
        given. `thermodynamics`, `heat_capacity_peaks`, `mbar`, `stepping_stone`,
        `thermodynamic_integration`, `log_partition_curve`, `wbic` and `learning_coefficient` read
        it as they read a run; statistics of swaps, `ladder_summary` and `verdict` say what they
        lack.

    Raises
    ------
    LadderError
        betas that do not increase, or a target that is none of them.
    EnergyError
        energies of another shape, NaN, or infinite at a beta above 0.

    Examples
    --------
    >>> import numpy as np, pm_statmech as pms
    >>> rng = np.random.default_rng(1)
    >>> betas = np.array([0.0, 0.5, 1.0, 2.0])
    >>> # E is half the square of a normal number: log Z = -log(1 + beta) / 2
    >>> energy = 0.5 * rng.normal(size=(4, 500, 4)) ** 2 / (1 + betas)
    >>> found = pms.mbar(pms.from_energies(energy, betas))
    >>> bool(abs(found["log_evidence"] + 0.5 * np.log(3)) < 5 * found["mcse"])
    True
    """
    rungs = np.atleast_1d(np.asarray(betas, dtype=np.float64))
    values = np.asarray(energy, dtype=np.float64)
    for beta in rungs:
        check_beta(beta)
    if rungs.ndim != 1 or np.any(np.diff(rungs) <= 0):
        raise LadderError(f"betas = {rungs.tolist()}: they must increase.")
    if values.ndim != 3 or values.shape[2] != len(rungs):
        raise EnergyError(
            f"energy has shape {values.shape}: it is (chain, draw, {len(rungs)}), with one energy "
            "for each beta."
        )
    bad = np.isnan(values) | (np.isinf(values) & ((rungs > 0) | (values < 0)))
    if np.any(bad):
        k = int(np.argmax(np.any(bad, axis=(0, 1))))
        raise EnergyError(
            f"{int(np.sum(bad[..., k]))} energies at beta = {rungs[k]:g} are NaN or infinite: only "
            "at beta = 0 may an energy be infinite."
        )
    if np.all(np.isinf(values[..., 0])):
        raise EnergyError(
            "every energy at beta = 0 is infinite: no draw of the prior says what log Z is."
        )
    target = float(rungs[-1]) if target_beta is None else float(target_beta)
    if target not in rungs:
        raise LadderError(f"target_beta = {target:g} is none of betas = {rungs.tolist()}.")
    term = {"name": name, "kind": "potential", "ratio": 1.0, "unit": unit,
            "n_observations": int(n_observations)}  # fmt: skip
    from_prior = prior_normalised and rungs[0] == 0
    attrs = {
        "target_beta": target,
        "tempered_terms": json.dumps([term]),
        "n_observations": int(n_observations),
        "prior_normalised": int(prior_normalised),
        "prior_reason": "" if prior_normalised else "as said to from_energies",
        "reference": "prior" if from_prior else f"Z({rungs[0]:g})",
        "log_partition_zero": 0.0 if prior_normalised else np.nan,
        "log_partition_zero_mcse": 0.0 if prior_normalised else np.nan,
        "complete": 1,
        "pm_statmech_version": version("pm_statmech"),
    }
    chains, n_draws, _ = values.shape
    index = {"chain": np.arange(chains), "draw": np.arange(n_draws), RUNG: rungs}
    groups = {"tempering": xr.Dataset({"energy": (("chain", "draw", RUNG), values)}, index, attrs)}
    if draws is not None:
        variables: dict = {}
        numbers: dict = {}
        for variable, array in draws.items():
            array = np.asarray(array)
            if array.shape[:3] != values.shape:
                raise EnergyError(
                    f"draws of {variable!r} have shape {array.shape}, and the energies "
                    f"{values.shape}: they begin with chain, draw, and one entry for each beta."
                )
            dims = [f"{variable}_dim_{axis}" for axis in range(array.ndim - 3)]
            variables[variable] = (("chain", "draw", RUNG, *dims), array)
            numbers |= {dim: np.arange(n) for dim, n in zip(dims, array.shape[3:], strict=True)}
        whole = xr.Dataset(variables, {**index, **numbers}, attrs)
        groups["tempered_posterior"] = whole
        groups["posterior"] = whole.sel({RUNG: target}, drop=True)
    return DataTree.from_dict({f"/{key}": group for key, group in groups.items()})
