"""The groups of annealed populations: their draws at the target, their stages and their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pymc as pm
import xarray as xr
from pymc.backends.arviz import coords_and_dims_for_inferencedata, dict_to_dataset
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree.drawing import model_graph
from pm_statmech.datatree.run import _trace_names, common_attributes, data_groups, unpacked
from pm_statmech.energy_function import Layout
from pm_statmech.tempering import TemperedModel

if TYPE_CHECKING:
    from pm_statmech.samplers.annealed_sampling import AnnealedChain


def from_annealed(
    split: TemperedModel, layout: Layout, runs: list[AnnealedChain], *, var_names, attrs: dict
) -> DataTree:
    """Assemble the tree of independent annealed populations, without the pointwise groups."""
    model = split.model
    coords, dims = coords_and_dims_for_inferencedata(model)
    samples = [sample for run in runs for sample in run.samples]
    # Z(0) was estimated from the prior draws of each pass
    log_z0 = float(logsumexp([s.log_z0 for s in samples]) - np.log(len(samples)))
    errors = [s.log_z0_mcse * np.exp(s.log_z0 - log_z0) for s in samples]
    log_z0_mcse = float(np.sqrt(np.sum(np.square(errors))) / len(samples))
    common = common_attributes(split, log_z0, log_z0_mcse, attrs)
    x, values = (
        np.stack(arrays) for arrays in zip(*(run.particles.pooled() for run in runs), strict=True)
    )
    lp = values[..., 0] - attrs["target_beta"] * values[..., 1]
    groups = {
        "posterior": dict_to_dataset(
            unpacked(split, layout, x, _trace_names(model, var_names)),
            inference_library=pm, coords=coords, dims=dims, attrs=common,
        ),
        "sample_stats": dict_to_dataset({"lp": lp}, inference_library=pm, attrs=common),
        "annealing": _annealing_dataset(runs, values[..., 1], common),
        **data_groups(model),
    }  # fmt: skip
    groups["posterior"].attrs["model_graph"] = model_graph(model)
    return DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of different lengths (J_c, ...) -> (chain, stage, ...), NaN beyond the last stage."""
    longest = max(len(row) for row in rows)
    padded = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan)
    for own, row in zip(padded, rows, strict=True):
        own[: len(row)] = row
    return padded


def _annealing_dataset(runs: list[AnnealedChain], energy: np.ndarray, attrs: dict) -> xr.Dataset:
    def by_stage(quantity) -> np.ndarray:
        return _padded([np.array([quantity(stage) for stage in run.stages]) for run in runs])

    log_ratio = by_stage(lambda stage: stage.log_ratio)
    work = np.stack([run.work for run in runs])
    n_chains, n_draws = work.shape
    # each half is a population of its own, whose Z is the product of its ratios
    by_half = np.nansum(log_ratio, axis=1)
    return xr.Dataset(
        {
            "beta": (("chain", "stage"), by_stage(lambda stage: stage.beta)),
            "log_ratio": (("chain", "stage", "half"), log_ratio),
            "ess": (("chain", "stage"), by_stage(lambda stage: stage.ess)),
            "acceptance_rate": (
                ("chain", "stage"),
                by_stage(lambda stage: stage.sums[0] / max(stage.sums[3], 1.0)),
            ),
            "step_size": (("chain", "stage"), by_stage(lambda stage: stage.step_size)),
            "n_steps": (("chain", "stage"), by_stage(lambda stage: stage.sums[1])),
            "nan_energies": (("chain", "stage"), by_stage(lambda stage: stage.sums[2])),
            "n_families": (("chain", "stage", "half"), by_stage(lambda stage: stage.n_families)),
            "family_overlap": (
                ("chain", "stage", "half"),
                by_stage(lambda stage: stage.family_overlap),
            ),
            "n_stages": ("chain", [len(run.stages) for run in runs]),
            "energy": (("chain", "draw"), energy),
            "family": (
                ("chain", "draw"),
                np.stack([run.particles.family.ravel() for run in runs]).astype(np.int32),
            ),
            "work": (("chain", "draw"), work),
            "log_evidence": ("chain", logsumexp(by_half, axis=1) - np.log(2)),
            "log_evidence_ais": ("chain", logsumexp(-work, axis=1) - np.log(n_draws)),
        },
        coords={
            "chain": np.arange(n_chains),
            "draw": np.arange(n_draws),
            "stage": np.arange(log_ratio.shape[1]),
            "half": [0, 1],
        },
        attrs={**attrs, "n_particles": n_draws},
    )
