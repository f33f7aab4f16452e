"""temper() and the split on every kind of model, against PyMC's own log densities."""

import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech.errors import DetachedPotentialWarning, TemperedTermError

from .conftest import within

RNG = np.random.default_rng(8)
Y = RNG.normal(1.0, 1.0, size=20)


def plain():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", mu, sigma, observed=Y)
    return model


def censored():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        latent = pm.Normal.dist(mu, 1.0)
        pm.Censored("y", latent, lower=0.0, upper=2.0, observed=np.clip(Y, 0, 2))
    return model


def mixture():
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        mu = pm.Normal("mu", [-1, 1], 2, shape=2)
        pm.Mixture("y", w, pm.Normal.dist(mu, 1.0), observed=Y)
    return model


def missing():
    data = np.ma.masked_where(Y > 2, Y)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        with pytest.warns(pm.exceptions.ImputationWarning):
            y = pm.Normal("y", mu, 1.0, observed=data)
        pm.Deterministic("total", pt.sum(y))
        z = pm.Normal("z", y.mean(), 1.0)
        pm.Deterministic("twice", 2 * z)
    return model


def potentials():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        pm.Potential("soft", -(mu**4))
        pms.GibbsPotential("well", (mu - 1) ** 2, beta=0.5)
        pms.GibbsLoss("y", mu, loss=pms.losses.absolute, observed=Y, beta=0.5)
    return model


def labelled():
    with pm.Model(coords={"obs": np.arange(20), "k": ["a", "b"]}) as model:
        x = pm.Data("x", RNG.normal(size=20), dims="obs")
        b = pm.Normal("b", 0, 2, dims="k", initval=np.array([0.5, -0.5]))
        mu = pm.Deterministic("mu", b[0] + b[1] * x, dims="obs")
        pm.Normal("y", mu, 1.0, observed=Y, dims="obs")
    return model


def discrete():
    with pm.Model() as model:
        k = pm.Poisson("k", 3)
        pm.Poisson("n", k + 1, observed=[2, 4, 3])
    return model


def count_data():
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, 1)
        pm.Poisson("n", rate, observed=[2, 4, 3])
    return model


def hierarchy():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        first = pm.Normal("first", mu, 1.0, observed=Y)
        pm.Normal("second", first + mu, 1.0, observed=Y + 1)
    return model


def multivariate():
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        pm.MvNormal("y", mu, np.eye(2), observed=Y.reshape(10, 2))
    return model


KINDS = [plain, censored, mixture, missing, potentials, labelled, discrete, count_data,
         hierarchy, multivariate]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
def test_temper_raises_only_the_tempered_terms(kind, beta):
    """log p(beta) = log p - sum of tempered terms + beta ratio/own times them, by PyMC's logp."""
    model = kind()
    hot = pms.temper(model, beta)
    point = {k: v + 0.1 if v.dtype.kind == "f" else v for k, v in model.initial_point().items()}
    split = pms.tempered_model(model)
    tempered = [model[t.name] for t in split.terms]
    untouched = [v for v in [*model.basic_RVs, *model.potentials] if v not in tempered]
    expected = model.compile_logp(vars=untouched)(point) if untouched else 0.0
    for term, own in zip(tempered, split.terms, strict=True):
        expected += beta / split.target_beta * model.compile_logp(vars=[term])(point)
        assert own.beta in (0.5, 1.0)
    assert hot.compile_logp()(point) == pytest.approx(float(expected), rel=1e-11)
    hot["inverse_temperature"].set_value(split.target_beta)
    assert hot.compile_logp()(point) == pytest.approx(model.compile_logp()(point), rel=1e-11)


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not discrete], ids=lambda k: k.__name__)
def test_split_is_the_models_logp(kind):
    """log_prior - target E, and both gradients, equal PyMC's own compiled functions."""
    model = kind()
    split = pms.tempered_model(model)
    function = split.compile()
    start = model.initial_point()
    rng = np.random.default_rng(1)
    x = np.concatenate([np.ravel(start[n]) for n in function.layout.names])
    x = x + 0.1 * rng.normal(size=x.size)
    value = function(x)
    point = dict(zip(function.layout.names, function.layout.split(x), strict=True))
    assert value[0] - split.target_beta * value[1] == pytest.approx(
        float(model.compile_logp()(point)), rel=1e-11
    )
    slope = value[2 : 2 + x.size] - split.target_beta * value[2 + x.size :]
    np.testing.assert_allclose(slope, model.compile_dlogp()(point), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_copy_keeps_names_dims_coords_order_and_initial_values(kind):
    model = kind()
    copy = pms.temper(model, 0.37)
    for group in ("free_RVs", "observed_RVs", "deterministics"):
        names = [v.name for v in getattr(model, group)]
        assert [v.name for v in getattr(copy, group)] == names
    assert [v.name for v in copy.value_vars] == [v.name for v in model.value_vars]
    assert copy.named_vars_to_dims.items() >= model.named_vars_to_dims.items()
    assert copy.coords == model.coords
    # a support point below an imputed variable is drawn, hence the seed
    start = copy.initial_point(random_seed=0)
    for name, value in model.initial_point(random_seed=0).items():
        np.testing.assert_array_equal(start[name], value)
    own = [v.name for v in copy.data_vars if v.name not in model.named_vars]
    assert own == ["inverse_temperature"]


@pytest.mark.parametrize("sampler", ["pymc", "nutpie"])
def test_tempered_copy_under_other_samplers(newcomb_system, sampler):
    with pms.temper(newcomb_system.model(), 0.37):
        trace = pm.sample(
            nuts_sampler=sampler, random_seed=5, progressbar=False, cores=1, quiet=True
        )
    mean, sd = newcomb_system.posterior(0.37)["mu"]
    within(trace["posterior"]["mu"].mean(), mean, az.mcse(trace, method="mean")["mu"])
    within(trace["posterior"]["mu"].std(), sd, az.mcse(trace, method="sd")["mu"])
    # control: the posterior at beta = 1 is not what was sampled
    colder = newcomb_system.posterior(1.0)["mu"][1]
    error = float(az.mcse(trace, method="sd")["mu"])
    assert abs(float(trace["posterior"]["mu"].std()) - colder) > 5.5 * error


def test_data_may_change_without_recompiling():
    with pm.Model() as model:
        x = pm.Data("x", np.array([1.0, 2.0, 3.0]))
        b = pm.Normal("b")
        pm.Normal("y", b * x, 1.0, observed=np.zeros(3))
    function = pms.tempered_model(model).compile()
    before = function(np.array([0.5]))[1]
    with model:
        pm.set_data({"x": [2.0, 4.0, 6.0]})
    after = function(np.array([0.5]))[1]
    constant = 1.5 * np.log(2 * np.pi)
    assert after - constant == pytest.approx(4 * (before - constant))


def test_detached_potential_is_noticed():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        y = pm.Normal("y", mu, 1.0, observed=Y)
        pm.Potential("warm", 0.3 * pt.sum(y))
    with pytest.warns(DetachedPotentialWarning, match="'warm'.*log-likelihood"):
        pms.tempered_model(model)


def test_a_tempered_copy_is_not_tempered_again():
    with pytest.raises(TemperedTermError, match="made by temper"):
        pms.temper(pms.temper(plain(), 0.5), 0.5)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: pm.Normal("a", shape=3, transform=pm.distributions.transforms.ordered,
                           initval=[-1.0, 0.0, 1.0]), "ordered"),
        (lambda: pm.Flat("a"), "flat"),
        (lambda: pm.Potential("p", -(pm.Normal("a") ** 2)), "'p' stays"),
    ],
)  # fmt: skip
def test_priors_that_may_not_be_normalised(build, reason):
    with pm.Model() as model:
        build()
        pm.Normal("y", pt.sum(model["a"]), 1.0, observed=Y)
    split = pms.tempered_model(model)
    assert not split.prior_normalised
    assert reason in split.prior_reason


def test_normalised_priors():
    for kind in (plain, mixture, labelled, count_data, missing):
        assert pms.tempered_model(kind()).prior_normalised
    left = pms.tempered_model(hierarchy(), tempered=["second"])
    assert "'first' is left untempered" in left.prior_reason
