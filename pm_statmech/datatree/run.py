"""The groups of a run, assembled with PyMC's own conversion."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.backends.arviz import (
    coords_and_dims_for_inferencedata,
    dict_to_dataset,
    find_constants,
    find_observations,
)
from pymc.pytensorf import compile as pymc_compile
from pymc.util import get_default_varnames
from pytensor.graph.replace import clone_replace
from xarray import DataTree

from pm_statmech import ladder
from pm_statmech.datatree.drawing import model_graph
from pm_statmech.datatree.groups import RUNG, term_attributes
from pm_statmech.energy_function import Layout
from pm_statmech.errors import TreeError
from pm_statmech.tempering import TemperedModel

if TYPE_CHECKING:
    from pm_statmech.samplers.annealing import Stage
    from pm_statmech.samplers.pilot import Pilot
    from pm_statmech.samplers.reference_bridges import Bridged
    from pm_statmech.samplers.rounds import Ladders, Record


def unpacked(split: TemperedModel, layout: Layout, x: np.ndarray, names):
    """Flat draws (..., d) -> {name: (..., *shape)} of free variables and deterministics."""
    model = split.model
    flat = pt.vector("flat", shape=(layout.size,), dtype="float64")
    wanted = [v for v in model.unobserved_value_vars if v.name in names]
    pieces = {
        v: pt.cast(piece, v.type.dtype)
        for v, piece in zip(split.value_vars, layout.split(flat), strict=True)
    }
    outputs = [pieces.get(v, v) for v in wanted]
    function = pymc_compile(
        [flat],
        clone_replace(outputs, pieces.items()),
        random_seed=0,
        mode="NUMBA",
        on_unused_input="ignore",
    )
    rows = x.reshape(-1, layout.size)
    first = function(rows[0])
    arrays = [np.empty((len(rows), *np.shape(a)), dtype=np.asarray(a).dtype) for a in first]
    for i, row in enumerate(rows):
        for array, a in zip(arrays, function(row), strict=True):
            array[i] = a
    return {
        v.name: array.reshape(*x.shape[:-1], *array.shape[1:])
        for v, array in zip(wanted, arrays, strict=True)
    }


def _trace_names(model: pm.Model, var_names) -> list[str]:
    default = get_default_varnames(
        [v.name for v in model.unobserved_value_vars], include_transformed=False
    )
    if var_names is None:
        return list(default)
    unknown = sorted(set(var_names) - set(default))
    if unknown:
        raise TreeError(f"var_names: {unknown} are not among the model's {list(default)}.")
    return [name for name in default if name in set(var_names)]


def check_dims(model: pm.Model) -> None:
    """Raise TreeError, before anything is sampled, where a dimension has the ladder's own name."""
    if RUNG in model.coords or any(RUNG in dims for dims in model.named_vars_to_dims.values()):
        raise TreeError(
            f"the model has a dimension {RUNG!r}, which is that of the rungs in the tree of a run: "
            "give it another name."
        )


def round_trips(replica: np.ndarray, target_rung: int) -> tuple[int, int]:
    """Round trips 0 -> target -> 0 and restarts 0 -> target of all replicas (n, K) of a chain."""
    rungs = np.argsort(replica, axis=1)
    trips = restarts = 0
    for path in rungs.T:
        events = np.where(path == 0, 0, np.where(path >= target_rung, 1, -1))
        events = events[events >= 0]
        if len(events) == 0:
            continue
        change = np.diff(events)
        arrivals = int(np.sum(change == 1))
        returns = int(np.sum(change == -1)) - int(events[0] == 1 and np.any(change == -1))
        trips += returns
        restarts += arrivals
    return trips, restarts


def _with_attrs(dataset: xr.Dataset, attrs: dict) -> xr.Dataset:
    dataset.attrs.update(attrs)
    return dataset


def common_attributes(split: TemperedModel, log_z0: float, log_z0_mcse: float, attrs: dict) -> dict:
    """Attributes of every group: those of one run, and what its model says of beta and Z(0)."""
    return {
        **attrs,
        "tempered_terms": term_attributes(split.terms, split.target_beta),
        "n_observations": split.n_observations,
        "prior_normalised": int(split.prior_normalised),
        "prior_reason": split.prior_reason,
        "reference": "prior" if split.prior_normalised else "Z(0)",
        "log_partition_zero": log_z0,
        "log_partition_zero_mcse": log_z0_mcse,
        "pm_statmech_version": version("pm_statmech"),
    }


def data_groups(model: pm.Model) -> dict[str, xr.Dataset]:
    """`observed_data` and `constant_data`, those that the model has."""
    coords, dims = coords_and_dims_for_inferencedata(model)
    found = {"observed_data": find_observations(model), "constant_data": find_constants(model)}
    return {
        name: dict_to_dataset(
            values, inference_library=pm, coords=coords, dims=dims, sample_dims=[]
        )
        for name, values in found.items()
        if values
    }


def from_run(
    split: TemperedModel,
    layout: Layout,
    ladders: Ladders,
    record: Record,
    pilot: Pilot,
    bridged: Bridged | None,
    *,
    var_names,
    attrs: dict,
) -> DataTree:
    """Assemble the tree of one run, without the pointwise groups."""
    model = split.model
    names = _trace_names(model, var_names)
    coords, dims = coords_and_dims_for_inferencedata(model)
    kept_all = record.draws.shape[2] == len(ladders.betas)
    here = ladders.target_rung if kept_all else 0
    common = common_attributes(split, pilot.sample.log_z0, pilot.sample.log_z0_mcse, attrs)
    # pm.sample's own keywords for the groups that it writes too
    convention = {"inference_library": pm, "coords": coords, "dims": dims, "attrs": common}
    draws = unpacked(split, layout, record.draws, names)
    target_draws = {name: array[:, :, here] for name, array in draws.items()}
    groups = {"posterior": dict_to_dataset(target_draws, **convention)}
    groups["posterior"].attrs["model_graph"] = model_graph(model)

    energy = record.energy[:, :, ladders.target_rung]
    accept, steps, depth, diverging, _ = np.moveaxis(record.statistics, -1, 0)
    groups["sample_stats"] = dict_to_dataset(
        {
            "acceptance_rate": accept,
            "n_steps": steps.astype(np.int64),
            "tree_depth": depth.astype(np.int64),
            "diverging": diverging.astype(bool),
            "step_size": np.full(energy.shape, ladders.step_sizes[ladders.target_rung]),
            "lp": record.log_prior[:, :, ladders.target_rung] - common["target_beta"] * energy,
        },
        inference_library=pm,
        attrs=common,
    )
    if kept_all:
        groups["tempered_posterior"] = dict_to_dataset(
            {name: np.asarray(array) for name, array in draws.items()},
            inference_library=pm,
            coords={**coords, RUNG: ladders.betas},
            dims={name: [RUNG, *dims.get(name, default_dims(name, array.ndim - 3))]
                  for name, array in draws.items()},
            attrs=common,
        )  # fmt: skip
    n_chains, n_draws, _ = record.energy.shape
    index = {"chain": np.arange(n_chains), "draw": np.arange(n_draws), RUNG: ladders.betas}
    by_draw = ("chain", "draw", RUNG)
    groups["tempering"] = xr.Dataset(
        {
            "energy": (by_draw, record.energy),
            "log_prior_unconstrained": (by_draw, record.log_prior),
            "replica": (by_draw, record.replica),
        },
        coords=index,
        attrs=common,
    )
    groups["ladder"] = _ladder_dataset(ladders, record, common)
    groups["annealing"] = annealing_dataset(pilot.stages, common)
    if bridged is not None:
        groups["reference"] = _reference_dataset(pilot, bridged, record, common)
    groups.update(data_groups(model))
    return DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def annealing_dataset(stages: list[Stage], attrs: dict) -> xr.Dataset:
    """Stages of annealed particles: their betas, increments of log Z, weights and moves."""
    sums = np.stack([stage.sums for stage in stages])
    return xr.Dataset(
        {
            "beta": ("stage", [stage.beta for stage in stages]),
            "log_ratio": (("stage", "half"), np.stack([stage.log_ratio for stage in stages])),
            "ess": ("stage", [stage.ess for stage in stages]),
            "energy": (("stage", "particle"), np.stack([stage.energies for stage in stages])),
            "family": (
                ("stage", "particle"),
                np.stack([stage.family for stage in stages]).astype(np.int32),
            ),
            "n_families": (("stage", "half"), np.stack([stage.n_families for stage in stages])),
            "family_overlap": (
                ("stage", "half"),
                np.stack([stage.family_overlap for stage in stages]),
            ),
            "step_size": ("stage", [stage.step_size for stage in stages]),
            "acceptance_rate": ("stage", sums[:, 0] / np.maximum(sums[:, 3], 1)),
            "n_steps": ("stage", sums[:, 1].astype(np.int64)),
            "nan_energies": ("stage", sums[:, 2].astype(np.int64)),
        },
        coords={"stage": np.arange(len(stages)), "half": [0, 1]},
        attrs={**attrs, "n_particles": len(stages[0].energies)},
    )


def _reference_dataset(pilot: Pilot, bridged: Bridged, record: Record, attrs: dict) -> xr.Dataset:
    reference = pilot.reference
    assert reference is not None
    assert pilot.evidence is not None
    accepted, proposed = np.sum(record.reference_sums, axis=0)
    return xr.Dataset(
        {
            "pilot_log_ratio": (("particle", "sweep"), reference.bridged.log_ratio),
            "pilot_mode": (("particle", "sweep"), reference.bridged.mode.astype(np.int8)),
            "pilot_half": ("particle", reference.half.astype(np.int8)),
            "pilot_family": ("particle", reference.family.astype(np.int32)),
            "pilot_reference_log_ratio": (
                ("half", "reference_mode", "pilot_reference_draw"),
                reference.bridged.reference_log_ratio,
            ),
            "pilot_weight": ("reference_mode", pilot.evidence.weights),
            "log_ratio": (("chain", "draw"), bridged.log_ratio),
            "mode": (("chain", "draw"), bridged.mode.astype(np.int8)),
            "reference_log_ratio": (
                ("half", "reference_mode", "reference_draw"),
                bridged.reference_log_ratio,
            ),
        },
        attrs={
            **attrs,
            "n_components": reference.partition.mixture.n_components,
            "n_modes": reference.partition.n_modes,
            "n_modes_found_by_search": pilot.n_found,
            "acceptance_rate": float(accepted / max(proposed, 1.0)),
        },
    )


def default_dims(name: str, ndim: int) -> list[str]:
    """Return the names ArviZ gives to dimensions without one."""
    return [f"{name}_dim_{axis}" for axis in range(ndim)]


def _ladder_dataset(ladders: Ladders, record: Record, attrs: dict) -> xr.Dataset:
    trips = np.array([round_trips(r, ladders.target_rung) for r in record.replica])
    rungs = np.sum(record.rung_sums, axis=0) / np.sum(record.scans)
    accepted, proposed = np.moveaxis(record.swap_sums, -1, 0)
    return xr.Dataset(
        {
            "acceptance_rate": (RUNG, rungs[:, 0]),
            "step_size": (RUNG, ladders.step_sizes),
            "divergences": (RUNG, np.sum(record.rung_sums[:, :, 1], axis=0).astype(np.int64)),
            "nan_energies": (RUNG, np.sum(record.rung_sums[:, :, 2], axis=0).astype(np.int64)),
            "finite_energy_share": (RUNG, np.mean(np.isfinite(record.energy), axis=(0, 1))),
            "barrier": (RUNG, ladder.barrier(record.rejections)),
            "swap_rejection": ("pair", record.rejections),
            "swap_rejection_by_chain": (
                ("chain", "pair"),
                1 - accepted / np.maximum(proposed, 1.0),
            ),
            "round_trips": ("chain", trips[:, 0]),
            "restarts": ("chain", trips[:, 1]),
        },
        coords={
            RUNG: ladders.betas,
            "chain": np.arange(len(record.energy)),
            "pair": np.arange(len(ladders.betas) - 1),
            "hotter": ("pair", ladders.betas[:-1]),
            "colder": ("pair", ladders.betas[1:]),
        },
        attrs=attrs,
    )
