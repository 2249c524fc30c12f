"""Wake-sleep and its reweighted form: the mean of each step, and the optimum of a small
sigmoid belief net.
"""

import itertools

import pytest
import torch
from tests.enumeration import agrees_with, discrete_vae, flat, states, tuples
from torch import nn

from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.training import adam
from aevb.training._optimisers import set_learning_rates
from aevb.training._step import TrainingStep
from aevb.types import Batch

X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def split(model, target, own):
    """The gradient of ``-target`` for the model and of ``-own`` for its posterior."""
    named = dict(model.named_parameters())
    theirs = torch.autograd.grad(
        -target, list(named.values()), materialize_grads=True, retain_graph=True
    )
    mine = torch.autograd.grad(-own, list(named.values()), materialize_grads=True)
    return flat(
        [
            m if name.startswith("posterior") else t
            for name, t, m in zip(named, theirs, mine, strict=True)
        ]
    )


def dreamt(model):
    """``E_p(x, z)[log q(z|x)]`` with a fixed model, by enumeration of codes and data."""
    z, x = states(model.latent_shape), torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    joint = model.prior().log_prob(z)[:, None] + model.likelihood(z[:, None]).log_prob(x)
    return (joint.exp().detach() * model.posterior(x).log_prob(z[:, None])).sum()


def weighed(model, objective):
    """``E[sum_k w_k log q(z_k|x)]`` with fixed draws and weights, by enumeration of all tuples
    of draws.
    """
    terms, probability = tuples(model, objective, X)
    weights = torch.softmax(terms.log_weight, 0).detach()
    return (probability.detach() * (weights * terms.log_posterior).sum(0)).sum()


PHASES = {
    "wake-sleep": (lambda: gradients.WakeSleep(), lambda: objectives.ELBO(2), 0.0, 1.0),
    "wake-sleep on IWAE": (lambda: gradients.WakeSleep(), lambda: objectives.IWAE(2), 0.0, 1.0),
    "reweighted, wake": (
        lambda: gradients.ReweightedWakeSleep(),
        lambda: objectives.IWAE(2),
        1.0,
        0.0,
    ),
    "reweighted, sleep": (
        lambda: gradients.ReweightedWakeSleep("sleep"),
        lambda: objectives.IWAE(2),
        0.0,
        1.0,
    ),
    "reweighted, both": (
        lambda: gradients.ReweightedWakeSleep("both"),
        lambda: objectives.IWAE(2),
        0.5,
        0.5,
    ),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", PHASES)
def test_each_phase_has_the_enumerated_mean(name):
    rule, objective, wake, sleep = PHASES[name]
    model, objective_instance = discrete_vae("bernoulli"), objective()
    terms, probability = tuples(model, objective_instance, X)
    target = (probability.detach() * objective_instance(terms, model).target).sum()
    own = wake * weighed(model, objective_instance) + sleep * dreamt(model)
    assert agrees_with(split(model, target, own), model, objective_instance, rule(), X)


# a sigmoid belief net of two causes and five effects

CODES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)))
DATA = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)))


def belief_net(seed):
    with seed_scope(seed):
        encoder = networks.MLP(5, [8], activation="tanh")
        return VAE(
            priors.Bernoulli(2, learned=True),
            posteriors.Bernoulli(encoder, 2),
            likelihoods.Bernoulli(nn.Identity(), (5,)),
        )


def log_evidence(model):
    """``log p(x)`` of all possible data, ``[32]``."""
    joint = model.prior().log_prob(CODES)[:, None] + model.likelihood(CODES[:, None]).log_prob(DATA)
    return joint.logsumexp(0)


@torch.no_grad()
def nature():
    """The probability of every datum: two causes that share one effect, so that one explains the
    other away.
    """
    net = belief_net(7)
    net.prior.logits.copy_(torch.tensor([-0.5, 0.8]))
    head = net.likelihood.heads.head
    head.weight.copy_(torch.tensor([[3.0, 3.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.5, 3.0, -3.0]]).T)
    head.bias.copy_(torch.tensor([-1.5, -1.5, 0.0, -1.5, 1.5]))
    return log_evidence(net).exp()


def most_likely(truth):
    """The maximum of the expected log-likelihood over these nets, by its exact gradient."""
    net = belief_net(0)
    optimizer = torch.optim.Adam([*net.prior.parameters(), *net.likelihood.parameters()], lr=0.05)
    for _ in range(800):
        optimizer.zero_grad()
        loss = -(truth * log_evidence(net)).sum()
        loss.backward()
        optimizer.step()
    return -loss.item()


@pytest.mark.parametrize(
    "rule, objective, steps, close",
    [
        (gradients.WakeSleep(), objectives.ELBO(), 2000, 0.02),
        (gradients.ReweightedWakeSleep(), objectives.IWAE(50), 800, 0.01),
    ],
    ids=["wake-sleep", "reweighted"],
)
def test_a_small_belief_net_ends_near_the_enumerated_maximum_of_the_likelihood(
    rule, objective, steps, close
):
    truth = nature()
    net = belief_net(0)
    before = (truth * log_evidence(net)).sum().item()
    optimizer = adam(0.03)(net.parameters())
    take, draws = TrainingStep(net, objective, rule, optimizer), torch.Generator().manual_seed(5)
    with seed_scope(0):
        for step in range(steps):
            set_learning_rates(optimizer, [0.03], min(1.0, 2 - 2 * step / steps))
            take(Batch(DATA[torch.multinomial(truth, 100, replacement=True, generator=draws)]))
    after, best = (truth * log_evidence(net)).sum().item(), most_likely(truth)
    # in the mean over nature's data, so that nothing is left of which rows were drawn but the noise
    # of the last steps
    assert best - close < after <= best + 1e-5 and before < best - 0.2
