"""Hierarchies of latents, top down and bottom up, and Hamiltonian posteriors."""

import json
import math

import pytest
import torch
from tests import catalogue
from tests.catalogue import EVENT, Rows
from tests.refusals import refused, refused_by_name
from torch.autograd.functional import jacobian
from torch.distributions import Independent, MultivariateNormal, Normal

from aevb import (
    VAE,
    Batch,
    distributions,
    fit,
    gradients,
    likelihoods,
    models,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb import _persistence as persistence
from aevb._random import seed_scope
from aevb.distributions import PhasePoint, has_analytic_kl, hmc_state_fn, leapfrog
from aevb.distributions._chain import Chain
from aevb.distributions._tempered_leapfrog import TemperedLeapfrogFlow
from aevb.errors import ArgumentError, IncompatibleError
from aevb.networks._conv import halved_sizes

pytestmark = pytest.mark.usefixtures("float64")

LOW, HIGH = 3, 2
SIZES = [3, 2, 1]


def conditional(above, size):
    return posteriors.Normal(networks.MLP(above, [5], "silu"), size)


def prior_of(sizes=(LOW, HIGH)):
    return priors.Chain(
        [
            *(conditional(above, size) for above, size in zip(sizes[1:], sizes[:-1], strict=True)),
            priors.Normal(sizes[-1]),
        ]
    )


def shown(size):
    return likelihoods.Bernoulli(
        networks.LeadingLatents(networks.MLP(size, [5], "silu"), size), EVENT
    )


def ladder_vae(sizes=(LOW, HIGH)):
    prior = prior_of(sizes)
    rungs = [Rows(networks.MLP(4, [6], "silu")), *(networks.MLP(6, [6], "silu") for _ in sizes[1:])]
    return VAE(prior, posteriors.Ladder(prior, rungs), shown(sizes[0]))


def chain_vae():
    first, *others = (
        posteriors.Normal(Rows(networks.MLP(4, [5], "silu")), LOW),
        conditional(LOW, HIGH),
    )
    return VAE(prior_of(), posteriors.Chain([first, *others]), shown(LOW))


def top_down_vae(event=EVENT, channels=(3,), layers=2, likelihood=None):
    trunk = networks.TopDown(event, channels, latent=1, layers=layers)
    inner = likelihood or likelihoods.Bernoulli(networks.Conv(channels[0], 2), event, latent_rank=3)
    return models.top_down(networks.Pyramid(event, channels), trunk, inner)


def hamiltonian_vae(latent=2, likelihood=None, **settings):
    prior = priors.Product([priors.Normal(latent), priors.Normal(latent)])
    likelihood = likelihood or shown(latent)
    network = Rows(networks.MLP(4, [5], "silu"))
    return VAE(
        prior, posteriors.Hamiltonian(network, latent, prior, likelihood, **settings), likelihood
    )


MODELS = {
    "chain": chain_vae,
    "ladder": ladder_vae,
    "ladder-3": lambda: ladder_vae(SIZES),
    "top-down": top_down_vae,
    "hamiltonian": hamiltonian_vae,
}
LAYERED = [name for name in MODELS if name != "hamiltonian"]


def moved(model, scale=0.3):
    """The model with weights at which every layer is informative."""
    for parameter in model.parameters():
        parameter.data.add_(scale * torch.randn_like(parameter))
    return model


def data(n=4, shape=EVENT):
    return (torch.rand(n, *shape) < 0.5).double()


# the joint density


def linear(above, size, scale):
    """``z_i = W z_{i+1} + noise``: a Gaussian whose scale does not depend on what is above."""
    layer = posteriors.Normal(networks.MLP(above), size)
    layer(torch.zeros(1, above))
    layer.heads.head.weight.data[size:].zero_()
    layer.heads.head.bias.data[size:].fill_(distributions.from_scale(torch.tensor(scale)).item())
    return layer


def test_a_chain_of_linear_gaussians_is_one_gaussian():
    layers = [linear(2, 3, 0.5), linear(1, 2, 0.7)]
    p = priors.Chain([*layers, priors.Normal(1)])()
    low, high = (
        layer.heads.head.weight.data[:size] for layer, size in zip(layers, (3, 2), strict=True)
    )
    # noise of all layers to codes of all layers, from the data up
    mixing = torch.zeros(6, 6)
    mixing[5, 5] = 1
    mixing[3:5] = torch.cat([torch.zeros(2, 3), 0.7 * torch.eye(2), high], 1)
    mixing[:3] = torch.cat([0.5 * torch.eye(3), 0.7 * low, low @ high], 1)
    truth = MultivariateNormal(torch.zeros(6), mixing @ mixing.T)
    z = torch.randn(50, 6)
    assert torch.allclose(p.log_prob(z), truth.log_prob(z), atol=1e-12)
    draws = p.sample((20_000,))
    error = (
        truth.variance[:, None] * truth.variance + truth.covariance_matrix.square()
    ).sqrt() / math.sqrt(20_000)
    assert ((draws.T.cov() - truth.covariance_matrix).abs() < 5 * error).all()


def test_a_ladder_combines_prior_and_data_by_precision():
    model = moved(ladder_vae())
    ladder, x = model.posterior, data(3)
    q = ladder(x)
    z = q.sample((2,))
    above = z[..., LOW:].flatten(0, 1)
    expected = model.prior.layers.parts[0](above)
    features = ladder.layer_heads[0].network(x)
    loc, raw = ladder.layer_heads[0](x)
    top_loc, top_raw = ladder.layer_heads[1](features)
    bottom_up = Normal(loc.repeat(2, 1), distributions.to_scale(raw).repeat(2, 1))
    precision = bottom_up.variance.reciprocal() + expected.variance.reciprocal()
    mean = (bottom_up.mean / bottom_up.variance + expected.mean / expected.variance) / precision
    low = Independent(Normal(mean, precision.rsqrt()), 1).log_prob(z[..., :LOW].flatten(0, 1))
    top = Independent(Normal(top_loc, distributions.to_scale(top_raw)), 1).log_prob(z[..., LOW:])
    assert torch.allclose(q.log_prob(z), low.reshape(2, 3) + top, atol=1e-12)


def test_an_exact_ladder_closes_the_gap():
    """With a linear Gaussian prior and likelihood, precision weighting is Bayes' rule.

    Conditional on the second layer the ladder is exact.
    """
    prior = priors.Chain([linear(1, 1, 0.7), priors.Normal(1)])
    likelihood = likelihoods.Normal(networks.LeadingLatents(networks.MLP(1), 1), (1,), 0.5)
    ladder = posteriors.Ladder(prior, [networks.MLP(1), networks.MLP(1)])
    model = VAE(prior, ladder, likelihood)
    w, a = 0.8, prior.layers.parts[0].heads.head.weight[0].item()
    with torch.no_grad():
        heads = next(
            module for module in likelihood.modules() if isinstance(module, networks.Heads)
        )
        heads.head.weight.fill_(w), heads.head.bias.zero_()
        below, above = ladder.layer_heads[0].head, ladder.layer_heads[1].head
        below.weight.copy_(torch.tensor([[1 / w], [0.0]]))  # x / w = z_1 + noise / w
        below.bias.copy_(
            torch.tensor([0.0, distributions.from_scale(torch.tensor(0.5 / w)).item()])
        )
        spread = (w * 0.7) ** 2 + 0.25  # variance of x conditional on z_2
        variance = 1 / (1 + (w * a) ** 2 / spread)
        above.weight.copy_(torch.tensor([[variance * w * a / spread], [0.0]]))
        above.bias.copy_(
            torch.tensor([0.0, distributions.from_scale(torch.tensor(variance).sqrt()).item()])
        )
    x = torch.randn(5, 1)
    truth = Normal(0.0, math.sqrt(spread + (w * a) ** 2)).log_prob(x[:, 0])
    weights = model.draw_terms(Batch(x), 7).log_weight
    # every weight equals log p(x) up to rounding
    assert torch.allclose(weights, truth.expand(7, 5), atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_the_density_of_a_draw_equals_the_density_at_its_value(name):
    """Densities along a draw, those of a traversal of the same values, and gradients of both."""
    model, x = moved(MODELS[name]()), data()
    q = model.posterior(x)
    z = q.rsample((3,))
    again = model.posterior(x).log_prob(z.clone())
    assert torch.allclose(q.log_prob(z), again, atol=1e-10)
    parameters = list(model.posterior.parameters())
    slopes = [
        torch.autograd.grad(value.sum(), parameters, retain_graph=True, allow_unused=True)
        for value in (q.log_prob(z), again)
    ]
    assert all(
        torch.allclose(a, b, atol=1e-7)
        for a, b in zip(*slopes, strict=True)
        if a is not None and b is not None
    )


@pytest.mark.parametrize("name", LAYERED)
def test_terms_of_one_traversal_equal_those_of_the_parts(name):
    model, x = moved(MODELS[name]()), data()
    q = model.posterior(x)
    z = q.rsample((3,))
    terms = model.terms(Batch(x), z, q, exact_kl=True)
    apart = (
        model.posterior(x).log_prob(z),
        model.prior().log_prob(z),
        model.likelihood(z).log_prob(x),
    )
    for ours, theirs in zip(
        (terms.log_posterior, terms.log_prior, terms.log_likelihood), apart, strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-12)
    sampled = model.terms(Batch(x), z, q)
    assert (
        torch.allclose(
            sampled.layer_kl.sum(0), sampled.log_posterior - sampled.log_prior, atol=1e-12
        )
        and sampled.kl is None
    )
    assert torch.equal(terms.layer_kl.sum(0), terms.kl)


@pytest.mark.parametrize("name", LAYERED)
def test_closed_form_divergences_agree_with_samples_for_each_layer(name):
    model, x, n = moved(MODELS[name]()), data(2), 4000
    q = model.posterior(x)
    z = q.sample((n,))
    by_formula, sampled = (
        model.terms(Batch(x), z, q, exact_kl=exact).layer_kl for exact in (True, False)
    )
    difference = by_formula - sampled
    assert (difference.mean(1).abs() < 5 * difference.std(1) / math.sqrt(n) + 1e-12).all()
    for known, layer in zip(model.analytic_kl_layers, by_formula, strict=True):
        assert not known or (layer >= 0).all()
    assert model.analytic_kl_layers == (
        (False, True) if name == "chain" else (True,) * len(by_formula)
    )


def test_a_ladder_under_another_prior_uses_its_density():
    model = moved(ladder_vae())
    other = moved(VAE(prior_of(), model.posterior, model.likelihood))
    x = data()
    q = other.posterior(x)
    z = q.rsample((2,))
    assert torch.allclose(
        other.terms(Batch(x), z, q).log_prior, other.prior().log_prob(z), atol=1e-12
    )


@pytest.mark.parametrize("name", MODELS)
def test_detaching_the_posterior_keeps_the_gradient_of_the_prior(name):
    """The doubly reparameterised gradient equals that of two copies, one detached in ``log q``."""
    model, x = moved(MODELS[name]()), data()
    gradient, objective = gradients.DoublyReparameterised(), objectives.ELBO(2, kl="sampled")
    gradient.check(model, objective)
    with seed_scope(1):
        loss = gradient(model, objective, Batch(x)).loss
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours = torch.autograd.grad(loss, parameters, allow_unused=True)
    with seed_scope(1):
        q = model.posterior(x)
        z = q.rsample((2,))
    detached = {name: parameter.detach() for name, parameter in model.posterior.named_parameters()}
    log_q = torch.func.functional_call(model.posterior, detached, (x,), tie_weights=False).log_prob(
        z
    )
    bound = (model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - log_q).mean()
    expected = torch.autograd.grad(-bound, parameters, allow_unused=True)
    assert all(
        (a is None and b is None) or torch.allclose(a, b, atol=1e-10)
        for a, b in zip(ours, expected, strict=True)
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_receives_a_gradient(name):
    model = moved(MODELS[name]())
    gradients.Pathwise()(model, objectives.ELBO(2), Batch(data())).loss.backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not silent


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_steps_can_be_traced_in_one_graph(name):
    model, x = MODELS[name](), data()

    def loss(x):
        return gradients.Pathwise()(model, objectives.ELBO(2), Batch(x)).loss

    with torch._dynamo.config.patch(trace_autograd_ops=True):
        traced = torch.compile(loss, backend="aot_eager", fullgraph=True)
        with seed_scope(0):
            ours = traced(x)
    with seed_scope(0):
        # another order of the same sums
        assert torch.allclose(ours, loss(x), atol=1e-10)


def test_layers_may_be_discrete():
    """A sigmoid belief net of two layers sums to 1 over all codes; its score is unbiased."""
    prior = priors.Chain(
        [posteriors.Bernoulli(networks.MLP(2, [4]), 2), priors.Bernoulli(2, learned=True)]
    )
    first = posteriors.Bernoulli(Rows(networks.MLP(4, [4])), 2)
    model = moved(
        VAE(
            prior,
            posteriors.Chain([first, posteriors.Bernoulli(networks.MLP(2, [4]), 2)]),
            shown(2),
        )
    )
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    assert model.prior().log_prob(codes).logsumexp(0).item() == pytest.approx(0, abs=1e-12)
    x = data(3)
    mass = model.posterior(x).log_prob(codes[:, None])
    assert torch.allclose(mass.logsumexp(0), torch.zeros(3), atol=1e-12)
    assert not model.posterior(x).has_rsample
    with pytest.raises(IncompatibleError, match="LeaveOneOut"):
        gradients.Pathwise().check(model, objectives.ELBO())
    gradients.LeaveOneOut().check(model, objectives.ELBO(2))
    assert gradients.LeaveOneOut()(model, objectives.ELBO(2), Batch(x)).loss.isfinite()


# logged metrics and free bits


def test_free_bits_apply_to_each_layer():
    model, x = moved(ladder_vae(), 1.0), data(6)
    q = model.posterior(x)
    terms = model.terms(Batch(x), q.rsample((3,)), q, exact_kl=True)
    layers = terms.layer_kl.mean((1, 2))
    # a floor between the two layers, each measured per variable
    per_variable = layers / torch.tensor([LOW, HIGH])
    free = per_variable.mean().item()
    pressed = per_variable > free
    floors = free * torch.tensor([[LOW], [HIGH]])
    expected = terms.log_likelihood.mean(0) - torch.where(
        pressed[:, None], terms.layer_kl.mean(1), floors
    ).sum(0)
    assert pressed.sum() == 1
    assert torch.allclose(
        objectives.ELBO(3, free_bits=free)(terms, model).target, expected, atol=1e-12
    )
    # the reported bound does not include free bits
    assert torch.equal(
        objectives.ELBO(3, free_bits=free)(terms, model).bound,
        objectives.ELBO(3)(terms, model).bound,
    )


@pytest.mark.parametrize("name", ["chain", "ladder-3"])
def test_the_history_has_the_divergence_of_each_layer(name, tmp_path):
    model = MODELS[name]()
    result = fit(
        model,
        data(32),
        epochs=2,
        batch_size=16,
        compile=False,
        out=tmp_path / "run",
        progress=False,
    )
    count = len(model.analytic_kl_layers)
    for epoch in result.history:
        assert list(epoch.metrics) == [f"kl_{i + 1}" for i in range(count)]
        # sums in float32
        assert sum(epoch.metrics.values()) == pytest.approx(epoch.kl, abs=1e-5)
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["metrics"] == result.history[-1].metrics


def test_penalties_and_layers_are_logged_together():
    objective = objectives.Penalised(objectives.ELBO(), [objectives.LatentNorm(0.1)])
    result = fit(
        ladder_vae(),
        data(16),
        objective=objective,
        epochs=1,
        batch_size=16,
        compile=False,
        progress=False,
    )
    assert list(result.history[0].metrics) == ["code_norm", "kl_1", "kl_2"]


# on disk


@pytest.mark.parametrize("name", MODELS)
def test_shared_weights_are_saved_once_and_shared_after_loading(name, tmp_path):
    model = moved(MODELS[name]())
    record = persistence.to_config(model)
    if "foreign" in json.dumps(
        record
    ):  # the catalogue's `Rows` is a user's network: the weights are put into the model again
        persistence.save(model, tmp_path)
        again = persistence.load(tmp_path, MODELS[name]().double())
    else:
        persistence.save(model, tmp_path)
        again = persistence.load(tmp_path).double()
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        numbers = sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118
    assert numbers == persistence.count_parameters(model)
    assert persistence.count_parameters(again) == persistence.count_parameters(model)
    x = data()
    z = model.posterior(x).sample((3,))
    assert torch.equal(again.eval().posterior(x).log_prob(z), model.eval().posterior(x).log_prob(z))
    assert torch.equal(again.log_joint(Batch(x), z), model.log_joint(Batch(x), z))


# latent images


@pytest.mark.parametrize(
    "event, channels", [((1, 1), (2,)), ((3, 9, 7), (4, 3)), ((5, 2), (2, 3, 2))]
)
def test_images_of_any_size_go_from_coarse_to_fine(event, channels):
    logistic = likelihoods.DiscretisedLogistic(
        networks.Conv(channels[0], 2), event, 17, latent_rank=3
    )
    model = top_down_vae(event, channels, likelihood=logistic)
    shapes = [tuple(shape) for shape in model.prior().signature.shapes]
    sides = halved_sizes(event[-2:], len(channels))[1:]
    assert shapes == [(1, *side) for side in sides for _ in range(2)]
    x = model.sample(3)
    assert (
        x.shape == (3, *event)
        and model.encode(x).shape == (3, *model.latent_shape)
        and model.reconstruct(x).shape == x.shape
    )
    assert gradients.Pathwise()(model, objectives.ELBO(), Batch(x)).loss.isfinite()


def test_uninformed_layers_equal_the_prior():
    """Heads over the data start at 0: the divergence is then 0, however deep the hierarchy."""
    terms = (model := top_down_vae((4, 4), (2, 3), 3)).draw_terms(Batch(data(5, (4, 4))), 2)
    # a variance of quotients that are 1
    assert len(model.analytic_kl_layers) == 6 and terms.layer_kl.abs().max() < 1e-12


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_scales_of_latent_images_are_bounded(size):
    model = top_down_vae((4, 4), (2,))
    for module in model.modules():
        if isinstance(module, networks.Heads):
            torch.nn.init.zeros_(module.head.weight)
            torch.nn.init.constant_(module.head.bias, size)
    estimate = gradients.Pathwise()(model, objectives.ELBO(), Batch(data(3, (4, 4))))
    estimate.loss.backward()
    assert estimate.loss.isfinite() and all(
        p.grad is None or p.grad.isfinite().all() for p in model.parameters()
    )


def test_context_reaches_all_parts_of_latent_images():
    condition = networks.Condition([networks.Labels("kind", ["a", "b"])])
    trunk = networks.TopDown((4, 4), (3,), 1, 1, context=2)
    encoder = networks.ConditionedNetwork(networks.Pyramid((4, 4), (3,), context=2), condition)
    model = moved(
        models.top_down(
            encoder, trunk, likelihoods.Bernoulli(networks.Conv(3, 2), (4, 4), latent_rank=3)
        )
    )
    x = model.sample(4, label="a")
    z = model.encode(x, label="a")
    assert not torch.allclose(model.decode(z, label="a"), model.decode(z, label="b"))
    assert not torch.allclose(z, model.encode(x, label="b"))
    with pytest.raises(ArgumentError, match="context"):
        model.prior().sample()


# the posterior that follows the gradient of the model


def gaussian_slope(z):
    return -0.5 * (z.square() * torch.tensor([1.0, 4.0])).sum(-1) - 0.1 * z.pow(4).sum(-1)


def trajectory(heat=1.7, steps=3):
    heats = [torch.tensor(1 + (heat - 1) * (1 - (k / steps) ** 2)) for k in range(steps + 1)]
    return TemperedLeapfrogFlow(
        gaussian_slope,
        torch.tensor([[0.3, -0.2]]),
        torch.tensor([[0.5, 1.3]]),
        torch.tensor([0.2, 0.1]),
        heats,
    )


@pytest.mark.parametrize("heat", [1.0, 1.7])
def test_the_jacobian_of_a_trajectory_equals_autograd_and_its_inverse_is_exact(heat):
    there, noise = trajectory(heat), torch.randn(1, 4)
    end, log_volume = there.call_and_ladj(noise)
    full = jacobian(lambda e: there.call_and_ladj(e)[0].sum(0), noise)[:, 0]
    assert log_volume.item() == pytest.approx(
        torch.linalg.slogdet(full).logabsdet.item(), abs=1e-10
    )
    back, opposite = there.inv.call_and_ladj(end)
    assert torch.allclose(back, noise, atol=1e-12) and opposite.item() == pytest.approx(
        -log_volume.item(), abs=1e-14
    )


def test_a_trajectory_without_tempering_is_hamiltonian():
    """The steps are those of the sampler; the energy changes by the square of the step alone."""
    there = trajectory(1.0)
    noise = torch.randn(1, 4)
    end, _ = there.call_and_ladj(noise)
    e, momentum = noise.chunk(2, -1)
    units = torch.tensor([0.2, 0.1])

    def in_steps(z):
        return gaussian_slope(z * units)

    field = hmc_state_fn(in_steps)
    start = PhasePoint(field((there.loc + there.scale * e) / units), momentum)
    by_sampler = leapfrog(field, start, torch.tensor(1.0), 3)
    assert torch.allclose(
        end, torch.cat([by_sampler.z * units, by_sampler.momentum], -1), atol=1e-13
    )
    assert (by_sampler.energy - start.energy).abs().item() < 0.1


def test_tempering_acts_on_draws_and_on_the_density():
    """Hot momenta travel further: the same noise gives another draw, and the density follows."""
    model, x = hamiltonian_vae(steps=4, step_size=0.3, tempering=3.0), data(2)
    results = []
    for heat in (1.2, 3.0):
        model.posterior.raw_tempering.data.copy_(distributions.from_scale(torch.tensor(heat - 1)))
        q = model.posterior(x)
        with seed_scope(0):
            z = q.rsample((2000,))
        results.append(
            (z, q.log_prob(torch.tensor([2.0, 2.0, 0.0, 0.0])), z[..., :2].var(0).mean())
        )
    assert not torch.allclose(results[0][0], results[1][0], atol=0.1)
    assert not torch.allclose(results[0][1], results[1][1], atol=0.1)
    assert (
        results[1][2] > 1.5 * results[0][2]
    )  # the wider start of the momenta is 6 times the energy
    assert (
        model.posterior.momentum_scales[0].item() == pytest.approx(3.0, abs=1e-9)
        and model.posterior.momentum_scales[-1].item() == 1.0
    )


@pytest.mark.parametrize("tempering", [1.0, 2.0])
def test_a_hamiltonian_posterior_is_a_density(tempering):
    """Importance sampling from a wide Gaussian gives 1 within five standard errors.

    No weight dominates.
    """
    model = moved(hamiltonian_vae(latent=1, steps=3, step_size=0.2, tempering=tempering), 0.1)
    q = model.posterior(data(1))
    draws = q.sample((2000,))[:, 0]
    wide = Independent(Normal(draws.mean(0), 1.5 * draws.std(0)), 1)
    z = wide.sample((40_000,))
    weights = (q.log_prob(z[:, None])[:, 0] - wide.log_prob(z)).exp()
    assert weights.max() < 0.01 * weights.sum()
    assert weights.mean().item() == pytest.approx(1, abs=5 * weights.std().item() / 200)


def test_energy_is_conserved_without_tempering():
    """The decoder is linear and Gaussian, so ``log p(x)`` is known; the encoder is uninformative.

    Hamilton's equations preserve volume and energy, so alone they do not change the bound; hot
    momenta that cool remove energy.
    """
    x, gaps = 1.5 * torch.randn(8, 4), {}
    for steps, step, tempering in ((1, 0.003, 1.0), (6, 0.05, 1.0), (6, 0.25, 2.0)):
        torch.manual_seed(0)
        likelihood = likelihoods.Normal(networks.LeadingLatents(networks.MLP(2), 2), (4,), 0.7)
        prior = priors.Normal(4)
        model = VAE(
            prior,
            posteriors.Hamiltonian(networks.MLP(4), 2, prior, likelihood, steps, step, tempering),
            likelihood,
        )
        model.posterior.heads.head.weight.data.zero_()
        (heads,) = (part for part in likelihood.modules() if isinstance(part, networks.Heads))
        weight = heads.head.weight
        truth = MultivariateNormal(
            torch.zeros(4), weight @ weight.T + 0.49 * torch.eye(4)
        ).log_prob(x)
        log_weight = model.draw_terms(Batch(x), 4000).log_weight
        gaps[step] = (truth - log_weight.mean(0)).mean().item()
        weights = (log_weight - truth).exp()
        # the mean of importance sampling is p(x)
        assert ((weights.mean(0) - 1).abs() < 5 * weights.std(0) / math.sqrt(4000)).all()
    # the square of the step, times the curvature of the landscape
    assert gaps[0.05] == pytest.approx(gaps[0.003], abs=0.05)
    assert 0 < gaps[0.25] < 0.75 * gaps[0.05]


# refused


REFUSED = {
    "no layer": lambda: priors.Chain([]),
    "no prior at the top": lambda: priors.Chain([conditional(2, 3)]),
    "a prior in between": lambda: priors.Chain([priors.Normal(2), priors.Normal(2)]),
    "a posterior of no layer": lambda: posteriors.Chain([]),
    "too few networks": lambda: posteriors.Ladder(prior_of(), [networks.MLP(4, [5])]),
    "no code shown": lambda: networks.LeadingLatents(networks.MLP(1), 0),
    "no step": lambda: hamiltonian_vae(steps=0),
    "a step of 0": lambda: hamiltonian_vae(step_size=0.0),
    "a step that leaves every valley": lambda: hamiltonian_vae(step_size=0.5),
    "cold momenta": lambda: hamiltonian_vae(tempering=0.5),
    "no latent image": lambda: networks.TopDown((4, 4), (3,), layers=0),
    "no channel": lambda: networks.Pyramid((4, 4), ()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with refused_by_name(ArgumentError):
        REFUSED[name]()


def test_a_ladder_needs_a_hierarchy_of_gaussians():
    with refused(IncompatibleError, "prior", "priors.Normal", "priors.Chain"):
        posteriors.Ladder(priors.Normal(2), [networks.MLP(4)])
    prior = priors.Chain([posteriors.Bernoulli(networks.MLP(2), 2), priors.Normal(2)])
    with refused(IncompatibleError, "prior", "Gaussian", "posteriors.Chain"):
        posteriors.Ladder(prior, [networks.MLP(4), networks.MLP(4)])(torch.zeros(1, 4)).sample()


def test_a_hamiltonian_posterior_needs_momenta_in_the_prior():
    likelihood = shown(2)
    with refused(IncompatibleError, "prior", "(2,)", "priors.Normal(latent=4)", "priors.Product"):
        posteriors.Hamiltonian(networks.MLP(4), 2, priors.Normal(2), likelihood)


def test_chains_of_other_layers_have_no_common_formula():
    q, p = chain_vae().posterior(data(1)), prior_of((HIGH, LOW))()
    assert (
        isinstance(q, Chain)
        and distributions.analytic_kl_mask(q, p) == ()
        and not has_analytic_kl(q, p)
    )
    assert distributions.hierarchy_terms(q, catalogue.PRIORS["normal"]()(), q.sample((1,))) is None
