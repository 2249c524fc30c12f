"""Weight decay, input noise and dropout: laws, equality of all ways of training, exact resume."""

import math
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam, AdamW

import aevb
from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import ArgumentError
from aevb.networks._input_noise import check_input_noise
from aevb.training import adam
from aevb.training._optimisers import constant_schedule, make_update
from aevb.training._weight_decay import decayed_parameters

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1])
HELD_OUT = X.flip(0)[:40] * 0.9
SCALES = X.std(0).tolist()
REGULARISED = {"weight_decay": 3.0, "input_noise": 0.3}
STEPS = {"batch_size": 16, "epochs": 4, "validation": HELD_OUT, "progress": False}
NO_SKIP, SKIP = torch.tensor(False), torch.tensor(True)


def small(seed: int = 0, dropout: float = 0.0) -> VAE:
    with seed_scope(seed):
        encoder = networks.Standardise(networks.MLP(3, [8], dropout=dropout), [0.0] * 3, SCALES)
        return VAE(
            priors.Normal(2),
            posteriors.Normal(encoder, 2),
            likelihoods.Normal(networks.MLP(2, [8], dropout=dropout), [3], "per_element"),
        )


def weights_of(model: VAE) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def validation_of(result: aevb.FitResult) -> list[float | None]:
    return [epoch.validation for epoch in result.history]


OPTIMISERS = {
    "fused": lambda tensors: Adam(tensors, 0.1, fused=True),
    "plain": lambda tensors: Adam(tensors, 0.1),
    # a recorded step reads the learning rate from a tensor
    "recorded": lambda tensors: Adam(tensors, torch.tensor(0.1, dtype=torch.float64), fused=True),
    "sgd": lambda tensors: SGD(tensors, 0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_without_a_gradient_weights_shrink_by_one_minus_rate_times_decay(name):
    weight, bias, unused = (
        torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    parameters = [weight, bias, unused]
    update = make_update(OPTIMISERS[name](parameters), 0.5, [weight, unused])
    zero = torch.zeros(2, dtype=torch.float64)
    for skip in (NO_SKIP, SKIP, NO_SKIP, NO_SKIP):
        update(parameters, [zero, zero, None], skip)
    expected = torch.tensor([2.0, -1.0], dtype=torch.float64) * (1 - 0.1 * 0.5) ** 3
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-15, atol=0)  # rounding
    assert bias.tolist() == unused.tolist() == [2.0, -1.0]


@pytest.mark.parametrize("fused", [True, False])
def test_adam_with_decay_is_adamw(fused):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, generator=generator, dtype=torch.float64)
    own, other = (start.clone().requires_grad_() for _ in range(2))
    update = make_update(Adam([own], 0.05, fused=fused), 0.4, [own])
    expected = AdamW([other], 0.05, weight_decay=0.4)
    for _ in range(5):
        gradient = torch.randn(5, generator=generator, dtype=torch.float64)
        update([own], [gradient.clone()], NO_SKIP)
        other.grad = gradient
        expected.step()
    torch.testing.assert_close(own, other, rtol=1e-13, atol=0)  # the order of the operations


def test_biases_scales_and_the_prior_do_not_decay():
    with seed_scope(0):
        posterior = posteriors.Normal(networks.GRU(1, 4), 2)
        model = VAE(
            priors.Flow(2),
            posterior,
            likelihoods.Normal(networks.MLP(2, [8]), [3, 1], "per_element"),
        )
        model.draw_terms(aevb.Batch(torch.zeros(2, 3, 1)), 1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in decayed_parameters(model)}
    assert len(found) == 5 and not any(name.startswith("prior") for name in found)
    assert not any("bias" in name or "scale" in name for name in found)


def test_weight_decay_zero_is_no_weight_decay_and_decay_shrinks():
    norms = []
    for decay in (0.0, 30.0):
        model = small()
        aevb.fit(model, X, weight_decay=decay, **STEPS)
        norms.append(math.sqrt(sum(p.square().sum().item() for p in decayed_parameters(model))))
    assert norms[1] < 0.9 * norms[0]  # (1 - .0015 * 30) ** 16 = .48 without gradients


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_stack_takes_the_steps_of_single_runs(dropout):
    settings = STEPS | REGULARISED | {"clip_norm": 1.5, "ema": 0.6}
    models = [small(i, dropout).double() for i in range(2)]
    rates = [adam(0.03), adam(0.01)]
    stacked = aevb.fit_many(models, X, seed=[3, 4], optimizer=rates, **settings)
    for i, result in enumerate(stacked):
        assert result.notes[0].code == "stacked"
        model = small(i, dropout).double()
        single = aevb.fit(model, X, seed=3 + i, optimizer=rates[i], **settings)
        # a stack keeps its learning rates in float32 (relative rounding 6e-8)
        assert validation_of(result) == pytest.approx(validation_of(single), rel=1e-7)
        torch.testing.assert_close(weights_of(models[i]), weights_of(model), rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on importing its compiler
def test_a_compiled_step_takes_the_same_steps(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", options=None))
    found = []
    for option in (False, True):
        model = small(dropout=0.4)
        result = aevb.fit(model, X, compile=option, **STEPS | {"epochs": 2}, **REGULARISED)
        assert [n for n in result.notes if n.code == "not_compiled"] == []
        found.append(weights_of(model))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)  # float32 rounding of 8 steps


@pytest.mark.parametrize("own", [{"weight_decay": 3.0}, {"input_noise": 0.3}, {"ema": 0.7}, {}])
def test_resume_is_exact(own, tmp_path):
    settings = STEPS | own
    dropout = 0.0 if own else 0.4
    whole = aevb.fit(small(dropout=dropout), X, **settings)
    stop = {"callbacks": [lambda epoch, model: epoch.epoch == 2]}
    aevb.fit(small(dropout=dropout), X, out=tmp_path / "run", **settings, **stop)
    parts = aevb.fit(small(1, dropout), X, out=tmp_path / "run", resume=True, **settings)
    assert len(parts.history) == 4
    assert [epoch.to_reproducible_dict() for epoch in parts.history] == [
        epoch.to_reproducible_dict() for epoch in whole.history
    ]
    assert torch.equal(weights_of(parts.model), weights_of(whole.model))


@pytest.mark.parametrize("name", ["weight_decay", "input_noise"])
def test_a_run_does_not_resume_with_another_setting(name, tmp_path):
    aevb.fit(small(), X, out=tmp_path / "run", **STEPS | {"epochs": 1})
    with pytest.raises(aevb.errors.RunError) as caught:
        aevb.fit(small(), X, out=tmp_path / "run", resume=True, **STEPS, **{name: 0.1})
    assert (caught.value.argument, caught.value.value) == (name, 0.1)


def test_noise_disturbs_neither_the_order_of_the_rows_nor_validation():
    """With the learning rate 0 all that is left is the noise of the training bound."""
    still = STEPS | {"optimizer": adam(0.0), "lr_schedule": constant_schedule}
    state = torch.get_rng_state()
    plain, noisy = aevb.fit(small(), X, **still), aevb.fit(small(), X, input_noise=1.0, **still)
    assert torch.equal(torch.get_rng_state(), state)
    assert validation_of(plain) == validation_of(noisy)
    assert plain.history[0].bound != noisy.history[0].bound


def test_noise_has_its_deviation_in_training_and_none_in_evaluation():
    x = torch.tensor([[1.0, 5.0, torch.nan]]).expand(20_000, 3)
    reader = networks.Standardise(torch.nn.Identity(), [0.0] * 3, [1.0, 100.0, 1.0])
    networks.set_input_noise(reader, 0.5)
    with seed_scope(0):
        noise = reader.train()(x) - reader.eval()(x)
    # the error of a standard deviation of n draws is sd / sqrt(2 n); five of them
    assert noise[:, :2].std(0).tolist() == pytest.approx([0.5, 0.5], abs=5 * 0.5 / 200)
    assert noise[:, 2].isnan().all() and torch.equal(reader(x)[:, :2], reader(x)[:, :2])


def test_only_numbers_of_a_table_have_noise():
    number = networks.Column("age", "continuous", "normal")
    kind = networks.Column("sex", "binary", "bernoulli", levels=("f", "m"))
    reader = networks.Columns(torch.nn.Identity(), [number, kind]).train()
    x = torch.tensor([[0.5, 1.0], [torch.nan, 0.0]])
    without = reader(x)
    networks.set_input_noise(reader, 0.5)
    with seed_scope(0):
        noise = reader(x) - without
    assert noise[0, 0] != 0 and noise[0, 1:].abs().sum() == 0 and noise[1].abs().sum() == 0
    with pytest.raises(ArgumentError):
        check_input_noise(networks.Columns(torch.nn.Identity(), [kind]), 0.5)


def test_noise_ends_with_the_run():
    model = small()
    aevb.fit(model, X, input_noise=0.3, **STEPS | {"epochs": 1})
    assert model.posterior.arguments["network"].input_noise == 0.0


@pytest.mark.parametrize(
    "model, settings",
    [
        (small, {"weight_decay": -0.1}),
        (small, {"weight_decay": math.inf}),
        (small, {"weight_decay": 700.0}),  # times the learning rate above 1
        (small, {"input_noise": -0.1}),
        (small, {"input_noise": math.nan}),
        (
            lambda: VAE(
                priors.Normal(2),
                posteriors.Normal(networks.MLP(3, [4]), 2),
                likelihoods.Normal(networks.MLP(2, [4]), [3]),
            ),
            {"input_noise": 0.1},
        ),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_impossible_values_are_refused(model, settings, many):
    train, models = (aevb.fit_many, [model(), model()]) if many else (aevb.fit, model())
    with pytest.raises(ArgumentError) as caught:
        train(models, X, **STEPS, **settings)
    ((name, value),) = settings.items()
    assert caught.value.argument == name
    assert caught.value.value == value or math.isnan(value)


def warm(**schedule) -> aevb.objectives.ELBO:
    return aevb.objectives.ELBO(beta=aevb.objectives.Linear(**schedule))


@pytest.mark.parametrize("schedule", [{"steps": 10_000}, {"fraction": 0.5}])
def test_patience_fires_in_spite_of_a_long_warm_up(schedule):
    """With the learning rate 0 no epoch is better than the first."""
    still = STEPS | {"optimizer": adam(0.0), "lr_schedule": constant_schedule, "epochs": 40}
    options = still | {"patience": 3}
    single = aevb.fit(small(), X, objective=warm(**schedule), **options)
    stack = aevb.fit_many([small(), small(1)], X, objective=warm(**schedule), **options)
    for result in (single, *stack):
        codes = [note.code for note in result.notes]
        assert ("schedule_shortened" in codes) == ("steps" in schedule)
        # the warm-up ends with epoch 20 of 40, and epochs 20, 21 and 22 count
        assert (result.stop_reason, len(result.history)) == ("patience", 22)


def test_a_longer_run_resumes_the_schedules_of_the_first(tmp_path):
    settings = STEPS | {"out": tmp_path / "run", "objective": warm(fraction=0.5)}
    first = aevb.fit(small(), X, **settings)
    longer = aevb.fit(small(), X, resume=True, **settings | {"epochs": 12})
    assert [epoch.beta for epoch in first.history] == [0.375, 0.875, 1.0, 1.0]
    assert all(epoch.beta == 1.0 for epoch in longer.history[3:])
