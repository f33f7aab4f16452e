r"""The terms of a model that form its energy.

.. math:: E = \sum_k \frac{\beta_k}{\beta_*} E_k

A likelihood's E_k is minus its log density, a loss's is the loss, and that of a distribution of an
exponential family :math:`-\eta \cdot T(x)`, of which what is left at beta = 0 is the base measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import PartialObservedRV
from pymc.logprob.basic import logp
from pytensor.graph.replace import clone_replace, graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pm_statmech.distributions.base_measures import can_be_tempered, taken_apart
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.errors import (
    InverseTemperatureError,
    TemperedTermError,
    UnsupportedVariableError,
)
from pm_statmech.gibbs import GibbsLossRV, GibbsPotentialOp
from pm_statmech.ladder import check_beta
from pm_statmech.log_partition.networks import natural_digest

CORRECTION_SUFFIX = "__tempering"
Kind = Literal["likelihood", "loss", "potential", "distribution"]


@dataclass(frozen=True)
class TemperedTerm:
    """One term E_k of the energy: its graph on the model's random variables, and its own beta.

    Of a distribution on a network, `natural` are its potentials and couplings without beta, and
    `digest` the name that they have together.
    """

    name: str
    kind: Kind
    pointwise: TensorVariable
    beta: float
    unit: str
    n_observations: int
    natural: tuple | None = None
    digest: str | None = None


def _log_density(model: pm.Model, rv) -> TensorVariable:
    """Pointwise log density of an observed variable, as a graph on the model's other variables.

    ``logp`` clones what it walks over, which breaks composites such as Censored and Mixture
    when their parents are model variables: placeholders stand in for the parents meanwhile.
    """
    parents = [v for v in ancestors([rv]) if v is not rv and v in set(model.basic_RVs)]
    stand_ins = {parent: parent.type() for parent in parents}
    [alone] = clone_replace([rv], stand_ins)
    density = logp(alone, model.rvs_to_values[rv])
    # graph_replace puts the model's own variables back; clone_replace would put in copies
    return graph_replace(density, {dummy: p for p, dummy in stand_ins.items()}, strict=False)


def _own_beta(name: str, node) -> float:
    return check_beta(np.asarray(node.eval()).item(), f"{name}: beta")


def _observed_term(model: pm.Model, rv) -> TemperedTerm:
    value = model.rvs_to_values[rv]
    op = rv.owner.op
    if isinstance(op, GibbsLossRV):
        beta, weights, *prediction = op.dist_params(rv.owner)
        pointwise = weights * op.loss(value, *prediction)
        kind: Kind = "loss"
        own, unit = _own_beta(rv.name, beta), op.loss.unit
        if op.loss.residual and len(prediction) == 2:
            unit = "1"
    else:
        if isinstance(op, PartialObservedRV) and op.ndim_supp > 0:
            raise UnsupportedVariableError(
                f"{rv.name}: a multivariate variable with some entries missing has no density of "
                "its observed part alone. Drop the incomplete rows, or marginalise by hand."
            )
        pointwise, kind, own, unit = -_log_density(model, rv), "likelihood", 1.0, "nats"
    # a row of a MvNormal or a Multinomial is one observation
    shape = pt.shape(value).eval()[: pointwise.type.ndim] if value.ndim else ()
    n = int(np.prod(shape, dtype=int))
    return TemperedTerm(rv.name, kind, pointwise, own, unit, n)


def _potential_term(potential) -> TemperedTerm:
    if isinstance(potential.owner.op, GibbsPotentialOp):
        energy, beta = potential.owner.inputs
        own = _own_beta(potential.name, beta)
        return TemperedTerm(potential.name, "potential", energy, own, "1", 0)
    return TemperedTerm(potential.name, "potential", -potential, 1.0, "nats", 0)


def _distribution_term(rv) -> TemperedTerm:
    apart = taken_apart(rv)
    own, natural, digest = _own_beta(rv.name, apart.beta), None, None
    if isinstance(rv.owner.op, NetworkRV):
        natural = tuple(rv.owner.inputs[2:4])
        theta, K = (np.asarray(v.eval(mode="FAST_COMPILE")) for v in natural)
        one = theta.ndim == 2 and rv.type.ndim == len(rv.owner.op.node_shape)
        digest = natural_digest(rv.owner.op.problem.network, theta, K) if one else None
    return TemperedTerm(rv.name, "distribution", apart.energy, own, "1", 0, natural, digest)


def _is_gibbs_potential(potential) -> bool:
    return potential.owner is not None and isinstance(potential.owner.op, GibbsPotentialOp)


def tempered_terms(
    model: pm.Model, tempered: Sequence[str] | None = None
) -> tuple[TemperedTerm, ...]:
    """Return the terms to temper: by default every observed variable and GibbsPotential.

    Raises
    ------
    TemperedTermError
        no term, a name that is none, a distribution with random parameters.
    """
    corrections = [p.name for p in model.potentials if p.name.endswith(CORRECTION_SUFFIX)]
    if corrections:
        raise TemperedTermError(
            f"this model was made by temper() (it holds {corrections[0]!r}). Pass the original "
            "model, with target_beta= or betas= for other temperatures."
        )
    observed = {rv.name: rv for rv in model.observed_RVs}
    potentials = {p.name: p for p in model.potentials}
    latent = {rv.name: rv for rv in model.free_RVs if can_be_tempered(rv)}
    if tempered is None:
        names = [*observed, *(n for n, p in potentials.items() if _is_gibbs_potential(p))]
    else:
        names = [tempered] if isinstance(tempered, str) else list(tempered)
        for name in names:
            if name not in observed and name not in potentials and name not in latent:
                raise TemperedTermError(
                    f"tempered={names}: {name!r} is not an observed variable, a Potential, or a "
                    f"free variable of an exponential family. This model has observed variables "
                    f"{sorted(observed)}, Potentials {sorted(potentials)} and free variables of "
                    f"such families {sorted(latent)}."
                )
    if not names:
        raise TemperedTermError(
            "nothing to temper: the model has no observed variable and no GibbsPotential. "
            + (
                f"Name the Potentials that are energies: tempered={sorted(potentials)}."
                if potentials
                else f"Name the distributions whose temperature varies: tempered={sorted(latent)}."
                if latent
                else "Add a likelihood, a GibbsLoss or a GibbsPotential."
            )
        )
    return tuple(
        _observed_term(model, observed[name])
        if name in observed
        else _potential_term(potentials[name])
        if name in potentials
        else _distribution_term(latent[name])
        for name in names
    )


def common_beta(terms: Sequence[TemperedTerm]) -> float:
    """Target of several terms: 1 with a likelihood among them, else the common beta."""
    if any(term.kind == "likelihood" for term in terms):
        return 1.0
    betas = sorted({term.beta for term in terms if term.beta > 0})
    if not betas:
        raise InverseTemperatureError(
            "every tempered term has beta = 0, so that the model is its prior. Give the terms a "
            "beta > 0; sample_tempered samples the prior as its lowest rung anyway."
        )
    # without a common value the largest is the target, and ratios are at most 1
    return betas[-1]
