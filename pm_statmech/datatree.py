"""The DataTree of a tempered run: the only file that knows its groups, variables and dimensions.

================== ==========================================================================
``posterior``      draws at the target, as ``pm.sample`` would give them
``sample_stats``   of the target rung (never ``energy``: ArviZ reads that as the Hamiltonian)
``tempering``      chain, draw, inverse_temperature: energy, log_prior_unconstrained, replica
``tempered_posterior`` the same variables as ``posterior`` at every rung, when kept
``ladder``         a rung, pair or chain: acceptance_rate, step_size, swap_rejection, barrier, ...
``loss``           pointwise losses, free of beta (minus the log-likelihood for a likelihood)
``log_likelihood`` of normalised terms, at power one
================== ==========================================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from pymc.pytensorf import rvs_in_graph
from pymc.stats import compute_log_prior
from pymc.util import get_default_varnames
from pytensor.graph.replace import clone_replace
from xarray import DataTree

from pm_statmech import ladder
from pm_statmech.energy_function import Layout
from pm_statmech.errors import TreeError
from pm_statmech.tempering import TemperedModel, TemperedTerm

if TYPE_CHECKING:
    from pm_statmech.samplers.prior_draws import PriorSample
    from pm_statmech.samplers.rounds import Ladders, Record

RUNG = "inverse_temperature"


def _unpack(model: pm.Model, layout: Layout, split: TemperedModel, x: np.ndarray, names):
    """Flat draws (..., d) -> {name: (..., *shape)} of free variables and deterministics."""
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
            }
            for term in terms
        ]
    )


def _with_attrs(dataset: xr.Dataset, attrs: dict) -> xr.Dataset:
    dataset.attrs.update(attrs)
    return dataset


def from_run(
    split: TemperedModel,
    layout: Layout,
    ladders: Ladders,
    record: Record,
    sample: PriorSample,
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
    common = {
        **attrs,
        "tempered_terms": term_attributes(split.terms, split.target_beta),
        "n_observations": split.n_observations,
        "prior_normalised": int(split.prior_normalised),
        "prior_reason": split.prior_reason,
        "reference": "prior" if split.prior_normalised else "Z(0)",
        "log_partition_zero": sample.log_z0,
        "log_partition_zero_mcse": sample.log_z0_mcse,
        "pm_statmech_version": version("pm_statmech"),
    }
    # pm.sample's own keywords for the groups that it writes too
    convention = {"inference_library": pm, "coords": coords, "dims": dims, "attrs": common}
    draws = _unpack(model, layout, split, record.draws, names)
    target_draws = {name: array[:, :, here] for name, array in draws.items()}
    groups = {"posterior": dict_to_dataset(target_draws, **convention)}

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
    observed = find_observations(model)
    if observed:
        groups["observed_data"] = dict_to_dataset(
            observed, inference_library=pm, coords=coords, dims=dims, sample_dims=[]
        )
    constants = find_constants(model)
    if constants:
        groups["constant_data"] = dict_to_dataset(
            constants, inference_library=pm, coords=coords, dims=dims, sample_dims=[]
        )
    return DataTree.from_dict({f"/{name}": group for name, group in groups.items()})


def default_dims(name: str, ndim: int) -> list[str]:
    """Return the names ArviZ gives to dimensions without one."""
    return [f"{name}_dim_{axis}" for axis in range(ndim)]


def _ladder_dataset(ladders: Ladders, record: Record, attrs: dict) -> xr.Dataset:
    n_scans = record.energy.shape[1]
    trips = np.array([round_trips(r, ladders.target_rung) for r in record.replica])
    rungs = np.sum(record.rung_sums, axis=0) / (n_scans * len(record.energy))
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


def pointwise_values(dt: DataTree, model: pm.Model, terms: tuple[TemperedTerm, ...]) -> dict:
    """Pointwise losses of each term at each posterior draw: {name: (chain, draw, ...)}."""
    posterior = dt["posterior"].dataset
    missing = [rv.name for rv in model.free_RVs if rv.name not in posterior]
    if missing:
        raise TreeError(
            f"the posterior lacks {missing}, which the losses depend on. Sample without var_names."
        )
    inputs = {rv: rv.type(name=rv.name) for rv in model.free_RVs}
    values = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    # one replacement, not two: clone_replace copies what it does not replace, random nodes too
    graphs = clone_replace([term.pointwise for term in terms], {**values, **inputs})
    left = rvs_in_graph(graphs)
    if left:
        raise TreeError(
            f"the pointwise losses depend on {sorted(str(rv) for rv in left)}, which are drawn "
            "inside the model but are no free variables of it, so the tree does not hold them."
        )
    with model:
        function = pymc_compile(
            list(inputs.values()), graphs, random_seed=0, mode="NUMBA", on_unused_input="ignore"
        )
    columns = []
    for rv in inputs:
        sizes = posterior[rv.name].transpose("chain", "draw", ...).values
        columns.append(sizes.reshape(-1, *sizes.shape[2:]).astype(rv.type.dtype))
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    results: list[np.ndarray] = []
    for i, point in enumerate(zip(*columns, strict=True)):
        values_here = function(*point)
        if not results:
            results = [np.empty((shape[0] * shape[1], *np.shape(v))) for v in values_here]
        for array, value in zip(results, values_here, strict=True):
            array[i] = value
    return {
        term.name: array.reshape(*shape, *array.shape[1:])
        for term, array in zip(terms, results, strict=True)
    }


@dataclass(frozen=True)
class TermInfo:
    """One tempered term as a tree remembers it."""

    name: str
    kind: str
    ratio: float
    unit: str
    n_observations: int


def read_terms(attrs: dict) -> list[TermInfo]:
    """The tempered terms from a group's attributes."""
    return [TermInfo(**term) for term in json.loads(attrs["tempered_terms"])]


def add_pointwise(dt: DataTree, model: pm.Model, split: TemperedModel, target: float) -> None:
    """Add the groups `loss` and, for likelihoods, `log_likelihood`, both free of beta."""
    posterior = dt["posterior"].dataset
    values = pointwise_values(dt, model, split.terms)
    coords, dims = coords_and_dims_for_inferencedata(model)
    attrs = {
        "target_beta": target,
        "tempered_terms": term_attributes(split.terms, split.target_beta),
        "n_observations": split.n_observations,
    }

    def dataset(variables):
        made = dict_to_dataset(
            variables, inference_library=pm, coords=coords, dims=dims, attrs=attrs
        )
        return made.assign_coords(chain=posterior["chain"].values, draw=posterior["draw"].values)

    dt["loss"] = DataTree(dataset(values))
    likelihoods = {t.name: -values[t.name] for t in split.terms if t.kind == "likelihood"}
    if likelihoods:
        dt["log_likelihood"] = DataTree(dataset(likelihoods))


def add_log_prior(dt: DataTree, model: pm.Model) -> None:
    """Add PyMC's group `log_prior`, where every free variable is in the posterior."""
    if all(rv.name in dt["posterior"].dataset for rv in model.free_RVs):
        dt["log_prior"] = DataTree(
            compute_log_prior(dt, extend_inferencedata=False, model=model, progressbar=False)
        )


def tempering_group(dt: DataTree) -> xr.Dataset:
    """The `tempering` group of a tree, or TreeError saying what is missing."""
    if not isinstance(dt, DataTree) or "tempering" not in dt.children:
        kind = type(dt).__name__
        seen = sorted(dt.children) if isinstance(dt, DataTree) else f"a {kind}"
        raise TreeError(
            f"this needs the DataTree of sample_tempered, with a group 'tempering'; got {seen}."
        )
    return dt["tempering"].dataset


def ladder_group(dt: DataTree) -> xr.Dataset:
    """The `ladder` group of a tree, or TreeError."""
    tempering_group(dt)
    return dt["ladder"].dataset
