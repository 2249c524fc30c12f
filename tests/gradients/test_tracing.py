"""Every gradient, traced as a single graph, takes the same steps as in eager mode."""

import pytest
import torch

from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.objectives._schedules import Exponential
from aevb.training import adam
from aevb.training._step import TrainingStep
from aevb.types import Batch


def gaussian():
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    )


def discrete():
    prior = priors.Bernoulli(2, learned=True)
    return VAE(
        prior,
        posteriors.Bernoulli(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    )


CASES = {
    "pathwise, two targets": (
        gaussian,
        lambda: objectives.PIWAE(2, 2),
        lambda: gradients.Pathwise(),
    ),
    "doubly, a sum of means": (
        gaussian,
        lambda: objectives.CIWAE(0.3, 3),
        lambda: gradients.DoublyReparameterised(),
    ),
    "score, network": (
        discrete,
        lambda: objectives.IWAE(3),
        lambda: gradients.ScoreFunction(networks.MLP(6, [4])),
    ),
    "leave-one-out in groups": (
        discrete,
        lambda: objectives.MIWAE(2, 2),
        lambda: gradients.LeaveOneOut(),
    ),
    "REBAR": (discrete, lambda: objectives.IWAE(3), lambda: gradients.REBAR()),
    "relaxed": (
        discrete,
        lambda: objectives.IWAE(3),
        lambda: gradients.Relaxed(Exponential(1.0, 0.3, steps=5)),
    ),
    "straight-through": (discrete, lambda: objectives.ELBO(2), lambda: gradients.StraightThrough()),
    "enumerate": (discrete, lambda: objectives.CUBO(), lambda: gradients.Enumerate()),
    "wake-sleep": (
        discrete,
        lambda: objectives.IWAE(3),
        lambda: gradients.ReweightedWakeSleep("both"),
    ),
}


def bits(seed):
    return Batch(
        (
            torch.rand(16, 6, generator=torch.Generator().manual_seed(seed))
            < torch.linspace(0.1, 0.9, 6)
        ).float()
    )


def bounds(name, *, trace):
    """The bounds of five steps, which depend on every gradient before them."""
    build, objective, gradient = CASES[name]
    with seed_scope(0):
        model, objective_instance, rule = build(), objective(), gradient()
        rule.check(model, objective_instance)
    take = TrainingStep(
        model, objective_instance, rule, adam(1e-2)([*model.parameters(), *rule.parameters()])
    )
    if trace:  # traced, not compiled: seconds matter here
        take.differentiate = torch.compile(
            take.differentiate, fullgraph=True, dynamic=False, backend="aot_eager"
        )
    losses = []
    with (
        seed_scope(0),
        torch._dynamo.config.patch(trace_autograd_ops=True, error_on_recompile=True),
    ):
        for step in range(5):
            rule.set_step(step)
            losses.append(take(bits(step))[0].item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_traced_steps_equal_the_eager_steps(name):
    torch._dynamo.reset()
    assert bounds(name, trace=True) == pytest.approx(
        bounds(name, trace=False), rel=1e-5
    )  # float32 sums in another order
