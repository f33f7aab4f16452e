r"""Models compared by their log evidences, after checking that they may be.

.. math:: \log B_m = \log Z_m - \log Z_{\mathrm{best}}, \qquad
          p_m = \frac{w_m Z_m}{\sum_j w_j Z_j}

with prior weights w. Runs are independent, so that by the delta method

.. math:: s^2(\log B_m) = s_m^2 + s_{\mathrm{best}}^2, \qquad
          s^2(p_m) = \sum_j p_m^2 (\delta_{mj} - p_j)^2 s_j^2

Source: Kass and Raftery (1995), JASA 90, 773-795.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree import read_terms, tempering_group
from pm_statmech.errors import EvidenceError, TreeError
from pm_statmech.stats.combination import LARGEST_ERROR, log_evidence


def bayes_factors(log_z: np.ndarray, mcse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log Bayes factors (M,) of each model to the best, and their errors; 0 for the best."""
    best = int(np.argmax(log_z))
    errors = np.hypot(mcse, mcse[best])
    errors[best] = 0.0
    return log_z - log_z[best], errors


def model_probabilities(
    log_z: np.ndarray, mcse: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M,) of models with prior weights (M,), and their errors."""
    # a prior weight of 0 is -inf on the log scale, and stays probability 0
    with np.errstate(divide="ignore"):
        log_joint = np.log(prior) + log_z
    probability = np.exp(log_joint - logsumexp(log_joint))
    slope = probability[:, None] * (np.eye(len(log_z)) - probability)
    return probability, np.sqrt(np.sum((slope * mcse) ** 2, axis=1))


def _prior_weights(prior: Mapping[str, float] | None, names: list[str]) -> np.ndarray:
    if prior is None:
        return np.full(len(names), 1.0 / len(names))
    if not isinstance(prior, Mapping) or set(prior) != set(names):
        given = sorted(prior) if isinstance(prior, Mapping) else prior
        raise EvidenceError(
            f"prior={given} must give one weight to each of the models {sorted(names)}."
        )
    weights = np.array([float(prior[name]) for name in names])
    if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not np.sum(weights) > 0:
        raise EvidenceError(
            f"prior={dict(prior)}: weights of models are finite, not negative, and not all 0."
        )
    return weights / np.sum(weights)


def _observed(dt: DataTree) -> dict[str, np.ndarray]:
    if "observed_data" not in dt.children:
        return {}
    return {str(name): v.values for name, v in dt["observed_data"].data_vars.items()}


def _refuse_other_data(first: str, a: DataTree, second: str, b: DataTree) -> None:
    """Raise EvidenceError unless both trees explain the same numbers."""
    counts = [tempering_group(dt).attrs["n_observations"] for dt in (a, b)]
    if counts[0] != counts[1]:
        raise EvidenceError(
            f"{first!r} and {second!r} explain {counts[0]} and {counts[1]} observations: evidences "
            "of different data do not compare. Fit both to the same rows."
        )
    data, others = _observed(a), _observed(b)
    # models may call the same data by different names; then they are paired in order
    if set(data) == set(others):
        others = {name: others[name] for name in data}
    for one, other in zip_longest(data, others):
        values, again = data.get(one), others.get(other)
        if values is None or again is None or not np.array_equal(values, again, equal_nan=True):
            raise EvidenceError(
                f"{first!r} and {second!r} have different observed data ({one} and {other}): their "
                "evidences do not compare. Fit both to the same values; a transformed outcome "
                "(log y) needs its Jacobian in the likelihood, not other data."
            )


def _refuse_other_energy(first: str, a: DataTree, second: str, b: DataTree) -> None:
    """Raise EvidenceError unless both trees temper terms of one kind and unit, to one beta."""
    attrs, others = (tempering_group(dt).attrs for dt in (a, b))
    seen = [
        sorted((t.kind, t.unit, round(t.ratio, 12), t.n_observations) for t in read_terms(each))
        for each in (attrs, others)
    ]
    if seen[0] != seen[1]:
        words = [", ".join(f"{kind} in {unit} x {ratio:g}" for kind, unit, ratio, _ in terms)
                 for terms in seen]  # fmt: skip
        raise EvidenceError(
            f"the energies of {first!r} ({words[0]}) and {second!r} ({words[1]}) are not of one "
            "kind: a likelihood and a loss, or losses in different units, have evidences on "
            "different scales. Compare models under one loss, or by their predictions."
        )
    if attrs["target_beta"] != others["target_beta"]:
        raise EvidenceError(
            f"{first!r} and {second!r} have targets beta = {attrs['target_beta']:g} and "
            f"{others['target_beta']:g}: log Z at different temperatures does not compare. "
            "Sample both with one target_beta=."
        )


def _refuse_unknown_prior_mass(name: str, dt: DataTree) -> None:
    """Raise EvidenceError where pi_0 is not normalised and its integral is not known.

    Evidences of bridges are absolute, and only Z(0) turns them into those of a proper prior.
    """
    attrs = tempering_group(dt).attrs
    error = attrs["log_partition_zero_mcse"]
    known = np.isfinite(attrs["log_partition_zero"]) and error <= LARGEST_ERROR
    if attrs["reference"] != "prior" and not known:
        raise EvidenceError(
            f"the prior of {name!r} is not normalised ({attrs['prior_reason']}), and its integral "
            f"is known to {error:.2g} nats only (log_partition_zero_mcse), more than "
            f"{LARGEST_ERROR:g}: an evidence needs a proper prior. Write the constraint as the "
            "prior's own distribution (pm.Truncated, say), or loosen it."
        )


def evidence_compare(
    models: Mapping[str, DataTree], *, prior: Mapping[str, float] | None = None
) -> pd.DataFrame:
    r"""Compare models by evidence: Bayes factors and probabilities, with their errors.

    .. math:: \log B_m = \log Z_m - \log Z_{\mathrm{best}}, \qquad
              p_m = w_m Z_m \Big/ \sum_j w_j Z_j

    Parameters
    ----------
    models
        {name: tree of `sample_tempered`}, two or more, with the same observed data, kind and
        unit of energy, and target.
    prior
        {name: weight} of the models before the data, of any sum; equal unless given.

    Returns
    -------
    DataFrame
        a row per ``model``, the best first: ``log_evidence`` and its ``mcse``;
        ``log_bayes_factor`` to the best, at most 0, with ``log_bayes_factor_mcse``; ``prior``,
        ``probability`` and ``probability_mcse``; ``method`` of the evidence; and
        ``log_partition_zero``. In nats. Its attrs hold ``target_beta``.

    Raises
    ------
    EvidenceError
        fewer than two models; different observed data, kinds or units of energy, or targets; a
        prior that is not normalised and whose integral is unknown; prior weights that do not
        fit the models.
    TreeError
        something that is not a tempered run.

    Notes
    -----
    Where a prior is not normalised (a Potential that constrains it, an ordered transform) the
    evidence is under that prior divided by its integral, log Z(target) - log Z(0), as in
    `log_evidence`. A truncated prior then has the same evidence whether a distribution or a
    Potential truncates it. Add ``log_partition_zero`` for the integral of the joint density as
    written. A likelihood left untempered is conditioned on.

    The errors are Monte Carlo errors. An evidence also hangs on the width of vague priors,
    which no error here knows. Source: Kass and Raftery (1995), Bayes factors, JASA 90, 773-795.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> y = [1.0, 2.0, 3.0]
    >>> models = {
    ...     f"sd {sd:g}": pms.sample_tempered(
    ...         200, tune=200, random_seed=1, quiet=True,
    ...         model=pms.solvable.conjugate_normal(y, sigma=1.0, prior_sd=sd).model())
    ...     for sd in (2.0, 20.0)}
    >>> pms.evidence_compare(models)["log_bayes_factor"].round(0).to_dict()
    {'sd 2': 0.0, 'sd 20': -2.0}
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        seen = sorted(models) if isinstance(models, Mapping) else type(models).__name__
        raise EvidenceError(
            f"evidence_compare takes two or more models as {{name: tree}}; got {seen}."
        )
    names = list(models)
    for name in names:
        try:
            tempering_group(models[name])
        except TreeError as error:
            raise TreeError(f"{name!r}: {error}") from error
    weights = _prior_weights(prior, names)
    for name in names[1:]:
        _refuse_other_data(names[0], models[names[0]], name, models[name])
        _refuse_other_energy(names[0], models[names[0]], name, models[name])
    for name in names:
        _refuse_unknown_prior_mass(name, models[name])
    found = [log_evidence(models[name]) for name in names]
    log_z = np.array([float(each["log_evidence"]) for each in found])
    mcse = np.array([float(each["mcse"]) for each in found])
    factor, factor_error = bayes_factors(log_z, mcse)
    probability, probability_error = model_probabilities(log_z, mcse, weights)
    table = pd.DataFrame(
        {
            "log_evidence": log_z,
            "mcse": mcse,
            "log_bayes_factor": factor,
            "log_bayes_factor_mcse": factor_error,
            "prior": weights,
            "probability": probability,
            "probability_mcse": probability_error,
            "method": [each.attrs["method"] for each in found],
            "log_partition_zero": [each.attrs["log_partition_zero"] for each in found],
        },
        index=pd.Index(names, name="model"),
    )
    table.attrs["target_beta"] = float(found[0].attrs["target_beta"])
    return table.sort_values("log_evidence", ascending=False, kind="stable")
