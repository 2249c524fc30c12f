"""Critics: the optimum is the density ratio, the losses of model and critic share no gradient, and
a single loop trains both.
"""

import math
from functools import partial

import pytest
import torch
from tests.catalogue import EVENT, OBJECTIVES, make_batch, make_vae
from tests.penalties import estimate, slopes, terms_of, weigh
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, OneHotCategorical
from torch.optim import SGD, Adam, RMSprop

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    networks,
    objectives,
    posteriors,
    presets,
    priors,
)
from aevb._random import seed_scope
from aevb._recipe import Recipe
from aevb.errors import ArgumentError, IncompatibleError
from aevb.objectives._adversarial import _permute_dimensions
from aevb.training import _checkpoint as checkpoint
from aevb.training import adam
from aevb.training._optimisers import build_optimizer
from aevb.training._step import TrainingStep

CRITICS = ["factor", "adversarial", "gan"]


def adversarial(name):
    """The objective of this name, in double precision, and a model it fits."""
    objective = OBJECTIVES[name]()
    model = make_vae(
        "dirac" if objective.kind == "reconstruction" else "normal-diagonal", "normal-fixed"
    ).double()
    gradients.Pathwise().check(model, objective)
    return model, objective


class Quadratic(nn.Module):
    """``z_i`` and ``z_i z_j``: the log ratio of two Gaussians is linear in these."""

    def forward(self, z):
        return torch.cat([z, (z[:, :, None] * z[:, None]).flatten(1)], 1)


def gaussian_ratio(penalty, weight, bias):
    """Set the critic to this linear function of ``Quadratic`` features."""
    with torch.no_grad():
        penalty.critic.head.weight.copy_(torch.tensor([weight]))
        penalty.critic.head.bias.fill_(bias)
    return penalty


def score_of_critic(penalty, draw, runs=60):
    """Mean and standard error of the gradient of a critic's loss over ``runs`` calls of
    ``draw() -> PenaltyTerm``.
    """
    parameters = list(penalty.critic.parameters())
    slopes = torch.stack(
        [
            torch.cat(
                [
                    slope.flatten()
                    for slope in torch.autograd.grad(draw().critic_losses[0], parameters)
                ]
            )
            for _ in range(runs)
        ]
    )
    return slopes.mean(0), slopes.std(0) / math.sqrt(runs)


# optima


@pytest.mark.usefixtures("float64")
def test_the_ratio_is_the_optimum_of_the_factor_critic_and_gives_the_total_correlation():
    """For correlation 0.8 the log ratio is quadratic, its mean 0.5108256 nats, and the critic's
    gradient there 0 in mean.
    """
    rho = 0.8
    c = rho / (1 - rho**2)
    penalty = objectives.FactorCritic(Quadratic(), latent=2)
    gaussian_ratio(
        penalty, [0.0, 0.0, -rho * c / 2, c / 2, c / 2, -rho * c / 2], -0.5 * math.log(1 - rho**2)
    )
    joint = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, rho], [rho, 1.0]]))
    z = joint.sample((1, 100_000))
    values = joint.log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    value = penalty(terms_of(z), None).values[0].item()
    assert value == pytest.approx(values.mean().item(), abs=1e-12)
    assert value == pytest.approx(
        0.5108256237659907, abs=5 * values.std().item() / math.sqrt(100_000)
    )
    mean, error = score_of_critic(penalty, lambda: penalty(terms_of(joint.sample((1, 2000))), None))
    assert (mean.abs() < 5 * error).all() and (error < 0.01).all()
    # elsewhere it is not 0
    with torch.no_grad():
        penalty.critic.head.weight.mul_(0.8)
    mean, error = score_of_critic(penalty, lambda: penalty(terms_of(joint.sample((1, 2000))), None))
    assert (mean.abs() > 5 * error).any()


@pytest.mark.usefixtures("float64")
def test_the_ratio_is_the_optimum_of_the_prior_critic():
    """Codes from N(1, 1), prior N(0, 1): log p / q = 1/2 - z, where the codes pay E log(1 + e^(z -
    1/2)).
    """
    model = VAE(
        priors.Normal(1),
        posteriors.Dirac(nn.Identity(), 1),
        likelihoods.Normal(nn.Identity(), (1,)),
    )
    penalty = gaussian_ratio(objectives.PriorCritic(Quadratic(), latent=1), [-1.0, 0.0], 0.5)
    mean, error = score_of_critic(
        penalty, lambda: penalty(terms_of(torch.randn(1, 2000, 1) + 1), model)
    )
    assert (mean.abs() < 5 * error).all() and (error < 0.01).all()
    z = torch.randn(1, 1000, 1) + 1
    assert penalty(terms_of(z), model).values[0].item() == pytest.approx(
        torch.log1p((z - 0.5).exp()).mean().item(), abs=1e-12
    )


@pytest.mark.usefixtures("float64")
def test_codes_that_match_the_prior_leave_the_critic_at_chance_level():
    model = VAE(
        priors.Normal(1),
        posteriors.Dirac(nn.Identity(), 1),
        likelihoods.Normal(nn.Identity(), (1,)),
    )
    penalty = gaussian_ratio(objectives.PriorCritic(Quadratic(), latent=1), [0.0, 0.0], 0.0)
    term = penalty(terms_of(torch.randn(1, 50, 1)), model)
    assert term.values[0].item() == pytest.approx(math.log(2)) and term.critic_losses[
        0
    ].item() == pytest.approx(math.log(2))
    mean, error = score_of_critic(
        penalty, lambda: penalty(terms_of(torch.randn(1, 2000, 1)), model)
    )
    assert (mean.abs() < 5 * error + 1e-12).all()


@pytest.mark.usefixtures("float64")
def test_features_are_compared_by_half_their_squared_distance():
    model, objective = adversarial("gan")
    penalty, terms = objective.penalties[0], estimate(model, objective, make_batch(model)).terms
    features = penalty.critic.network
    expected = ((features(terms.batch.x) - features(terms.reconstruction.mean[0])) ** 2).sum(
        1
    ).mean() / 2
    assert penalty(terms, model).values[0].item() == pytest.approx(expected.item(), abs=1e-12)


# shuffling


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_variables_are_permuted_independently_without_loss(rows):
    z = torch.arange(rows * 6.0).reshape(rows, 2, 3)
    for axes, variables in ((0, 6), (1, 2)):
        permuted = _permute_dimensions(z, axes)
        columns, before = (x.reshape(rows, variables, -1) for x in (permuted, z))
        for j in range(variables):
            assert torch.equal(columns[:, j].sort(0)[0], before[:, j])
        if rows == 50:
            assert (
                len(
                    {
                        tuple(columns[:, j, 0].sub(before[0, j, 0]).tolist())
                        for j in range(variables)
                    }
                )
                == variables
            )


def test_permuted_categorical_codes_are_still_codes():
    q = Independent(OneHotCategorical(torch.ones(9, 2, 3)), 1)
    z = q.sample((2,))
    seen = []

    class Watching(nn.Module):
        def forward(self, z):
            seen.append(z)
            return z.flatten(1)

    objectives.FactorCritic(Watching(), latent=(2, 3))(terms_of(z, q), None)
    assert all((batch.sum(-1) == 1).all() for batch in seen[1:])


# separation of gradients


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CRITICS)
def test_the_losses_of_model_and_critic_share_no_gradient(name):
    model, objective = adversarial(name)
    penalty, terms = objective.penalties[0], estimate(model, objective, make_batch(model)).terms
    charge = penalty(terms, model)
    critic = list(penalty.critic.parameters())
    for value in charge.values:
        assert all(
            slope is None
            for slope in torch.autograd.grad(value, critic, allow_unused=True, retain_graph=True)
        )
        assert slopes(model, value).abs().max() > 0
    assert (slopes(model, charge.critic_losses[0]) == 0).all()
    assert all(
        slope.abs().max() > 0
        for slope in torch.autograd.grad(charge.critic_losses[0], critic, retain_graph=True)
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CRITICS)
def test_the_weight_scales_only_the_loss_of_the_model(name):
    model, objective = adversarial(name)
    batch, critic = make_batch(model), list(objective.penalties[0].critic.parameters())
    gradients_by_weight = []
    for weight in (0.0, 1.0, 50.0):
        weigh(objective, **dict.fromkeys(objective.metric_names, weight))
        gradients_by_weight.append(
            torch.autograd.grad(estimate(model, objective, batch).loss, critic)
        )
    assert all(
        torch.allclose(a, b, atol=1e-13)
        for other in gradients_by_weight[1:]
        for a, b in zip(gradients_by_weight[0], other, strict=True)
    )


@pytest.mark.usefixtures("float64")
def test_the_adversarial_loss_trains_the_decoder_and_not_the_encoder():
    model, objective = adversarial("gan")
    batch = make_batch(model)
    terms = estimate(model, objective, batch).terms
    _, adversarial_value = objective.penalties[0](terms, model).values
    own = torch.autograd.grad(
        adversarial_value, list(model.posterior.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(slope is None or (slope == 0).all() for slope in own)
    assert any(
        slope.abs().max() > 0
        for slope in torch.autograd.grad(
            adversarial_value, [model.likelihood.noise.heads.head.weight]
        )
    )


# the optimiser


def groups_of(factory):
    model, penalty = (
        make_vae("normal-diagonal"),
        objectives.FactorCritic(networks.MLP(2, [5]), 2, lr_scale=0.5, betas=(0.3, 0.8)),
    )
    objective = objectives.Penalised(objectives.ELBO(), [penalty])
    optimizer = build_optimizer(Recipe(model, objective, gradients.Pathwise()), factory)
    return model, penalty, optimizer.param_groups


@pytest.mark.parametrize(
    "factory", [adam(1e-2, betas=(0.7, 0.99)), partial(Adam, lr=1e-2, betas=(0.7, 0.99))]
)
def test_a_critic_has_its_own_learning_rate_and_betas(factory):
    model, penalty, (first, second) = groups_of(factory)
    assert (
        first["lr"] == 1e-2
        and first["betas"] == (0.7, 0.99)
        and second["lr"] == 5e-3
        and second["betas"] == (0.3, 0.8)
    )
    assert [id(p) for p in second["params"]] == [id(p) for p in penalty.critic.parameters()]
    assert [id(p) for p in first["params"]] == [id(p) for p in model.parameters()]
    assert first["fused"] == second["fused"] and first["eps"] == second["eps"]


@pytest.mark.parametrize("factory", [partial(SGD, lr=0.1, momentum=0.9), partial(RMSprop, lr=0.1)])
def test_an_optimiser_without_betas_uses_only_the_learning_rate(factory):
    _, _, (first, second) = groups_of(factory)
    assert second["lr"] == 0.5 * first["lr"] and "betas" not in second


def test_an_objective_without_a_critic_has_one_group():
    model = make_vae("normal-diagonal")
    recipe = Recipe(
        model, objectives.Penalised(objectives.ELBO(), [objectives.MMD()]), gradients.Pathwise()
    )
    assert len(build_optimizer(recipe, adam()).param_groups) == 1


@pytest.mark.parametrize("factory", [adam(0.05), partial(Adam, lr=0.05), partial(SGD, lr=0.05)])
def test_model_and_critic_take_or_skip_a_step_together(factory):
    model, objective = make_vae("normal-diagonal"), OBJECTIVES["factor"]()
    rule = gradients.Pathwise()
    take = TrainingStep(
        model, objective, rule, build_optimizer(Recipe(model, objective, rule), factory)
    )
    sides = {"model": list(model.parameters()), "critic": list(objective.parameters())}
    for x, moves in (
        (torch.randn(8, *EVENT), True),
        (torch.full((8, *EVENT), math.inf), False),
        (torch.randn(8, *EVENT), True),
    ):
        before = {
            side: [p.detach().clone() for p in parameters] for side, parameters in sides.items()
        }
        take(Batch(x))
        for side, parameters in sides.items():
            assert (
                any(
                    not torch.equal(p, start)
                    for p, start in zip(parameters, before[side], strict=True)
                )
                is moves
            ), side


# the loop


def small(name, **options):
    """A preset for the built-in digits with small networks, and the data."""
    data = aevb.data.load("digits")
    with seed_scope(0):
        return presets.preset(name, data.spec, latent=3, hidden=[32], **options), data


SMALL = {"factor_vae": {"critic": [16]}, "adversarial_ae": {"critic": [16]}, "vae_gan": {}}


@pytest.mark.parametrize("name", SMALL)
def test_critics_train_on_digits(name):
    recipe, data = small(name, **SMALL[name])
    critic = recipe.objective.penalties[0].critic
    before = [p.detach().clone() for p in critic.parameters()]
    result = aevb.fit(recipe, data, epochs=4, progress=False, compile=False)
    first, last = result.history[0], result.history[-1]
    assert all(
        not torch.equal(p, start) for p, start in zip(critic.parameters(), before, strict=True)
    )
    assert set(last.metrics) == set(recipe.objective.metric_names) and all(
        math.isfinite(value) for value in last.metrics.values()
    )
    assert last.log_likelihood > first.log_likelihood and last.skipped_steps == 0
    assert 0.2 < last.metrics["critic"] < 1.0  # ln 2 is chance level


def test_every_row_is_encoded_in_order():
    """A critic that uses a second half of the batch does not remove encoded or scored rows."""
    recipe, data = small("factor_vae", critic=[16])
    aevb.fit(recipe, data, epochs=1, progress=False, compile=False)
    x = torch.as_tensor(data.test[:20]).float()
    codes = recipe.model.encode(x)
    assert codes.shape == (20, 3)
    assert torch.allclose(
        codes, torch.cat([recipe.model.encode(x[i : i + 1]) for i in range(20)]), atol=1e-5
    )
    assert gradients.Pathwise()(
        recipe.model, recipe.objective, Batch(x)
    ).objective_value.bound.shape == (20,)


@pytest.mark.parametrize("name", CRITICS)
def test_a_last_batch_of_one_row_trains(name):
    objective = OBJECTIVES[name]()
    model = make_vae("dirac" if objective.kind == "reconstruction" else "normal-diagonal")
    result = aevb.fit(
        model,
        [torch.randn(16, *EVENT), torch.randn(1, *EVENT)],
        objective=objective,
        epochs=2,
        progress=False,
    )
    assert result.history[-1].skipped_steps == 0 and result.history[-1].step == 4


def test_a_resumed_run_with_a_critic_equals_an_uninterrupted_run(tmp_path, monkeypatch):
    def run(**options):
        with seed_scope(5):
            model, objective = make_vae("normal-diagonal"), OBJECTIVES["factor"]()
        x = torch.randn(64, *EVENT, generator=torch.Generator().manual_seed(1))
        return objective, aevb.fit(
            model, x, objective=objective, epochs=3, batch_size=16, progress=False, **options
        )

    whole, expected = run()
    monkeypatch.setattr(
        "aevb.training._run.CHECKPOINT_SECONDS", 0.0
    )  # a checkpoint after every step
    step, steps = TrainingStep.__call__, []

    def dying(self, batch):
        steps.append(1)
        if len(steps) == 7:
            raise RuntimeError("the power went")
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", dying)
        with pytest.raises(RuntimeError, match="power"):
            run(out=tmp_path / "run")
    assert checkpoint.read_checkpoint(tmp_path / "run").progress.step == 6
    resumed, result = run(out=tmp_path / "run", resume=True)
    assert [epoch.to_reproducible_dict() for epoch in result.history] == [
        epoch.to_reproducible_dict() for epoch in expected.history
    ]
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )


# checks before training


class Plain(nn.Module):
    """A network of a user that does not declare its input shape."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output(x)


@pytest.mark.parametrize(
    "build, words",
    [
        (
            lambda: objectives.FactorCritic(networks.MLP(5, [4]), latent=2),
            r"shape \(2,\).*5 values per row.*networks.MLP\(2, ",
        ),
        (
            lambda: objectives.FactorCritic(nn.Linear(5, 4), latent=2),
            r"does not take inputs of shape \(2,\).*mat1 and mat2",
        ),
        (
            lambda: objectives.DataCritic(networks.ConvEncoder((8, 8)), (4, 4)),
            r"shape \(4, 4\).*networks.MLP\(16, ",
        ),
        (
            lambda: objectives.PriorCritic(Plain(torch.sum), latent=2),
            r"two inputs give features of shape \(\)",
        ),
        (
            lambda: objectives.PriorCritic(Plain(lambda x: x.flatten()[None]), latent=2),
            r"two inputs give features of shape \(1, 4\)",
        ),
        (
            lambda: objectives.PriorCritic(Plain(lambda x: [][0]), latent=2),
            "list index out of range",
        ),
    ],
)
def test_a_network_that_does_not_fit_a_critic_is_refused_at_construction(build, words):
    with pytest.raises(IncompatibleError, match=words):
        build()


@pytest.mark.parametrize(
    "critic, words",
    [
        (
            lambda: objectives.FactorCritic(networks.MLP(3, [4]), latent=3),
            r"\(3,\).*`objectives.FactorCritic`.*\(2,\).*latent=\(2,\)",
        ),
        (
            lambda: objectives.PriorCritic(networks.MLP(6, [4]), latent=(2, 3)),
            r"\(2, 3\).*latent=\(2,\)",
        ),
        (
            lambda: objectives.DataCritic(networks.MLP(4, [4]), event_shape=4),
            r"\(4,\).*\(2, 2\).*event_shape=\(2, 2\)",
        ),
    ],
)
def test_a_critic_of_another_shape_is_refused_before_training(critic, words):
    with pytest.raises(IncompatibleError, match=words):
        aevb.fit(
            make_vae("normal-diagonal"),
            torch.randn(8, *EVENT),
            objective=objectives.Penalised(objectives.ELBO(), [critic()]),
            progress=False,
        )


@pytest.mark.parametrize(
    "options",
    [
        {"weight": -1.0},
        {"weight": math.inf},
        {"lr_scale": 0.0},
        {"lr_scale": math.nan},
        {"betas": (0.5,)},
        {"betas": (0.5, 1.0)},
    ],
)
@pytest.mark.parametrize("kind", [objectives.FactorCritic, objectives.PriorCritic])
def test_invalid_settings_of_a_critic_are_refused_by_name(kind, options):
    with pytest.raises(ArgumentError) as caught:
        kind(networks.MLP(2, [4]), latent=2, **options)
    argument = "adversarial" if kind is objectives.PriorCritic else "total_correlation"
    (name,) = options
    assert caught.value.argument == (argument if name == "weight" else name)


def test_inspecting_a_critic_changes_no_random_state_or_running_mean():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    objectives.PriorCritic(network, latent=2)
    after = torch.rand(1)
    torch.manual_seed(5)
    nn.Linear(3, 1)  # the head, and nothing else
    assert torch.equal(after, torch.rand(1)) and network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
