"""Critics, weights and penalties where the value is a short formula of known numbers.

Batches have several draws, rows and variables, all of different number, so that a sum over the
wrong axis is another number.
"""

import math

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import linear_vae
from tests.penalties import terms_of
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, OneHotCategorical

from aevb import VAE, Batch, likelihoods, networks, objectives, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.objectives._adversarial import Critic
from aevb.objectives._bounds import PowerMean
from aevb.types import Terms

pytestmark = pytest.mark.usefixtures("float64")

ROUNDING = 1e-12  # of sums of a few numbers near 1, in double precision


def log1p_exp(value):
    return math.log1p(math.exp(value))


# critics: a linear logit of known inputs


def linear_critic(penalty, weight, bias):
    with torch.no_grad():
        penalty.critic.head.weight.copy_(torch.tensor([weight]))
        penalty.critic.head.bias.fill_(bias)
    return penalty


def test_a_critic_gives_a_logit_and_all_features_per_input():
    critic = Critic(nn.Identity(), (2, 3))
    logits, features = critic(torch.arange(24.0).reshape(4, 2, 3))
    assert logits.shape == (4,) and torch.equal(features, torch.arange(24.0).reshape(4, 6))
    assert critic.head.weight.shape == (1, 6)
    expected = features @ critic.head.weight[0] + critic.head.bias[0]
    assert torch.allclose(logits, expected, atol=1e-10)  # of numbers near 20


def test_a_critic_of_encodings_of_several_draws():
    """Encodings 0, 1, .. 5 with a logit of z / 2 - 1, under a prior that is a point for the critic.

    Each value is a mean over all draws and rows.
    """
    z = torch.arange(6.0).reshape(3, 2, 1)
    logits = [each / 2 - 1 for each in range(6)]
    factor = linear_critic(objectives.FactorCritic(nn.Identity(), latent=1), [0.5], -1.0)
    term = factor(terms_of(z), None)
    assert term.values[0].item() == pytest.approx(0.25, abs=ROUNDING)  # 2.5 / 2 - 1
    # permuted, a single variable keeps its values
    chance = sum(log1p_exp(-each) + log1p_exp(each) for each in logits) / 12
    assert term.critic_losses[0].item() == pytest.approx(chance, abs=ROUNDING)

    model = linear_vae(torch.ones(1, 1), torch.zeros(1), 1.0)
    model.prior.forward = lambda input=None, context=None: Independent(
        Bernoulli(probs=torch.ones(1)), 1
    )
    prior = linear_critic(objectives.PriorCritic(nn.Identity(), latent=1), [0.5], -1.0)
    term = prior(terms_of(z), model)
    own = sum(log1p_exp(-each) for each in logits) / 6
    assert term.values[0].item() == pytest.approx(own, abs=ROUNDING)
    # the prior's draws are all 1, with a logit of -1/2
    apart = (log1p_exp(0.5) + sum(log1p_exp(each) for each in logits) / 6) / 2
    assert term.critic_losses[0].item() == pytest.approx(apart, abs=ROUNDING)


def test_a_critic_of_data_written_out():
    """A decoder that always gives (1, 2), data (0, 0), (2, 0), (0, 4), features that are the data.

    The logit is ``x_1 - x_2 / 4``: 1/2 at the decoder's mean; 0, 2 and -1 at the data.
    """
    model = linear_vae(torch.zeros(2, 1), torch.tensor([1.0, 2.0]), 1.0)
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    penalty = linear_critic(objectives.DataCritic(nn.Identity(), 2), [1.0, -0.25], 0.0)
    terms = model.draw_terms(Batch(x), 5)
    features, adversarial = penalty(terms, model).values
    (critic,) = penalty(terms, model).critic_losses
    assert features.item() == pytest.approx((5 + 5 + 5) / 3 / 2, abs=ROUNDING)
    assert adversarial.item() == pytest.approx(log1p_exp(-0.5), abs=ROUNDING)
    data = (log1p_exp(0) + log1p_exp(-2) + log1p_exp(1)) / 3
    assert critic.item() == pytest.approx((data + log1p_exp(0.5)) / 2, abs=ROUNDING)


def test_features_of_data_are_summed_and_draws_and_rows_averaged():
    """Means of (1, 2, 3) and data of 0: half of 14, whatever the number of draws and rows."""
    model = linear_vae(torch.zeros(3, 1), torch.tensor([1.0, 2.0, 3.0]), 1.0)
    penalty = objectives.DataCritic(nn.Identity(), 3)
    for draws, rows in ((1, 4), (5, 2)):
        terms = model.draw_terms(Batch(torch.zeros(rows, 3)), draws)
        assert penalty(terms, model).values[0].item() == pytest.approx(7.0, abs=ROUNDING)


class Watching(nn.Module):
    """A critic's network that keeps what it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, z):
        self.seen.append(z)
        return z.flatten(1)


def permuted(z, q):
    """What the critic of ``z`` ``[K, B, *latent]`` gets as independent variables."""
    penalty = objectives.FactorCritic(Watching(), latent=tuple(z.shape[2:]))
    penalty(terms_of(z, q), None)
    shown = penalty.critic.network.seen[1:]  # after the trial pass
    (other,) = [each for each in shown if not torch.equal(each, z.flatten(0, 1))]
    return other


def test_variables_of_a_joint_normal_are_permuted_one_by_one():
    """Under a full covariance each number is a variable: rows of (i, i) do not stay together."""
    z = torch.arange(40.0).reshape(2, 20, 1).expand(2, 20, 2)
    other = permuted(z, MultivariateNormal(torch.zeros(20, 2), torch.eye(2)))
    assert torch.equal(other.sort(0)[0], z.flatten(0, 1))
    assert (other[:, 0] != other[:, 1]).sum() > 20


def test_a_single_code_is_permuted_whole():
    """One variable of three categories: the rows are shuffled, and each is still a code."""
    q = OneHotCategorical(logits=torch.zeros(30, 3))
    z = q.sample((2,))
    with_axis = Independent(OneHotCategorical(logits=torch.zeros(30, 3)), 0)
    other = permuted(z, with_axis)
    assert (other.sum(1) == 1).all() and torch.equal(other.sum(0), z.sum((0, 1)))


@pytest.mark.parametrize("betas", [(0.0, 0.9), (0.5, 0.0)])
def test_a_critic_may_have_no_momentum(betas):
    critic = objectives.PriorCritic(networks.MLP(2), 2, lr_scale=0.1, betas=betas)
    (group,) = critic.parameter_groups()
    assert group.betas == betas and group.lr_scale == 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"betas": ()},
        {"betas": (0.5, 0.9, 0.9)},
        {"betas": (1.0, 0.5)},
        {"betas": (-0.1, 0.5)},
        {"betas": (1.0, 1.0)},
        {"lr_scale": math.inf},
        {"lr_scale": -1.0},
    ],
)
def test_rates_out_of_range_are_refused_by_name_and_value(options):
    with pytest.raises(ArgumentError) as caught:
        objectives.FactorCritic(networks.MLP(2), 2, **options)
    assert [caught.value.argument, caught.value.value] == [*options, *options.values()]


def test_a_critic_has_the_precision_of_the_model():
    critic = objectives.FactorCritic(networks.MLP(2, [3]).float(), 2)
    critic.float().check(linear_vae(torch.eye(2), torch.zeros(2), 1.0))
    assert {each.dtype for each in critic.critic.parameters()} == {torch.float64}


@pytest.mark.parametrize("error", [ValueError(), ValueError("no such input\nsecond line")])
def test_what_a_network_says_of_its_input_is_part_of_the_reason(error):
    class Failing(nn.Module):
        def forward(self, x):
            raise error

    said = str(error).splitlines()[0] if str(error) else "ValueError"
    with pytest.raises(IncompatibleError) as caught:
        objectives.PriorCritic(Failing(), latent=2)
    assert caught.value.argument == "network" and said in caught.value.reason
    with pytest.raises(IncompatibleError) as caught:
        objectives.Perceptual(Failing()).check(make_vae())
    assert caught.value.argument == "network" and said in caught.value.reason


# bounds of log-weights: three draws whose weights are 1, 2 and 6


def weighted_terms(weights=(1.0, 2.0, 6.0), weight_kl=0.0):
    """Terms with these weights, shared unevenly among the three log-densities."""
    h = torch.tensor(weights).log()[:, None]
    log_measure = torch.full((len(weights), 1), -math.log(len(weights)))
    divergence, zero = torch.tensor(weight_kl), torch.tensor(0.0)
    return Terms(
        3 * h + 1, h - 2, 3 * h - 1, log_measure, None, h, None, None, None, None, divergence, zero
    )


def values_of(objective, weight_kl=0.0, weights=(1.0, 2.0, 6.0)):
    value = objective(weighted_terms(weights, weight_kl), None)
    own = value.posterior_target
    return value.bound.item(), value.target.item(), None if own is None else own.item()


ELBO, IWAE_3 = math.log(12) / 3, math.log(3)
CHI = math.log(41 / 3) / 2  # (1 + 4 + 36) / 3
BOUNDS = {
    "IWAE": (objectives.IWAE(3), IWAE_3, IWAE_3, None),
    "Renyi of 0": (objectives.Renyi(0.0, 3), IWAE_3, IWAE_3, None),
    "Renyi of 1": (objectives.Renyi(1.0, 3), ELBO, ELBO, None),
    "Renyi of 1, nearly": (objectives.Renyi(1 - 9e-5, 3), ELBO, ELBO, None),
    # 1/(1 - 2) log (1 + 1/2 + 1/6) / 3
    "Renyi of 2": (objectives.Renyi(2.0, 3), math.log(9 / 5), math.log(9 / 5), None),
    # 1/2 log (1 + 4 + 36) / 3
    "Renyi of -1": (objectives.Renyi(-1.0, 3), CHI, CHI, None),
    "CUBO of 2": (objectives.CUBO(2.0, 3), CHI, IWAE_3, -CHI),
    # 1/3 log (1 + 8 + 216) / 3
    "CUBO of 3": (objectives.CUBO(3.0, 3), math.log(75) / 3, IWAE_3, -math.log(75) / 3),
    "MIWAE": (objectives.MIWAE(3, 1), ELBO, ELBO, None),
    "MIWAE of one group": (objectives.MIWAE(1, 3), IWAE_3, IWAE_3, None),
    "PIWAE": (objectives.PIWAE(3, 1), IWAE_3, IWAE_3, ELBO),
    "PIWAE of one group": (objectives.PIWAE(1, 3), IWAE_3, IWAE_3, IWAE_3),
    "CIWAE of 0": (objectives.CIWAE(0.0, 3), IWAE_3, IWAE_3, None),
    "CIWAE of 1": (objectives.CIWAE(1.0, 3), ELBO, ELBO, None),
    "CIWAE": (objectives.CIWAE(0.25, 3), *[ELBO / 4 + 0.75 * IWAE_3] * 2, None),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_of_three_weights_written_out(name):
    """Bound, target and the posterior's own target; random weights pay their divergence in each."""
    objective, *expected = BOUNDS[name]
    assert objective.samples == 3
    assert values_of(objective) == pytest.approx(expected, abs=ROUNDING)
    paid = [None if each is None else each - 0.3 for each in expected]
    assert values_of(objective, 0.3) == pytest.approx(paid, abs=ROUNDING)


def test_groups_are_of_draws_that_follow_each_other():
    """Means of (1, 3) and of (2, 8): 2 and 5."""
    expected = (math.log(2) + math.log(5)) / 2
    for objective, place in ((objectives.MIWAE(2, 2), 1), (objectives.PIWAE(2, 2), 2)):
        assert objective.samples == 4 and (objective.groups, objective.size) == (2, 2)
        values = values_of(objective, weights=(1.0, 3.0, 2.0, 8.0))
        assert values[place] == pytest.approx(expected, abs=ROUNDING)


def test_the_ends_of_a_family_are_its_known_members():
    """A closed-form divergence and a baseline by formula apply to a plain mean alone."""
    iwae = objectives.IWAE().target_mean
    assert (
        objectives.CIWAE(1.0).target_mean.is_average and objectives.CIWAE(0.0).target_mean == iwae
    )
    assert objectives.CIWAE(0.3).target_mean == PowerMean(((0.3, 0.0), (0.7, 1.0)))
    assert objectives.Renyi(1.0).target_mean.is_average
    assert objectives.Renyi(1 - 9e-5).target_mean.is_average
    assert not objectives.Renyi(1 - 2e-4).target_mean.is_average
    assert objectives.Renyi(0.0).target_mean == iwae


def test_held_out_rows_are_judged_by_the_bound_or_by_the_evidence():
    criterion = objectives.Renyi(0.5, 7).validation_criterion
    assert criterion.samples == 7 and criterion.mean == PowerMean(((1.0, 0.5),))
    for objective in (objectives.Renyi(-1.0, 7), objectives.CUBO(2.0, 7)):
        criterion = objective.validation_criterion
        assert criterion.samples == 7 and criterion.mean == objectives.IWAE().target_mean


OUTSIDE = [
    (lambda: objectives.MIWAE(0, 3), "groups", 0),
    (lambda: objectives.MIWAE(3, 0), "size", 0),
    (lambda: objectives.MIWAE(-2, -2), "groups", -2),
    (lambda: objectives.PIWAE(0, 3), "groups", 0),
    (lambda: objectives.PIWAE(3, 0), "size", 0),
    (lambda: objectives.PIWAE(-2, -2), "groups", -2),
    (lambda: objectives.CIWAE(-0.1), "beta", -0.1),
    (lambda: objectives.CIWAE(1.1), "beta", 1.1),
    (lambda: objectives.CUBO(1.0), "n", 1.0),
    (lambda: objectives.CUBO(0.5), "n", 0.5),
    (lambda: objectives.CUBO(math.inf), "n", math.inf),
    (lambda: objectives.Renyi(math.inf), "alpha", math.inf),
    (lambda: objectives.IWAE(0), "samples", 0),
    (lambda: objectives.MSSSIM(data_range=0.0), "data_range", 0.0),
    (lambda: objectives.MSSSIM(data_range=-1.0), "data_range", -1.0),
    (lambda: objectives.MSSSIM(data_range=math.inf), "data_range", math.inf),
    (lambda: objectives.MSSSIM(-1.0), "weight", -1.0),
    (lambda: objectives.Perceptual(nn.Flatten(), -1.0), "weight", -1.0),
    (lambda: objectives.LatentNorm(-1.0), "weight", -1.0),
    (lambda: objectives.DecoderNorm(-1.0), "weight", -1.0),
    (lambda: objectives.DecoderGradient(-1.0), "weight", -1.0),
    (lambda: objectives.DecoderGradient(probes=0), "probes", 0),
]


@pytest.mark.parametrize("build, argument, value", OUTSIDE, ids=range(len(OUTSIDE)))
def test_settings_out_of_range_are_refused_by_name_and_value(build, argument, value):
    with pytest.raises(ArgumentError) as caught:
        build()
    assert caught.value.argument == argument and caught.value.value == value


# penalties of encodings, decoders and appearances


@pytest.mark.parametrize("latent", [(4,), (2, 2)])
def test_the_norm_of_encodings_is_summed_over_variables_alone(latent):
    """Draws by 3 rows of four equal numbers 0, 1, .. 5: half of 4 (0 + 1 + 4 + 9 + 16 + 25) / 6."""
    z = torch.arange(6.0).reshape(2, 3, *[1] * len(latent)).expand(2, 3, *latent)
    value = objectives.LatentNorm()(terms_of(z), None).values[0]
    assert value.item() == pytest.approx(2 * 55 / 6, abs=ROUNDING)
    uneven = torch.zeros(2, 3, 4)
    uneven[:, 1, 2] = 6.0
    assert objectives.LatentNorm()(terms_of(uneven), None).values[0].item() == pytest.approx(6.0)


def test_the_jacobian_of_a_line_is_its_weight_and_so_is_the_gradient():
    """``x = 3 z``: half of 9 for every sign, and ``dW`` of half of ``W^2`` is ``W``."""
    model = linear_vae(torch.tensor([[3.0]]), torch.zeros(1), 1.0)
    q = model.posterior(torch.zeros(4, 1))
    for probes in (1, 3):
        terms = model.terms(Batch(torch.zeros(4, 1)), q.rsample((2,)), q)
        value = objectives.DecoderGradient(probes=probes)(terms, model).values[0]
        assert value.item() == pytest.approx(4.5, abs=ROUNDING)
        weight = model.likelihood.noise.heads.head.weight
        (slope,) = torch.autograd.grad(value, weight)
        assert slope.item() == pytest.approx(3.0, abs=ROUNDING)


def test_the_jacobian_is_summed_over_latent_variables_alone():
    """``x = z_1 + 2 z_2 + 3 z_3``: half of 14, for any number of draws and rows."""
    model = linear_vae(torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1), 1.0)
    for draws, rows in ((1, 5), (4, 2)):
        q = model.posterior(torch.zeros(rows, 1))
        terms = model.terms(Batch(torch.zeros(rows, 1)), q.rsample((draws,)), q)
        value = objectives.DecoderGradient()(terms, model).values[0]
        assert value.item() == pytest.approx(7.0, abs=ROUNDING)


class Without(likelihoods.Normal.__base__):
    """``p(x|z) = N(z, 1)``: a likelihood that has no network."""

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)

    def forward(self, input, context=None):
        return Independent(torch.distributions.Normal(input, 1.0), 1)


def test_the_norm_of_a_decoder_needs_a_decoder():
    objectives.DecoderNorm().check(make_vae())
    model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(2), 2), Without())
    with pytest.raises(IncompatibleError) as caught:
        objectives.DecoderNorm().check(model)
    assert len(caught.value.suggestions) == 1


class Strict(nn.Module):
    """Features ``(x, 2 x)`` of rows ``[N, 2, 2]`` and of nothing else."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        assert x.shape[1:] == (2, 2)
        return x, self.gain * x


def test_a_distance_of_two_layers_written_out():
    """Data 0 and means 1, 2, 3, 4 of each pixel: half of the sum of 7.5 and 4 times 7.5."""
    likelihood = likelihoods.Normal(networks.MLP(1), (2, 2), scale=1.0)
    model = VAE(priors.Normal(1), posteriors.Normal(nn.Flatten(), 1), likelihood)
    with torch.no_grad():
        likelihood.noise.heads.head.weight.zero_()
        likelihood.noise.heads.head.bias.copy_(torch.arange(1.0, 5.0))
    network = Strict()
    penalty = objectives.Perceptual(network)
    penalty.check(model)
    terms = model.draw_terms(Batch(torch.zeros(3, 2, 2)), 5)
    assert penalty(terms, model).values[0].item() == pytest.approx(5 * 7.5 / 2, abs=ROUNDING)
    # features of the same sign are subtracted: at the means themselves nothing is left
    same = model.draw_terms(Batch(torch.arange(1.0, 5.0).reshape(1, 2, 2).expand(3, 2, 2)), 5)
    assert penalty(same, model).values[0].item() == pytest.approx(0.0, abs=ROUNDING)
    assert not network.gain.requires_grad and not list(penalty.parameters())


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4)])
def test_similarity_is_of_images_of_two_or_three_axes(shape):
    pixels = math.prod(shape)
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(nn.Flatten(), 1),
        likelihoods.Normal(networks.MLP(1), shape, scale=1.0),
    )
    penalty = objectives.MSSSIM(data_range=0.5)
    penalty.check(model)
    model.likelihood.noise.heads.head.weight.data.zero_()
    mean = model.likelihood(torch.zeros(1, 1)).mean
    # equal images: a dissimilarity of 0, for several draws
    terms = model.draw_terms(Batch(mean.detach().expand(3, *shape)), 2)
    assert penalty(terms, model).values[0].item() == pytest.approx(0.0, abs=1e-9) and pixels > 1
    for size in (4, (1, 1, 2, 2)):
        other = VAE(
            priors.Normal(1),
            posteriors.Normal(nn.Flatten(), 1),
            likelihoods.Normal(networks.MLP(1), size, scale=1.0),
        )
        with pytest.raises(IncompatibleError):
            penalty.check(other)
