"""Names of groups and dimensions, and how statistics read them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.errors import TreeError
from pm_statmech.tempering import TemperedTerm

RUNG = "inverse_temperature"
SAMPLE_DIMS = ("chain", "draw")


def term_attributes(terms: tuple[TemperedTerm, ...], target: float) -> str:
    """The tempered terms as JSON: name, kind, ratio to the target, unit, observations."""
    return json.dumps(
        [
            {
                "name": term.name,
                "kind": term.kind,
                "ratio": term.beta / target,
                "unit": term.unit,
                "n_observations": term.n_observations,
                **({} if term.digest is None else {"digest": term.digest}),
            }
            for term in terms
        ]
    )


@dataclass(frozen=True)
class TermInfo:
    """One tempered term as a tree remembers it."""

    name: str
    kind: str
    ratio: float
    unit: str
    n_observations: int
    digest: str | None = None


def read_terms(attrs: dict) -> list[TermInfo]:
    """The tempered terms from a group's attributes."""
    return [TermInfo(**term) for term in json.loads(attrs["tempered_terms"])]


def tempering_group(dt: DataTree) -> xr.Dataset:
    """The `tempering` group of a tree, one rung of it for an ordinary trace with its losses.

    Raises
    ------
    TreeError
        a tree without energies; says how to add them.
    """
    if isinstance(dt, DataTree) and "tempering" in dt.children:
        return dt["tempering"].dataset
    if isinstance(dt, DataTree) and "loss" in dt.children:
        return energies_of_trace(dt)
    seen = sorted(dt.children) if isinstance(dt, DataTree) else f"a {type(dt).__name__}"
    raise TreeError(
        f"this needs the DataTree of sample_tempered, with a group 'tempering'; got {seen}. For "
        "draws of pm.sample or pm.sample_smc, dt = pm_statmech.compute_loss(dt, model) adds their "
        "energies, and pm_statmech.from_energies reads those of other samplers."
    )


def energies_of_trace(dt: DataTree) -> xr.Dataset:
    r"""A group `tempering` of one rung, the temperature of the draws, from the group `loss`.

    .. math:: E_s = \sum_k r_k \sum_i \ell_{ki}(\theta_s)

    over the tempered terms k with their ratios r_k to the target. It says nothing of Z.
    """
    loss = dt["loss"].dataset
    target = float(loss.attrs["target_beta"])
    terms = read_terms(loss.attrs)
    energy = sum(
        term.ratio * loss[term.name].sum([d for d in loss[term.name].dims if d not in SAMPLE_DIMS])
        for term in terms
    )
    annealed = dt["annealing"].attrs if "annealing" in dt.children else {}
    attrs = {
        "prior_normalised": 0,
        "prior_reason": "draws at one temperature do not say",
        "log_partition_zero": np.nan,
        "log_partition_zero_mcse": np.nan,
        "complete": 1,
        **loss.attrs,
        **annealed,
        "reference": f"Z({target:g})",
    }
    whole = xr.DataArray(energy).transpose(*SAMPLE_DIMS).astype(np.float64)
    return xr.Dataset({"energy": whole.expand_dims({RUNG: [target]}, axis=2)}, attrs=attrs)


def ladder_group(dt: DataTree) -> xr.Dataset:
    """The `ladder` group of a tree, or TreeError."""
    tempering_group(dt)
    if "ladder" not in dt.children:
        raise TreeError(
            "this tree has energies and no group 'ladder': how rungs moved and swapped only a run "
            "of sample_tempered knows. thermodynamics, mbar and heat_capacity_peaks need none."
        )
    return dt["ladder"].dataset


def reference_group(dt: DataTree) -> xr.Dataset | None:
    """The `reference` group of a tree, or None where no reference was fitted."""
    tempering_group(dt)
    return dt["reference"].dataset if "reference" in dt.children else None


def azstats(values):
    """ArviZ's accessor of an array; imported late, as it brings all of SciPy's statistics."""
    import arviz_stats  # noqa: F401  registers the accessor

    return values.azstats


def r_hat(values):
    """R-hat of a DataArray or Dataset over chains, NaN for what does not vary.

    Of two equally probable values not even the distance from the median varies.
    """
    import arviz_stats

    with np.errstate(invalid="ignore", divide="ignore"):
        return arviz_stats.rhat(values, sample_dims=["chain", "draw"])


def annealing_group(dt: DataTree) -> xr.Dataset | None:
    """The `annealing` group of a tree, or None where nothing was annealed."""
    return dt["annealing"].dataset if "annealing" in dt.children else None
