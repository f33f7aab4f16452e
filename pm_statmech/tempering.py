r"""The split of a PyMC model into a prior and an energy, and the model at another temperature.

.. math:: \log \pi_\beta(\theta) = \log \pi_0(\theta) - \beta\, E(\theta) - \log Z(\beta),
          \qquad E = \sum_k \frac{\beta_k}{\beta_*} E_k

with beta_k the beta a term carries (1 for a likelihood) and beta_* the target.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.continuous import FlatRV, HalfFlatRV
from pymc.distributions.transforms import _default_transform
from pymc.model.fgraph import fgraph_from_model, model_from_fgraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pm_statmech.distributions.base_measures import taken_apart
from pm_statmech.energy_terms import (
    CORRECTION_SUFFIX,
    TemperedTerm,
    common_beta,
    tempered_terms,
)
from pm_statmech.errors import DetachedPotentialWarning, UnsupportedVariableError
from pm_statmech.ladder import check_beta


@dataclass(frozen=True)
class TemperedModel:
    """A model split into log pi_0 and E, on unconstrained value variables.

    Parameters
    ----------
    model
        the PyMC model that was split; tempered distributions are their base measures in it.
    log_prior
        scalar graph, log pi_0 with the Jacobians of the transforms, on `value_vars`.
    energy
        scalar graph, E without beta, on `value_vars`. +inf is legal.
    value_vars
        the unconstrained variables, in the model's order.
    target_beta
        the model's own beta: the common one of its losses, or 1 with a likelihood.
    prior_normalised
        whether exp(log_prior) integrates to 1, so that log Z(0) = 0.
    prior_reason
        why it may not, or "".
    terms
        the tempered terms, with their own beta and unit.
    """

    model: pm.Model
    log_prior: TensorVariable
    energy: TensorVariable
    value_vars: tuple[TensorVariable, ...]
    target_beta: float
    prior_normalised: bool
    prior_reason: str
    terms: tuple[TemperedTerm, ...]

    def __repr__(self) -> str:
        terms = ", ".join(f"{t.name} ({t.kind}, beta {t.beta:g})" for t in self.terms)
        prior = "" if self.prior_normalised else f", prior not normalised: {self.prior_reason}"
        return (
            f"TemperedModel({terms}; target beta {self.target_beta:g}, variables "
            f"{', '.join(str(v.name) for v in self.value_vars)}{prior})"
        )

    @property
    def n_observations(self) -> int:
        """Observations in all tempered terms together."""
        return sum(term.n_observations for term in self.terms)

    def compile(self, compile_kwargs: dict | None = None):
        """Compile log pi_0, E and both gradients into one native function: an EnergyFunction."""
        from pm_statmech.energy_function import compile_energy_function

        return compile_energy_function(self, compile_kwargs)


def _warn_detached(model: pm.Model) -> None:
    if not model.potentials:
        return
    graphs = model.replace_rvs_by_values(model.potentials)
    for potential, graph in zip(model.potentials, graphs, strict=True):
        if not set(model.value_vars) & set(ancestors([graph])):
            warnings.warn(
                f"the Potential {potential.name!r} depends on no free variable: it adds a "
                "constant and changes nothing. An observed variable inside a Potential stands "
                "for its data, not for its log-likelihood. To temper a likelihood use "
                "pm_statmech.temper(model, beta); to add a loss use GibbsLoss.",
                DetachedPotentialWarning,
                stacklevel=3,
            )


def _why_not_normalised(model: pm.Model, tempered: set[str]) -> str:
    kept = [p.name for p in model.potentials if p.name not in tempered]
    if kept:
        return f"the Potential {kept[0]!r} stays with the prior"
    untempered = [rv.name for rv in model.observed_RVs if rv.name not in tempered]
    if untempered:
        return f"the observed variable {untempered[0]!r} is left untempered"
    for rv in model.free_RVs:
        if isinstance(rv.owner.op, FlatRV | HalfFlatRV):
            return f"{rv.name!r} is flat: its prior has no integral"
        transform = model.rvs_to_transforms[rv]
        default = _default_transform(rv.owner.op, rv)
        if transform is not None and type(transform) is not type(default):
            return f"the transform {transform.name!r} of {rv.name!r} may cut its support"
    return ""


def kept_in_prior(model: pm.Model, terms: Sequence[TemperedTerm]) -> list:
    """Variables and Potentials whose log densities are the prior's; base measures among them."""
    tempered = {term.name for term in terms if term.kind != "distribution"}
    return [v for v in [*model.basic_RVs, *model.potentials] if v.name not in tempered]


def _with_base_measures(
    model: pm.Model, terms: tuple[TemperedTerm, ...]
) -> tuple[pm.Model, tuple[TemperedTerm, ...]]:
    """Copy of the model in which tempered distributions are their base measures, and its terms."""
    names = [term.name for term in terms if term.kind == "distribution"]
    if not names:
        return model, terms
    copy = copy_model(model, {name: taken_apart(model[name]).base for name in names})
    # the parameters of a tempered distribution are not random: of its energy only x is
    own = {
        term.name: replace(
            term,
            pointwise=cast(
                "TensorVariable",
                graph_replace(term.pointwise, {model[term.name]: copy[term.name]}),
            ),
        )
        for term in terms
        if term.kind == "distribution"
    }
    others = [term.name for term in terms if term.name not in own]
    rest = {term.name: term for term in tempered_terms(copy, others)} if others else {}
    return copy, tuple({**rest, **own}[term.name] for term in terms)


def tempered_model(
    model: pm.Model | None = None, *, tempered: Sequence[str] | None = None
) -> TemperedModel:
    r"""Split a model into log prior and energy.

    .. math:: \log p(\theta, y) = \log \pi_0(\theta) - \beta_* E(\theta)

    Parameters
    ----------
    model
        the PyMC model, by default the one in context.
    tempered
        names of the observed variables and Potentials that form the energy. By default
        every observed variable and every GibbsPotential; a plain Potential is a constraint and
        stays with the prior. A free variable of an exponential family, such as an `Ising`, may be
        named too: E is then :math:`-\\eta \\cdot T(x)`, its own beta the target, and pi_0 its base
        measure as a probability, on a network that of equally probable states.

    Returns
    -------
    TemperedModel
        frozen; its graphs are on the model's value variables.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu")
    ...     y = pm.Normal("y", mu, observed=[1.0, 2.0])
    >>> split = pms.tempered_model(model)
    >>> split.target_beta, split.prior_normalised, [term.kind for term in split.terms]
    (1.0, True, ['likelihood'])
    """
    model = pm.modelcontext(model)
    if not model.free_RVs:
        raise UnsupportedVariableError(
            "the model has no free variable, so there is nothing to sample."
        )
    terms = tempered_terms(model, tempered)
    _warn_detached(model)
    target = common_beta(terms)
    model, terms = _with_base_measures(model, terms)
    names = {term.name for term in terms}
    total = sum(
        pt.constant(np.float64(term.beta / target)) * pt.sum(pt.cast(term.pointwise, "float64"))
        for term in terms
    )
    [energy] = model.replace_rvs_by_values([total])
    kept = kept_in_prior(model, terms)
    log_prior = model.logp(vars=kept, jacobian=True, sum=True)
    reason = _why_not_normalised(model, names)
    return TemperedModel(
        model=model,
        log_prior=log_prior,
        energy=energy,
        value_vars=tuple(model.value_vars),
        target_beta=target,
        prior_normalised=not reason,
        prior_reason=reason,
        terms=terms,
    )


@contextmanager
def without_initial_values(model: pm.Model) -> Iterator[None]:
    """Meanwhile the model has PyMC's own initial values, as its functions on graphs ask for."""
    initial = dict(model.rvs_to_initial_values)
    try:
        for rv in initial:
            model.rvs_to_initial_values[rv] = None
        yield
    finally:
        model.rvs_to_initial_values.update(initial)


def copy_model(
    model: pm.Model, instead: Mapping | None = None, observed: Mapping | None = None
) -> pm.Model:
    """Copy a model with its initial values and the order of its variables.

    Free variables named in ``instead`` become these unnamed ones, observed ones named in
    ``observed`` get these data. PyMC's own copy refuses initial values and reorders free variables,
    which misaligns every flat vector of parameters.
    """
    initial = dict(model.rvs_to_initial_values)
    with without_initial_values(model):
        fgraph, memo = fgraph_from_model(model)
    for name, other in (instead or {}).items():
        fgraph.replace(memo[model[name]].owner.inputs[0], other, import_missing=True)
    for name, values in (observed or {}).items():
        node = memo[model[name]].owner
        fgraph.change_node_input(node, 1, values, import_missing=True)
    copy = model_from_fgraph(fgraph, mutate_fgraph=True)
    for kind in ("free_RVs", "observed_RVs", "potentials", "deterministics", "data_vars"):
        order = {v.name: k for k, v in enumerate(getattr(model, kind))}
        getattr(copy, kind).sort(key=lambda v, order=order: order[v.name])
    for rv, value in initial.items():
        if value is not None:
            copy.rvs_to_initial_values[copy[rv.name]] = value
    return copy


def temper(
    model: pm.Model | None = None,
    beta: float = 1.0,
    *,
    tempered: Sequence[str] | None = None,
    name: str = "inverse_temperature",
) -> pm.Model:
    r"""Copy of a model with its tempered terms at another inverse temperature.

    .. math:: \log p = \log \pi_0(\theta) - \beta\, E(\theta)

    The copy keeps observed variables as they are, so that prediction works and log-likelihoods
    are those of the data, and adds to each tempered term k the Potential
    ``-(beta * ratio_k - beta_k) E_k``, named ``{term}__tempering``. A tempered distribution keeps
    the normaliser of its own beta, so that the copy is the law above up to a constant.

    Parameters
    ----------
    model
        the PyMC model, by default the one in context.
    beta
        the inverse temperature, >= 0. The model's own is ``tempered_model(model).target_beta``.
    tempered
        as in `tempered_model`.
    name
        of the ``pm.Data`` that holds beta in the copy; change it with ``pm.set_data``.

    Returns
    -------
    pm.Model
        same names, dims, coords, initial values and order of variables.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu")
    ...     y = pm.Normal("y", mu, observed=[1.0, 2.0])
    >>> hot = pms.temper(model, 0.37)
    >>> [v.name for v in hot.potentials], hot["inverse_temperature"].get_value().item()
    (['y__tempering'], 0.37)
    """
    model = pm.modelcontext(model)
    beta = check_beta(beta)
    target = common_beta(tempered_terms(model, tempered))
    _warn_detached(model)
    copy = copy_model(model)
    terms = tempered_terms(copy, tempered)
    with copy:
        node = pm.Data(name, np.float64(beta))
        for term in terms:
            ratio = pt.constant(np.float64(term.beta / target))
            change = node * ratio - pt.constant(np.float64(term.beta))
            energy = pt.cast(term.pointwise, "float64")
            # where the energy is infinite the term itself already is, and inf - inf is NaN
            correction = pt.switch(pt.isinf(energy), pt.zeros_like(energy), -change * energy)
            pm.Potential(f"{term.name}{CORRECTION_SUFFIX}", correction)
    return copy
