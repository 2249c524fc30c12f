"""Identities that hold for every single draw: gradients written out from the draws themselves.

A mean over draws hides a control variate of the wrong sign or size, since every baseline leaves the
mean alone. Here the draws of one seed are used twice, so that the identities are exact.
"""

import math

import pytest
import torch
from tests.catalogue import CONDITION, make_vae
from tests.enumeration import discrete_vae, flat, gradient_of, states
from tests.linear import scalar_vae
from torch import nn

from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import ArgumentError, IncompatibleError
from aevb.notes import Argument

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
ROUNDING = 1e-12  # of sums of a few numbers near 1, in double precision


def estimate(model, objective, rule, x=X, seed=3):
    with seed_scope(seed):
        return rule(model, objective, Batch(x))


def slope_at(model, objective, rule, x=X, seed=3):
    with seed_scope(seed):
        return gradient_of(model, objective, rule, Batch(x))


def of_posterior(model, value):
    """The gradient of a number in the posterior's parameters."""
    return flat(torch.autograd.grad(value, list(model.posterior.parameters()), retain_graph=True))


def of_model(model, value):
    return flat(torch.autograd.grad(value, list(model.parameters()), materialize_grads=True))


# the score function: (f - b) grad log q


def scores_times(model, objective, baseline):
    """``sum_k b grad log q(z_k|x)`` at the draws of the seed, a mean over the rows."""
    terms = estimate(model, objective, gradients.ScoreFunction()).terms
    return of_model(model, (baseline * model.posterior(X).log_prob(terms.z).sum(0)).mean())


@pytest.mark.parametrize(
    "objective", [objectives.ELBO(2), objectives.IWAE(3), objectives.CUBO(2.0, 2)]
)
def test_a_baseline_moves_the_gradient_by_itself_times_the_score(objective):
    """A sum of -3 with a share of 0.5 from data is a mean of -6."""
    model, rule = discrete_vae("bernoulli"), gradients.ScoreFunction("mean")
    plain = slope_at(model, objective, gradients.ScoreFunction())
    assert torch.equal(slope_at(model, objective, rule), plain), "0 before the first step"
    rule = gradients.ScoreFunction("mean")
    rule.running_mean.fill_(-3.0)
    rule.running_weight.fill_(0.5)
    moved = slope_at(model, objective, rule) - plain
    assert torch.allclose(moved, scores_times(model, objective, -6.0), atol=ROUNDING)
    assert moved.abs().max() > 0.1


def test_a_network_baseline_adds_to_the_mean_and_learns_by_least_squares():
    model, objective = discrete_vae("bernoulli"), objectives.ELBO(2)
    rule = gradients.ScoreFunction(networks.MLP(3, [4]))
    rule.check(model, objective)
    rule.running_mean.fill_(-3.0)
    rule.running_weight.fill_(0.5)
    predicted = rule.network(X)[0]
    assert predicted.shape == (2,)
    plain = slope_at(model, objective, gradients.ScoreFunction())
    with seed_scope(3):
        made = rule(model, objective, Batch(X))
    moved = of_model(model, made.loss) - plain
    expected = scores_times(model, objective, predicted.detach() - 6)
    assert torch.allclose(moved, expected, atol=ROUNDING)
    # the step has moved the mean; the prediction is judged against the mean before
    made = estimate(model, objective, gradients.ScoreFunction())
    error = (made.objective_value.target.detach() + 6 - predicted).square().mean()
    exact = flat(torch.autograd.grad(error, list(rule.network.parameters())))
    rule.running_mean.fill_(-3.0)
    rule.running_weight.fill_(0.5)
    loss = estimate(model, objective, rule).loss
    learned = flat(torch.autograd.grad(loss, list(rule.network.parameters())))
    assert torch.allclose(learned, exact, atol=ROUNDING) and exact.abs().max() > 0.1


def test_without_a_baseline_nothing_is_tracked_or_stored():
    model, rule = discrete_vae("bernoulli"), gradients.ScoreFunction()
    rule(model, objectives.ELBO(), Batch(X))
    assert rule.running_mean == 0 and rule.running_weight == 0 and not rule.state_dict()
    assert set(gradients.ScoreFunction("mean").state_dict()) == {"running_mean", "running_weight"}


def test_a_network_baseline_has_the_precision_of_the_model():
    network = networks.MLP(3, [4]).float()
    rule, model = gradients.ScoreFunction(network), discrete_vae("bernoulli")
    rule.check(model, objectives.ELBO())
    assert {each.dtype for each in rule.network.parameters()} == {torch.float64}
    assert rule(model, objectives.ELBO(), Batch(X)).loss.isfinite()


def test_leave_one_out_of_two_draws_is_the_product_of_differences():
    """``1/2 (f_1 - f_2) (grad log q_1 - grad log q_2)`` and the path of the KL divergence."""
    model, objective = discrete_vae("bernoulli"), objectives.ELBO(2, kl="sampled")
    made = estimate(model, objective, gradients.LeaveOneOut())
    f, score = made.terms.log_weight.detach(), made.terms.log_posterior
    product = 0.5 * ((f[0] - f[1]) * (score[0] - score[1])).mean()
    # the target's own derivative in the posterior is that of -log q
    exact = of_posterior(model, product - score.mean(0).mean())
    assert torch.allclose(of_posterior(model, -made.loss), exact, atol=ROUNDING)


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_logits_that_are_not_finite_give_a_loss_that_is_not(family):
    """The sampler of torch stops at them, and a run would stop with it."""
    model = discrete_vae(family)
    for rule in (gradients.LeaveOneOut(), gradients.ReweightedWakeSleep()):
        assert not rule(model, objectives.IWAE(2), Batch(X * math.nan)).loss.isfinite()


LOSSES = {
    "REBAR": (gradients.REBAR(), objectives.IWAE(2)),
    "two targets": (gradients.LeaveOneOut(), objectives.CUBO(2.0, 3)),
    "weights": (gradients.ReweightedWakeSleep("both"), objectives.IWAE(2)),
    "all states": (gradients.Enumerate(), objectives.CUBO()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_only_has_a_gradient_leaves_the_value_of_the_loss(name):
    """The loss is minus the mean of the target."""
    rule, objective = LOSSES[name]
    made = estimate(discrete_vae("bernoulli"), objective, rule)
    target = made.objective_value.target.mean().item()
    assert made.loss.item() == pytest.approx(-target, abs=ROUNDING)


# which KL divergence


RULES = {
    "pathwise": (gradients.Pathwise(), "normal-diagonal"),
    "score": (gradients.ScoreFunction(), "bernoulli"),
    "leave-one-out": (gradients.LeaveOneOut(), "bernoulli"),
    "REBAR": (gradients.REBAR(), "bernoulli"),
    "relaxed": (gradients.Relaxed(), "categorical"),
    "straight-through": (gradients.StraightThrough(), "categorical"),
    "enumerate": (gradients.Enumerate(), "bernoulli"),
    "em": (gradients.MonteCarloEM(leapfrogs=1), "normal-diagonal"),
}


@pytest.mark.parametrize("name", RULES)
def test_the_divergence_is_by_formula_only_where_the_objective_allows(name):
    rule, posterior = RULES[name]
    model = make_vae(posterior)
    batch = Batch(torch.rand(4, 2, 2))
    for kl, exact in (("auto", True), ("sampled", False)):
        assert (rule(model, objectives.ELBO(2, kl=kl), batch).terms.kl is not None) == exact
    assert rule(model, objectives.IWAE(2), batch).terms.kl is None


def test_without_a_formula_the_divergence_is_sampled():
    model = make_vae("logistic")
    terms = gradients.Pathwise()(model, objectives.ELBO(2), Batch(torch.rand(4, 2, 2))).terms
    assert terms.kl is None


# the state of the model


def test_a_step_updates_the_state_of_the_model_in_training_alone():
    """The stored noise moves from 1 towards the squared error of the batch by a hundredth."""
    likelihood = likelihoods.Normal(networks.MLP(1, [3]), (3,), scale="optimal")
    model = VAE(priors.Normal(1), posteriors.Normal(networks.MLP(3), 1), likelihood)
    stored = likelihood.noise.running_error
    for rule in (gradients.Pathwise(), gradients.DoublyReparameterised()):
        stored.fill_(1.0)
        estimate(model.eval(), objectives.IWAE(2), rule, 5 + X)
        assert stored == 1
        made = estimate(model.train(), objectives.IWAE(2), rule, 5 + X)
        mean = made.terms.reconstruction.mean
        expected = 0.99 + 0.01 * (5 + X - mean).square().mean().item()
        assert stored.item() == pytest.approx(expected, rel=1e-6)  # stored as float32


def test_a_step_draws_random_weights_in_training_alone():
    likelihood = likelihoods.Bayesian(likelihoods.Bernoulli(networks.MLP(1, [3]), (3,)))
    model = VAE(priors.Normal(1), posteriors.Normal(networks.MLP(3), 1), likelihood)
    rule, z = gradients.Pathwise(), torch.ones(1, 1, 1)

    def logits_after_a_step():
        rule(model, objectives.ELBO(), Batch(X, dataset_size=2))
        return model.likelihood(z).mean.detach().clone()

    model.train()
    assert not torch.equal(logits_after_a_step(), logits_after_a_step())
    model.eval()
    assert torch.equal(logits_after_a_step(), logits_after_a_step())


# doubly reparameterised


def test_a_fixed_posterior_leaves_the_gradient_of_the_decoder():
    """Without a path there is nothing to scale, and the decoder learns as ever."""
    model, x = scalar_vae(), torch.full((4, 1), 0.625)
    model.posterior.requires_grad_(False)
    learned = [model.likelihood.noise.heads.head.weight]
    slopes = [
        torch.autograd.grad(estimate(model, objectives.IWAE(3), rule, x).loss, learned)[0]
        for rule in (gradients.DoublyReparameterised(), gradients.Pathwise())
    ]
    assert torch.allclose(*slopes, atol=ROUNDING) and slopes[0].abs().max() > 1e-3


# relaxations


def one_bit():
    """A bit with a logit of 0.4 for every datum, and a curved decoder."""
    model = VAE(
        priors.Bernoulli(1),
        posteriors.Bernoulli(nn.Identity(), 1),
        likelihoods.Bernoulli(networks.MLP(1, [3], activation="tanh"), (3,)),
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.8)
    nn.init.zeros_(model.posterior.heads.head.weight)
    nn.init.constant_(model.posterior.heads.head.bias, 0.4)
    return model


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_straight_through_is_the_slope_at_the_bit_times_that_of_the_soft_bit(temperature):
    """In the mean over the noise, a quadrature: ``E[s (1 - s) / T d log p(x|z = b) / dz]``."""
    model, objective = one_bit(), objectives.Reconstruction()
    bits = torch.tensor([[[0.0]], [[1.0]]], requires_grad=True)
    fit = model.likelihood(bits).log_prob(X[:1]).sum()
    slopes = torch.autograd.grad(fit, bits)[0].flatten()
    y = 0.4 + torch.logit((torch.arange(20_000) + 0.5) / 20_000)
    soft = torch.sigmoid(y / temperature)
    exact = (soft * (1 - soft) / temperature * slopes[(y > 0).long()]).mean()
    rows = 40_000
    q = model.infer(Batch(X[:1].expand(rows, 3)))
    logits = q.base_dist.logits.detach().requires_grad_()
    model.infer = lambda batch: posteriors_of(logits)
    rule = gradients.StraightThrough(temperature)
    rule(model, objective, Batch(X[:1].expand(rows, 3))).loss.backward()
    draws = -rows * logits.grad[:, 0]
    # five standard errors
    assert abs(draws.mean() - exact) < 5 * draws.std() / math.sqrt(rows)
    assert abs(exact) > 20 * draws.std() / math.sqrt(rows)


def posteriors_of(logits):
    return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1)


@pytest.mark.parametrize("setting", ["scale", "log_temperature"])
@pytest.mark.parametrize("samples", [1, 3])
def test_the_settings_of_rebar_follow_the_squared_gradient_of_the_logits(setting, samples):
    """With fixed draws the gradient is a function of both settings; for one datum it is that of the
    bias of the logits, and central differences give the derivative of its square.
    """
    model, x, at = one_bit(), X[:1], {"scale": 0.6, "log_temperature": math.log(0.7)}
    objective = objectives.Reconstruction(samples)

    def squared_slope(scale, log_temperature):
        rule = gradients.REBAR(math.exp(log_temperature), scale, learned=False)
        loss = estimate(model, objective, rule, x).loss
        return torch.autograd.grad(loss, model.posterior.heads.head.bias)[0].square().sum().item()

    rule = gradients.REBAR(0.7, 0.6)
    estimate(model, objective, rule, x).loss.backward()
    above, below = (squared_slope(**at | {setting: at[setting] + h}) for h in (1e-5, -1e-5))
    # rounding of 1e-16 over a step of 1e-5, and the third derivative times 1e-10
    assert getattr(rule, setting).grad.item() == pytest.approx((above - below) / 2e-5, rel=1e-6)
    assert abs(above - below) > 1e-8


def test_only_learned_settings_are_stored():
    assert set(gradients.REBAR().state_dict()) == {"log_temperature", "scale"}
    assert not gradients.REBAR(learned=False).state_dict()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_is_a_positive_finite_number(temperature):
    with pytest.raises(ArgumentError) as caught:
        gradients.REBAR(temperature)
    assert caught.value.argument == "temperature"


# enumeration


def test_a_sum_has_at_least_two_states():
    assert gradients.Enumerate(limit=2).limit == 2
    with pytest.raises(ArgumentError) as caught:
        gradients.Enumerate(limit=1)
    assert caught.value.argument == "limit" and caught.value.value == 1


def test_states_are_enumerated_under_the_context_of_each_row():
    """``sum_z q(z|x, c) (log p(x|z, c) - log q(z|x, c) / p(z))`` for rows of several contexts."""
    width = CONDITION.width
    model = VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(networks.MLP(3, [4], context=width), 2),
        likelihoods.Bernoulli(
            networks.ConditionedNetwork(networks.MLP(2, [4], context=width), CONDITION), (3,)
        ),
    )
    context = torch.eye(3)[[2, 0]]
    batch, z = Batch(X, context), states((2,))
    made = gradients.Enumerate()(model, objectives.ELBO(kl="sampled"), batch)
    for row in range(2):
        x, c = X[row : row + 1], context[row : row + 1]
        q = model.posterior(x, c).log_prob(z)
        fit = torch.cat([model.likelihood(each[None, None], c[None]).log_prob(x)[0] for each in z])
        bound = (q.exp() * (fit + model.prior().log_prob(z) - q)).sum()
        assert made.objective_value.bound[row].item() == pytest.approx(bound.item(), abs=ROUNDING)


def labelled(latent):
    return VAE(
        priors.Labelled(priors.Normal(2), CONDITION)
        if latent is not posteriors.Bernoulli
        else priors.Labelled(priors.Bernoulli(2), CONDITION),
        posteriors.Labelled(
            networks.MLP(3), latent(networks.MLP(3, context=CONDITION.width), 2), CONDITION
        ),
        likelihoods.Bernoulli(networks.WithoutContext(networks.MLP(2 + CONDITION.width)), (3,)),
    )


def test_classes_need_a_latent_with_a_density_that_can_be_differentiated():
    rule, objective = gradients.EnumerateLabels(), objectives.ELBO()
    rule.check(labelled(posteriors.Normal), objective)
    with pytest.raises(IncompatibleError):
        rule.check(labelled(posteriors.Bernoulli), objective)
    with pytest.raises(IncompatibleError) as caught:
        rule.check(labelled(posteriors.Normal), objectives.IWAE(2))
    assert len(caught.value.suggestions) == 1


# chains


@pytest.mark.parametrize(
    "settings, missing",
    [({"latent": 3}, Argument("rows", 1000)), ({"rows": 3}, Argument("latent", 8))],
)
def test_the_setting_that_chains_miss_is_shown(settings, missing):
    with pytest.raises(ArgumentError) as caught:
        gradients.MonteCarloEM(**settings)
    assert caught.value.argument == missing.name
    assert caught.value.suggestions[0].references["missing"] == missing


@pytest.mark.parametrize("acceptance", [0.0, 1.0, -0.5, 1.5])
def test_a_share_of_accepted_proposals_is_between_0_and_1(acceptance):
    with pytest.raises(ArgumentError) as caught:
        gradients.MonteCarloEM(acceptance=acceptance)
    assert caught.value.argument == "acceptance" and caught.value.value == acceptance
