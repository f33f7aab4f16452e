"""Pointwise losses and prior densities of a tree's draws."""

from __future__ import annotations

import numpy as np
import pymc as pm
from pymc.backends.arviz import coords_and_dims_for_inferencedata, dict_to_dataset
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rvs_in_graph
from pymc.stats import compute_log_prior
from pytensor.graph.replace import clone_replace
from xarray import DataTree

from pm_statmech.datatree.groups import term_attributes
from pm_statmech.errors import TreeError
from pm_statmech.tempering import TemperedModel, TemperedTerm, without_initial_values


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


def add_pointwise(dt: DataTree, model: pm.Model, split: TemperedModel, target: float) -> None:
    """Add the groups `loss` and, for likelihoods, `log_likelihood`, both free of beta."""
    posterior = dt["posterior"].dataset
    values = pointwise_values(dt, model, split.terms)
    coords, dims = coords_and_dims_for_inferencedata(model)
    # the energy of a distribution is one number, and not one a node
    whole = {term.name for term in split.terms if term.kind == "distribution"}
    dims = {name: own for name, own in dims.items() if name not in whole}
    attrs = {
        "target_beta": target,
        "tempered_terms": term_attributes(split.terms, split.target_beta),
        "n_observations": split.n_observations,
        "prior_normalised": int(split.prior_normalised),
        "prior_reason": split.prior_reason,
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


def check_options(idata_kwargs: dict | None) -> dict:
    """``log_likelihood`` and ``log_prior``, both true unless switched off."""
    options = {"log_likelihood": True, "log_prior": True, **(idata_kwargs or {})}
    unknown = set(options) - {"log_likelihood", "log_prior"}
    if unknown:
        raise TreeError(f"idata_kwargs takes log_likelihood and log_prior, not {sorted(unknown)}.")
    return options


def add_densities(
    dt: DataTree, model: pm.Model, split: TemperedModel, target: float, options: dict, limit: int
) -> int:
    """Add what `options` ask for; returns the bytes of pointwise losses left out, beyond limit."""
    posterior = dt["posterior"]
    size = 8 * posterior.sizes["chain"] * posterior.sizes["draw"] * split.n_observations
    left_out = size if options["log_likelihood"] and size > limit else 0
    kept = all(rv.name in posterior.dataset for rv in model.free_RVs)
    if options["log_likelihood"] and not left_out and kept:
        add_pointwise(dt, model, split, target)
    if options["log_prior"]:
        add_log_prior(dt, model)
    return left_out


def add_log_prior(dt: DataTree, model: pm.Model) -> None:
    """Add PyMC's group `log_prior`, where every free variable is in the posterior."""
    if all(rv.name in dt["posterior"].dataset for rv in model.free_RVs):
        with without_initial_values(model):
            found = compute_log_prior(
                dt, extend_inferencedata=False, model=model, progressbar=False
            )
        dt["log_prior"] = DataTree(found)
