"""Pointwise losses and log-likelihoods of a posterior, free of beta."""

from __future__ import annotations

from collections.abc import Sequence

import pymc as pm
from xarray import DataTree

from pm_statmech import datatree
from pm_statmech.errors import TreeError
from pm_statmech.ladder import check_beta
from pm_statmech.tempering import tempered_model


def compute_loss(
    dt: DataTree,
    model: pm.Model | None = None,
    *,
    tempered: Sequence[str] | None = None,
    target_beta: float | None = None,
) -> DataTree:
    r"""Add the pointwise losses of every draw to a tree, free of beta.

    .. math:: \ell_i(\theta_s) \quad\text{or}\quad -\log p(y_i|\theta_s)

    Parameters
    ----------
    dt
        a tree with a group ``posterior``, from `sample_tempered`, ``pm.sample`` or elsewhere.
    model
        the model, by default the one in context. For a trace of ``temper(model, beta)``
        pass the original model, and beta as `target_beta`.
    tempered
        as in `tempered_model`.
    target_beta
        the temperature of the draws; by default what the tree says, or else the
        model's own.

    Returns
    -------
    DataTree
        a copy of `dt` with the group ``loss`` and, for likelihoods, ``log_likelihood``
        at power one. The attribute ``target_beta`` tells `loo` how hot the draws are.

    Raises
    ------
    TreeError
        there is no posterior, or it lacks a free variable.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu")
    ...     y = pm.Normal("y", mu, observed=[1.0, 2.0])
    ...     dt = pm.sample(10, tune=10, chains=1, nuts_sampler="pymc", progressbar=False,
    ...                    random_seed=1, quiet=True, compute_convergence_checks=False)
    ...     dt = pms.compute_loss(dt)
    >>> dt["loss"]["y"].shape
    (1, 10, 2)
    """
    model = pm.modelcontext(model)
    if not isinstance(dt, DataTree) or "posterior" not in dt.children:
        raise TreeError("compute_loss needs a DataTree with a group 'posterior'.")
    split = tempered_model(model, tempered=tempered)
    if target_beta is None:
        target_beta = dt["posterior"].attrs.get("target_beta", split.target_beta)
    result = dt.copy()
    datatree.add_pointwise(result, model, split, check_beta(target_beta, "target_beta"))
    return result
