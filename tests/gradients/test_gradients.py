"""Mean and variance of the gradient estimators."""

import itertools
import math

import numpy as np
import pytest
import torch
from tests.enumeration import agrees_with, discrete_vae, flat, gradient_of, states, tuples
from tests.linear import exact_vae, linear_vae, scalar_vae, set_posterior, true_posterior, unscale
from torch import nn
from torch.distributions import Distribution, Independent, Normal

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._conditional import Conditional, stop_gradient
from aevb.likelihoods._likelihood import Likelihood
from aevb.objectives._bounds import path_factor

pytestmark = pytest.mark.usefixtures("float64")


def slopes_of(model, target, own=None):
    """The gradient of ``-target`` in all parameters, with ``-own`` in its place for the
    parameters of the posterior if ``own`` is not None.
    """
    names, parameters = zip(*model.named_parameters(), strict=True)
    theirs = torch.autograd.grad(-target, parameters, materialize_grads=True, retain_graph=True)
    if own is None:
        return flat(theirs)
    mine = torch.autograd.grad(-own, parameters, materialize_grads=True)
    return flat(
        [
            m if name.startswith("posterior") else t
            for name, t, m in zip(names, theirs, mine, strict=True)
        ]
    )


def expected(model, weight, score):
    """The exact gradient: targets weighed by the probability of what was drawn."""
    own = score.posterior_target
    return slopes_of(
        model, (weight * score.target).sum(), None if own is None else (weight * own).sum()
    )


# discrete latents, against enumeration


def enumerated(model, objective, x):
    """The gradient of ``-E[target]``, the expectation a sum over every tuple of K states."""
    terms, weight = tuples(model, objective, x)
    return expected(model, weight, objective(terms, model))


SCORED = {
    "score": lambda: gradients.ScoreFunction(),
    "score, running mean": lambda: gradients.ScoreFunction("mean"),
    "score, network": lambda: gradients.ScoreFunction(networks.MLP(3, [4])),
    "leave-one-out": lambda: gradients.LeaveOneOut(),
    "REBAR": lambda: gradients.REBAR(),
    "REBAR, fixed": lambda: gradients.REBAR(temperature=0.3, scale=0.7, learned=False),
}
DISCRETE_OBJECTIVES = {
    "elbo": lambda: objectives.ELBO(samples=2),
    "elbo sampled": lambda: objectives.ELBO(samples=2, kl="sampled"),
    "beta": lambda: objectives.ELBO(samples=3, beta=3.0, kl="sampled"),
    "free bits": lambda: objectives.ELBO(samples=2, free_bits=0.1),
    "capacity": lambda: objectives.ELBO(samples=2, beta=3.0, capacity=0.3),
    "iwae": lambda: objectives.IWAE(samples=2),
    "renyi": lambda: objectives.Renyi(alpha=0.5, samples=2),
    "renyi below 0": lambda: objectives.Renyi(alpha=-1.0, samples=2),
    "ciwae": lambda: objectives.CIWAE(beta=0.3, samples=2),
    "miwae": lambda: objectives.MIWAE(groups=2, size=2),
    "piwae": lambda: objectives.PIWAE(groups=2, size=2),
    "cubo": lambda: objectives.CUBO(n=2, samples=2),
    "reconstruction": lambda: objectives.Reconstruction(samples=2),
}
ONE_TARGET = [("piwae", "REBAR"), ("cubo", "REBAR")]
EVERY = [
    pair
    for pair in itertools.product(DISCRETE_OBJECTIVES, ["score", "leave-one-out", "REBAR"])
    if pair not in ONE_TARGET
]
SOME = list(
    itertools.product(["elbo", "iwae"], ["score, running mean", "score, network", "REBAR, fixed"])
)


@pytest.mark.parametrize("objective, rule", [*EVERY, *SOME, ("cubo", "score, network")])
def test_score_function_gradients_have_the_enumerated_mean(objective, rule):
    """REINFORCE with every baseline, RLOO, VIMCO and REBAR, in the weights of prior, posterior and
    likelihood at once.
    """
    model, objective_instance, x = (
        discrete_vae("bernoulli"),
        DISCRETE_OBJECTIVES[objective](),
        torch.tensor([[1.0, 0.0, 1.0]]),
    )
    assert agrees_with(
        enumerated(model, objective_instance, x), model, objective_instance, SCORED[rule](), x
    )


@pytest.mark.parametrize("rule", SCORED)
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_score_function_gradients_of_categorical_codes_have_the_enumerated_mean(objective, rule):
    model, objective_instance, x = (
        discrete_vae("categorical"),
        DISCRETE_OBJECTIVES[objective](),
        torch.tensor([[1.0, 0.0, 1.0]]),
    )
    assert agrees_with(
        enumerated(model, objective_instance, x), model, objective_instance, SCORED[rule](), x
    )


@pytest.mark.parametrize("samples", [1, 3])
def test_score_function_gradients_have_the_enumerated_mean_for_other_sample_counts(samples):
    model, x = discrete_vae("bernoulli"), torch.tensor([[0.0, 1.0, 1.0]])
    for objective in (objectives.ELBO(samples, kl="sampled"), objectives.IWAE(samples)):
        assert agrees_with(
            enumerated(model, objective, x), model, objective, gradients.ScoreFunction(), x
        )


ENUMERABLE = ["elbo", "elbo sampled", "beta", "free bits", "capacity", "reconstruction"]


@pytest.mark.parametrize("objective", ENUMERABLE)
@pytest.mark.parametrize("kind", ["bernoulli", "two categories", "categorical"])
def test_enumeration_is_the_mean_of_the_draws_without_their_noise(kind, objective):
    model, objective_instance, x = (
        discrete_vae(kind),
        DISCRETE_OBJECTIVES[objective](),
        torch.tensor([[1.0, 0.0, 1.0]]),
    )
    rule = gradients.Enumerate()
    rule.check(model, objective_instance)
    assert torch.allclose(
        gradient_of(model, objective_instance, rule, Batch(x)),
        enumerated(model, objective_instance, x),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "objective",
    [
        objectives.Renyi(0.5),
        objectives.Renyi(2.0),
        objectives.Renyi(-1.0),
        objectives.CUBO(2),
        objectives.CIWAE(0.3),
    ],
)
def test_enumeration_gives_the_bounds_of_infinitely_many_draws(objective):
    """``log p(x)`` less Renyi's divergence from the true posterior, below it or above; and the
    gradient of just that.
    """
    model, x = discrete_vae("categorical"), torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    rule, listed = gradients.Enumerate(), states((2, 3))
    joint = model.prior().log_prob(listed)[:, None] + model.likelihood(listed[:, None]).log_prob(x)
    q = model.posterior(x).log_prob(listed[:, None])
    log_weight, evidence = joint - q, joint.logsumexp(0)
    power = {"CUBO": 2.0}.get(type(objective).__name__, 1 - getattr(objective, "alpha", 0.0))
    bound = (q + power * log_weight).logsumexp(0) / power
    if type(objective).__name__ == "CIWAE":
        bound = 0.3 * (q.exp() * log_weight).sum(0) + 0.7 * evidence
    score = rule(model, objective, Batch(x)).objective_value
    assert torch.allclose(score.bound, bound, atol=1e-12)
    assert (
        (bound < evidence) if rule.bound_kind(objective) == "lower bound" else (bound > evidence)
    ).all()
    if type(objective).__name__ == "CUBO":
        exact = slopes_of(model, evidence.mean(), -bound.mean())
    else:
        exact = slopes_of(model, bound.mean())
    assert torch.allclose(gradient_of(model, objective, rule, Batch(x)), exact, atol=1e-12)


@pytest.mark.parametrize(
    "objective", [objectives.ELBO(4), objectives.IWAE(4)], ids=["RLOO", "VIMCO"]
)
def test_leave_one_out_baselines_reduce_the_variance(objective):
    model = discrete_vae("categorical")
    batch = Batch(torch.tensor([[1.0, 0.0, 1.0]]).expand(50, 3))
    rules = gradients.ScoreFunction(), gradients.LeaveOneOut()
    noisy, quiet = (
        torch.stack([gradient_of(model, objective, rule, batch) for _ in range(40)]).var(0).sum()
        for rule in rules
    )
    assert quiet < noisy / 3


# Gaussian latents, against quadrature


def curved_vae():
    """A single latent variable and a non-linear decoder, away from the optimum."""
    decoder = networks.MLP(1, [3], activation="tanh")
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(networks.MLP(2), 1),
        likelihoods.Normal(decoder, (2,), scale="shared"),
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def integrated(model, objective, x):
    """The gradient of ``-E[target]``, the expectation by Gauss-Hermite quadrature over the noise of
    K draws.
    """
    nodes, weights = (torch.tensor(values) for values in np.polynomial.hermite_e.hermegauss(60))
    noise = torch.cartesian_prod(*[nodes] * objective.samples).reshape(-1, objective.samples).T
    weight = (
        torch.cartesian_prod(*[weights / math.sqrt(2 * math.pi)] * objective.samples)
        .reshape(-1, objective.samples)
        .prod(-1)
    )
    batch = Batch(x.expand(len(weight), *x.shape[1:]))
    q = model.posterior(batch.x)
    terms = model.terms(
        batch, q.mean + q.stddev * noise[..., None], q, exact_kl=objective.kl != "sampled"
    )
    return expected(model, weight, objective(terms, model))


GAUSSIAN_OBJECTIVES = {
    "elbo": lambda: objectives.ELBO(samples=2),
    "elbo sampled": lambda: objectives.ELBO(samples=2, kl="sampled"),
    "beta sampled": lambda: objectives.ELBO(samples=2, beta=3.0, kl="sampled"),
    "capacity": lambda: objectives.ELBO(samples=2, beta=3.0, capacity=0.3),
    "iwae-1": lambda: objectives.IWAE(samples=1),
    "iwae-2": lambda: objectives.IWAE(samples=2),
    "renyi": lambda: objectives.Renyi(alpha=0.5, samples=2),
    "renyi below 0": lambda: objectives.Renyi(alpha=-1.0, samples=2),
    "ciwae": lambda: objectives.CIWAE(beta=0.3, samples=2),
    "piwae": lambda: objectives.PIWAE(groups=2, size=1),
    "cubo": lambda: objectives.CUBO(n=2, samples=2),
}
RULES = {
    "pathwise": gradients.Pathwise(),
    "doubly": gradients.DoublyReparameterised(),
    "score": gradients.ScoreFunction(),
    "leave-one-out": gradients.LeaveOneOut(),
}
NO_SUCH_GRADIENT = [("iwae-1", "leave-one-out"), ("capacity", "doubly")]


@pytest.mark.parametrize(
    "objective, rule",
    [
        pair
        for pair in itertools.product(GAUSSIAN_OBJECTIVES, RULES)
        if pair not in NO_SUCH_GRADIENT
    ],
)
def test_gradients_through_gaussian_draws_have_the_integrated_mean(objective, rule):
    model, objective_instance, x = (
        curved_vae(),
        GAUSSIAN_OBJECTIVES[objective](),
        torch.tensor([[0.7, -1.2]]),
    )
    assert agrees_with(
        integrated(model, objective_instance, x), model, objective_instance, RULES[rule], x
    )


@pytest.mark.parametrize("rule", RULES)
def test_groups_of_draws_have_the_mean_of_one(rule):
    """MIWAE is a mean of independent importance-weighted bounds."""
    model, x = curved_vae(), torch.tensor([[0.7, -1.2]])
    assert agrees_with(
        integrated(model, objectives.IWAE(2), x), model, objectives.MIWAE(3, 2), RULES[rule], x
    )


@pytest.mark.parametrize("covariance", ["diagonal", "low_rank", "full"])
def test_pathwise_mean_equals_the_closed_form(covariance):
    """The ELBO of a linear-Gaussian model is a formula in the weights; its derivative is the mean
    of the gradient.
    """
    weight, offset = torch.randn(3, 2), torch.randn(3)
    model = linear_vae(weight, offset, 0.6, covariance)
    x = torch.randn(1, 3)
    q = model.posterior(x)
    spread = torch.diag_embed(q.variance) if covariance == "diagonal" else q.covariance_matrix
    head = model.likelihood.noise.heads.head
    fit = Normal(q.mean @ head.weight.T + head.bias, 0.6).log_prob(x).sum()
    trace = torch.einsum("dl,blm,dm->", head.weight, spread, head.weight) / 0.6**2
    rate = 0.5 * (
        spread.diagonal(dim1=1, dim2=2).sum()
        + q.mean.square().sum()
        - 2
        - torch.logdet(spread).sum()
    )
    exact = flat(torch.autograd.grad(-(fit - 0.5 * trace - rate), list(model.parameters())))
    for objective in (objectives.ELBO(2, kl="exact"), objectives.ELBO(2, kl="sampled")):
        assert agrees_with(exact, model, objective, gradients.Pathwise(), x)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_doubly_reparameterised_forms_are_equal(power):
    """The hook on z, and a second pass through ``stop(z) + c (z - stop(z))``."""
    model, objective = (
        curved_vae(),
        objectives.IWAE(4) if power else objectives.ELBO(4, kl="sampled"),
    )
    batch = Batch(torch.randn(5, 2))
    with aevb._random.seed_scope(7):
        hooked = gradient_of(model, objective, gradients.DoublyReparameterised(), batch)
    with aevb._random.seed_scope(7):
        q = model.posterior(batch.x)
        z = q.rsample((4,))
        detached = stop_gradient(model.posterior, q, batch.x)
        first = model.terms(batch, z.detach(), detached)
        c = path_factor(first.log_weight.detach(), first.log_measure, power)[..., None]
        second = model.terms(batch, z.detach() + c * (z - z.detach()), detached)
        value = -objective(second, model).target.mean()
    with aevb._random.seed_scope(7):
        loss = gradients.DoublyReparameterised()(model, objective, batch).loss
    two_pass = flat(torch.autograd.grad(value, list(model.parameters())))
    assert loss.item() == pytest.approx(value.item(), abs=1e-12)
    assert torch.allclose(hooked, two_pass, atol=1e-12, rtol=0)


def test_doubly_reparameterised_has_lower_variance_near_the_posterior():
    """Training ends near the posterior; far from it the variance can be larger."""
    model, x = scalar_vae(), torch.full((50, 1), 0.625)
    before, size = (
        sum(p.numel() for p in model.prior.parameters()),
        sum(p.numel() for p in model.posterior.parameters()),
    )
    noise = []
    for rule in (gradients.Pathwise(), gradients.DoublyReparameterised()):
        draws = torch.stack(
            [gradient_of(model, objectives.IWAE(4), rule, Batch(x)) for _ in range(60)]
        )
        noise.append(draws[:, before : before + size].var(0).sum())
    assert noise[1] < noise[0] / 2


@pytest.mark.parametrize(
    "objective",
    [
        objectives.IWAE(3),
        objectives.Renyi(0.5, 3),
        objectives.CIWAE(0.05, 3),
        objectives.PIWAE(3, 1),
        objectives.CUBO(2, 3),
    ],
)
@pytest.mark.parametrize(
    "rule", [gradients.Pathwise(), gradients.DoublyReparameterised()], ids=["pathwise", "doubly"]
)
def test_wide_weights_in_single_precision_have_finite_gradients(rule, objective):
    """Log-weights that differ by hundreds of nats: neither factor nor weight is 0/0."""
    model = linear_vae(torch.tensor([[1.0]]), torch.zeros(1), 0.01)
    set_posterior(model, torch.zeros(1, 1), torch.zeros(1), torch.ones(1))
    model.float()
    estimate = rule(model, objective, Batch(torch.tensor([[1.0], [-2.0]]).float()))
    estimate.loss.backward()
    span = estimate.terms.log_weight.max(0)[0] - estimate.terms.log_weight.min(0)[0]
    assert (span > 100).all() and all(p.grad.isfinite().all() for p in model.parameters())


# at the true posterior


def at_the_truth():
    weight, offset = torch.randn(4, 2), torch.randn(4)
    return exact_vae(weight, offset, 0.7), torch.randn(6, 4)


ABOUT_WEIGHTS = {
    "sticking the landing": objectives.ELBO(3, kl="sampled"),
    "DReG": objectives.IWAE(3),
    "Renyi": objectives.Renyi(0.5, 3),
    "Renyi below 0": objectives.Renyi(-1.0, 3),
    "CIWAE": objectives.CIWAE(0.3, 3),
    "MIWAE": objectives.MIWAE(2, 3),
    "PIWAE": objectives.PIWAE(2, 3),
    "CUBO": objectives.CUBO(2, 3),
}


@pytest.mark.parametrize("objective", ABOUT_WEIGHTS.values(), ids=ABOUT_WEIGHTS)
def test_doubly_reparameterised_gradient_vanishes_at_the_true_posterior(objective):
    model, x = at_the_truth()
    gradients.DoublyReparameterised()(model, objective, Batch(x)).loss.backward()
    # for every single draw; what is left is rounding
    assert all(p.grad.abs().max() < 1e-12 for p in model.posterior.parameters())
    assert max(p.grad.abs().max() for p in model.likelihood.parameters()) > 1e-2


def per_datum(model, objective, rule, x):
    """The gradient of the target in the posterior's mean, one for each datum ``[B]``."""
    estimate = rule(model, objective, Batch(x))
    loc = estimate.terms.q.base_dist.loc
    loc.retain_grad()
    estimate.loss.backward()
    return -len(x) * loc.grad[:, 0]


def has_variance(values, variance):
    """Within five standard errors; those of a variance come from the fourth moment."""
    centred = values - values.mean()
    error = ((centred**4).mean() - values.var() ** 2).clamp(min=0).sqrt() / math.sqrt(len(values))
    return abs(values.var() - variance) <= 5 * error + 1e-12


def test_total_derivative_keeps_its_noise_at_the_true_posterior():
    """Its variance in the mean is 1 / s^2, with mean 0."""
    model = scalar_vae()
    set_posterior(model, torch.zeros(1, 1), torch.tensor([0.3]), torch.tensor([0.8]))
    slopes = per_datum(
        model, objectives.ELBO(kl="sampled"), gradients.Pathwise(), torch.full((200_000, 1), 0.625)
    )
    assert has_variance(slopes, 1 / 0.8**2)
    assert abs(slopes.mean()) < 5 * slopes.std() / math.sqrt(200_000)


# signal and noise, as the draws grow in number


class OwnWeight(Likelihood):
    """``p(x|z) = N(w_b z, 1)`` with a weight of its own for each datum, so that each has its own
    gradient.
    """

    def __init__(self, rows):
        super().__init__()
        self.event_shape, self.weight = (1,), nn.Parameter(torch.full((rows, 1), 0.75))

    def forward(self, input, context=None):
        return Independent(Normal(input * self.weight[: input.shape[-2]], 1.0), 1)


class OwnMean(Conditional):
    """``q(z|x) = N(m_b, 0.9^2)`` likewise."""

    def __init__(self, rows):
        super().__init__()
        self.mean = nn.Parameter(torch.full((rows, 1), 0.1))

    def forward(self, input, context=None):
        return Independent(Normal(self.mean[: len(input)], 0.9), 1)


def signal_to_noise(rule, samples, rows=20_000):
    """|mean| over standard deviation of the gradient in the posterior's mean and in the decoder's
    weight.
    """
    model = VAE(priors.Normal(1), OwnMean(rows), OwnWeight(rows))
    rule(model, objectives.IWAE(samples), Batch(torch.full((rows, 1), 0.625))).loss.backward()
    return torch.stack(
        [
            grad.mean().abs() / grad.std()
            for grad in (model.posterior.mean.grad, model.likelihood.weight.grad)
        ]
    )


@pytest.mark.parametrize("rule, encoder", [("pathwise", -0.5), ("doubly", 0.5)])
def test_signal_to_noise_of_the_encoder_falls_with_the_draws_unless_doubly_reparameterised(
    rule, encoder
):
    """Rainforth et al. (2018), Tucker et al. (2019): slopes in K of -1/2 and +1/2, and +1/2 for the
    decoder either way.
    """
    few, many = (signal_to_noise(RULES[rule], samples) for samples in (4, 64))
    slopes = (many / few).log() / math.log(16)
    # a ratio of 0.02 from 20,000 gradients has an error of a third, which moves a slope by a tenth
    assert slopes[0].item() == pytest.approx(encoder, abs=0.15)
    assert slopes[1].item() == pytest.approx(0.5, abs=0.05)


# the textbook pair of variances


class Potential(Distribution):
    """``log p(x|z) = f(z)``: not a density, but a function with a known gradient."""

    arg_constraints = {}

    def __init__(self, value):
        self.value = value
        super().__init__(value.shape, validate_args=False)

    def log_prob(self, value):
        return self.value


class Function(Likelihood):
    def __init__(self, function):
        super().__init__()
        self.function, self.event_shape = function, (1,)

    def forward(self, input, context=None):
        return Potential(self.function(input)[..., 0])


def function_vae(function, mu, s):
    model = VAE(priors.Normal(1), posteriors.Normal(nn.Identity(), 1), Function(function))
    head = model.posterior.heads.head
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([mu, unscale(torch.tensor(s)).item()]))
    return model


@pytest.mark.parametrize(
    "function, rule, mean, variance",
    [
        (torch.square, "pathwise", 3.0, 1.96),  # 2 mu, 4 s^2
        (torch.square, "score", 3.0, 49.1816326530612),  # 2 mu, mu^4 / s^2 + 14 mu^2 + 15 s^2
        (torch.Tensor.clone, "pathwise", 1.0, 0.0),
        (torch.Tensor.clone, "score", 1.0, 1.5**2 / 0.7**2 + 2),
    ],
    ids=["z^2 pathwise", "z^2 score", "z pathwise", "z score"],
)
def test_variances_of_pathwise_and_score_gradients_equal_the_textbook(
    function, rule, mean, variance
):
    """At mu = 1.5 and s = 0.7."""
    slopes = per_datum(
        function_vae(function, 1.5, 0.7),
        objectives.Reconstruction(),
        RULES[rule],
        torch.zeros(400_000, 1),
    )
    assert abs(slopes.mean() - mean) <= 5 * slopes.std() / math.sqrt(400_000) + 1e-12
    assert has_variance(slopes, variance)


# samples and minibatches


@pytest.mark.parametrize("kl", ["exact", "sampled"])
def test_variance_of_the_estimator_falls_as_one_over_samples(kl):
    model = scalar_vae()
    x = torch.full((40_000, 1), 0.625)
    with torch.no_grad():
        variances = {
            n: gradients.Pathwise()(
                model, objectives.ELBO(n, kl=kl), Batch(x)
            ).objective_value.bound.var()
            for n in (1, 4, 16)
        }
    # log p(x|z) is quadratic in z: a variance of 40,000 such numbers has an error below 1.5 %
    assert variances[1] / variances[4] == pytest.approx(4, rel=0.1) and variances[1] / variances[
        16
    ] == pytest.approx(16, rel=0.1)


def test_variance_of_the_gradient_falls_as_one_over_samples():
    model, x = scalar_vae(), torch.full((40_000, 1), 0.625)
    one, nine = (
        per_datum(model, objectives.ELBO(n), gradients.Pathwise(), x).var() for n in (1, 9)
    )
    assert one / nine == pytest.approx(9, rel=0.1)


def test_minibatch_gradients_average_to_the_full_gradient():
    """Without noise exactly, over the parts of any partition; the loss is per datum, so a part of M
    of N needs no factor.
    """
    x = torch.randn(12, 3)
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,)),
    )
    full = gradient_of(model, objectives.Reconstruction(), gradients.Pathwise(), Batch(x))
    parts = [
        gradient_of(model, objectives.Reconstruction(), gradients.Pathwise(), Batch(part))
        for part in x[torch.randperm(12)].split(4)
    ]
    assert torch.allclose(torch.stack(parts).mean(0), full, atol=1e-14)


def test_doubly_stochastic_gradients_average_to_the_full_gradient():
    """Random rows and random noise together: the mean is the derivative of the whole ELBO, in
    closed form.
    """
    weight, offset = torch.randn(3, 1), torch.randn(3)
    model = linear_vae(weight, offset, 0.6)
    gain, shift, covariance = true_posterior(weight, offset, 1.0)
    set_posterior(model, gain, shift, covariance.diagonal().sqrt())
    x, head = torch.randn(30, 3), model.likelihood.noise.heads.head
    q = model.posterior(x)
    fit = (
        Normal(q.mean @ head.weight.T + head.bias, 0.6).log_prob(x).sum(-1)
        - 0.5 * q.variance[:, 0] * head.weight.square().sum() / 0.6**2
    )
    rate = 0.5 * (q.variance + q.mean.square() - 1 - q.variance.log()).sum(-1)
    exact = flat(torch.autograd.grad(-(fit - rate).mean(), list(model.parameters())))
    draws = torch.stack(
        [
            gradient_of(
                model, objectives.ELBO(), gradients.Pathwise(), Batch(x[torch.randperm(30)[:5]])
            )
            for _ in range(3000)
        ]
    )
    assert ((draws.mean(0) - exact).abs() < 5 * draws.std(0) / math.sqrt(3000) + 1e-12).all()


# the reparameterisation itself


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_derivatives_of_a_draw_in_its_mean_and_scale(covariance):
    """z = mu + L eps: dz / dmu = 1, dz_i / dL_ij = eps_j; diagonal: dz / dsigma = eps."""
    model = linear_vae(torch.randn(3, 2), torch.zeros(3), 1.0, covariance)
    q = model.posterior(torch.randn(1, 3))
    loc, scale = (
        (q.base_dist.loc, q.base_dist.scale)
        if covariance == "diagonal"
        else (q.loc, q._unbroadcasted_scale_tril)
    )
    z = q.rsample()
    lower = torch.diag_embed(scale) if covariance == "diagonal" else scale
    noise = torch.linalg.solve_triangular(lower, (z - loc)[..., None], upper=False)[..., 0]
    for i in range(2):
        slope, turn = torch.autograd.grad(z[0, i], [loc, scale], retain_graph=True)
        assert torch.equal(slope[0], torch.eye(2)[i])
        # the noise is recovered by a division
        expected = torch.zeros_like(turn)
        if covariance == "diagonal":
            expected[0, i] = noise[0, i]
        else:
            expected[0, i] = noise[0]
        assert torch.allclose(turn, expected, atol=1e-12)


def variance_of(rule, latent, rows=4000):
    """Variance of the gradient in the mean of the first of ``latent`` independent variables.

    Each variable explains a single element.
    """
    model = linear_vae(torch.eye(latent), torch.zeros(latent), 1.0)
    set_posterior(
        model, torch.zeros(latent, latent), torch.full((latent,), 0.8), torch.full((latent,), 0.8)
    )
    head = model.posterior.heads.head
    # a mean of its own for every row: as an input that the encoder passes on
    with torch.no_grad():
        head.weight[:latent] = torch.eye(latent)
    x = torch.zeros(rows, latent, requires_grad=True)
    q = model.posterior(x)
    model.infer = lambda batch: q
    model.posterior_input = lambda batch: x.detach()
    rule(model, objectives.ELBO(2, kl="sampled"), Batch(torch.ones(rows, latent))).loss.backward()
    return (rows * x.grad[:, 0]).var().item()


@pytest.mark.parametrize(
    "rule, growth", [("score", 2.0), ("leave-one-out", 1.0), ("pathwise", 0.0), ("doubly", 0.0)]
)
def test_variance_grows_with_the_latent_size_only_without_reparameterisation(rule, growth):
    """Quadratic if the mean of the target is not 0, linear with a baseline, constant for pathwise
    gradients.
    """
    few, many = (variance_of(RULES[rule], latent) for latent in (16, 64))
    # variances of 4000 numbers with heavy tails are known to some 5 %; terms of lower order still
    # bend the line at 16
    assert math.log(many / few) / math.log(4) == pytest.approx(growth, abs=0.2)
