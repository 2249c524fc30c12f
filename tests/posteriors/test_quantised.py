"""Discrete codes: entries of a codebook, points of a grid, and bits that depend on each other."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from tests import catalogue
from tests.catalogue import EVENT, make_batch, make_likelihood, make_quantised
from tests.refusals import refused, refused_by_name
from torch import nn

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    metrics,
    networks,
    objectives,
    posteriors,
    presets,
    priors,
)
from aevb._random import seed_scope
from aevb.distributions import analytic_kl
from aevb.distributions._quantised import nearest_entry
from aevb.errors import ArgumentError, IncompatibleError
from aevb.objectives import ELBO


def bits(count):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)))


@pytest.fixture(params=catalogue.QUANTISED)
def model(request):
    quantised_model = make_quantised(request.param).train()
    quantised_model.initialise_from_data(torch.randn(20, *EVENT))
    return quantised_model


# codebooks


def test_codes_are_the_nearest_entries(model):
    batch = make_batch(model)
    q = model.infer(batch)
    assert torch.equal(q.codebook.to_events(q.codes), q.mean) and torch.equal(
        model.posterior.codes(batch.x), q.codes
    )
    if len(q.codebook.tables) == 1:
        assert torch.equal(q.codebook.to_codes(q.mean), q.codes)


def test_the_nearest_entry_has_the_least_distance():
    vectors, table = torch.randn(50, 3), torch.randn(7, 3)
    assert torch.equal(nearest_entry(vectors, table), torch.cdist(vectors, table).argmin(1))


def test_residuals_are_quantised_one_after_the_other():
    posterior = make_quantised("residual").posterior
    x = torch.randn(5, *EVENT)
    left, q = posterior.vectors(x), posterior(x)
    for stage in range(2):
        number = torch.cdist(left, posterior.table[stage].expand(5, -1, -1)).argmin(-1)
        assert torch.equal(number, q.codes.reshape(5, 2, 2)[..., stage])
        left = left - posterior.table[stage][number]
    # the same sums in another order
    assert torch.allclose(posterior.vectors(x) - q.mean, left, atol=1e-6)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (7, 4)])
def test_finite_scalars_equal_the_listing_of_the_paper(levels):
    """The listing of Mentzer et al. (2023), appendix A.1, in NumPy."""
    raw = 3 * torch.randn(200, len(levels), dtype=torch.float64)
    posterior = posteriors.FiniteScalar(nn.Identity(), 1, levels).double()
    quantised = posterior.quantise(raw[:, None])
    counts = np.asarray(levels)
    half = (counts - 1) * (1 - 1e-3) / 2
    offset = np.where(counts % 2 == 1, 0.0, 0.5)
    steps = np.round(np.tanh(raw.numpy() + np.tan(offset / half)) * half - offset)
    basis = np.concatenate(([1], np.cumprod(counts[:-1])))
    assert np.array_equal(quantised.mean[:, 0].numpy(), steps / (counts // 2))
    assert np.array_equal(
        quantised.codes[:, 0].numpy(), ((steps + counts // 2) * basis).sum(-1).astype(int)
    )
    book = posterior.codebook()
    assert torch.equal(
        book.to_events(torch.arange(math.prod(levels))[:, None])[:, 0], posterior.points
    )
    assert len(posterior.points.unique(dim=0)) == math.prod(levels)


def test_the_divergence_from_the_uniform_prior_is_the_log_number_of_codes(model):
    q, p = model.infer(make_batch(model)), model.prior()
    assert model.exact_kl and torch.allclose(
        analytic_kl(q, p), torch.tensor(q.codebook.n_codes * math.log(q.codebook.n_entries))
    )
    assert torch.allclose(
        q.log_prob(q.sample((2,))) - p.log_prob(q.sample((2,))), analytic_kl(q, p).expand(2, -1)
    )


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", ["vector", "vector-image", "scalar"])
def test_priors_over_a_codebook_sum_to_one_and_have_their_moments(name, learned):
    p = make_quantised(name, learned=learned).prior()
    every = torch.cartesian_prod(*[torch.arange(p.codebook.n_entries)] * p.codebook.n_codes)
    assert p.log_prob_of_codes(every).exp().sum().item() == pytest.approx(
        1, abs=1e-5
    )  # 144 float32 numbers at most
    if name != "scalar":
        assert torch.allclose(
            p.log_prob(p.codebook.to_events(every)), p.log_prob_of_codes(every), atol=1e-6
        )
    draws = p.sample((8000,))
    known = p.base.draws if learned else math.inf
    error = draws.std(0) * math.sqrt(1 / 8000 + 1 / known)
    assert ((draws.mean(0) - p.mean).abs() <= 5 * error + 1e-6).all()


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", catalogue.QUANTISED)
def test_the_elbo_of_codes_is_a_bound(name, learned):
    """``log p(x)`` is a sum over all codes, here few enough to list."""
    model = make_quantised(name, learned=learned).eval()
    x = torch.randn(4, *EVENT)
    q, p = model.infer(Batch(x)), model.prior()
    elbo = ELBO(1)(model.terms(Batch(x), q.sample((1,)), q, exact_kl=True), model).bound
    every = torch.cartesian_prod(*[torch.arange(p.codebook.n_entries)] * p.codebook.n_codes)
    joint = (
        model.likelihood(
            p.codebook.to_events(every)[:, None].expand(-1, 4, *p.event_shape)
        ).log_prob(x)
        + p.log_prob_of_codes(every)[:, None]
    )
    assert (elbo < joint.logsumexp(0)).all()


def test_the_gradient_passes_through_the_quantisation_unchanged():
    model = make_quantised("vector")
    vectors = torch.randn(5, 2, 4, requires_grad=True)
    weight = torch.randn(5, 2, 4)
    (slope,) = torch.autograd.grad(
        (model.posterior.quantise(vectors).rsample() * weight).sum(), vectors
    )
    assert torch.equal(slope, weight)


@pytest.mark.parametrize("name", ["vector", "residual", "vector-gradient"])
def test_the_commitment_is_the_squared_distance_summed_over_the_code(name):
    model = make_quantised(name)
    x = torch.randn(5, *EVENT)
    posterior, q = model.posterior, model.posterior(x)
    left, expected = posterior.vectors(x), torch.zeros(())
    for entry in [
        posterior.table[s][q.codes.reshape(5, 2, -1)[..., s]] for s in range(len(posterior.table))
    ]:
        left = left - entry
        expected = expected + left.square().sum((1, 2)).mean()
    share = 1.25 if name == "vector-gradient" else 0.25
    # the same sums in another order
    assert torch.allclose(posterior.penalty(q), share * expected, rtol=1e-5)
    terms = model.terms(Batch(x), q.rsample((1,)), q)
    assert torch.allclose(terms.penalty, share * expected, rtol=1e-5)


def test_entries_are_running_means_of_their_vectors():
    model = make_quantised("vector").train()
    posterior, x = model.posterior, torch.randn(64, *EVENT)
    posterior.restart = 0.0
    counts, sums = posterior.counts[0].clone(), posterior.sums[0].clone()
    q = posterior(x)
    posterior.update_state(q, q.mean)
    vectors, numbers = posterior.vectors(x).reshape(-1, 4), q.codes.flatten()
    for k in range(3):
        count = 0.99 * counts[k] + 0.01 * (numbers == k).sum()
        total = 0.99 * sums[k] + 0.01 * vectors[numbers == k].sum(0)
        # smoothing moves counts of about 1 by 1e-5 of themselves
        assert torch.allclose(posterior.table[0, k], total / count, rtol=1e-3, atol=1e-4)


def test_unused_entries_restart_as_vectors_of_the_batch():
    posterior = make_quantised("vector").posterior
    with torch.no_grad():
        posterior.table[0, 1:] = 1e3
        posterior.sums.copy_(posterior.table)
    x = torch.randn(32, *EVENT)
    for _ in range(400):  # 0.99^400 is below 0.05, the share at which an entry restarts
        q = posterior(x)
        posterior.update_state(q, q.mean)
    assert posterior.table.abs().max() < 100
    assert (posterior(x).entry_counts() > 0).all()


def test_codebooks_are_initialised_from_data_once():
    posterior = make_quantised("vector").posterior
    x = torch.randn(30, *EVENT)
    posterior.initialise_from_data(x)
    vectors = posterior.vectors(x).reshape(-1, 4)
    # within the noise of a hundredth of their spread
    assert torch.cdist(posterior.table[0], vectors).amin(1).max() < 0.1 * vectors.std()
    before = posterior.table.clone()
    posterior.initialise_from_data(x + 5)
    assert torch.equal(posterior.table, before)


def test_refused_steps_change_no_state():
    """A NaN in the data: the step is skipped; codebook, counts and sums do not change."""
    from aevb.training._step import TrainingStep

    model = make_quantised("vector").train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = copy.deepcopy(model.state_dict())
    take = TrainingStep(model, ELBO(), gradients.Pathwise(), optimizer)
    take(Batch(torch.full((8, *EVENT), torch.nan)))
    assert take.skipped_steps == 1 and all(
        torch.equal(value, before[name]) for name, value in model.state_dict().items()
    )
    take(Batch(torch.randn(8, *EVENT)))
    assert take.skipped_steps == 1 and not torch.equal(
        model.posterior.table, before["posterior.table"]
    )


@pytest.mark.parametrize(
    "name", ["residual", "scalar"]
)  # each takes seconds; they cover the other variants
def test_a_step_is_one_graph(name):
    model, x = make_quantised(name).train(), torch.randn(6, *EVENT)
    start = copy.deepcopy(model.state_dict())
    model.terms(
        Batch(x), model.infer(Batch(x)).rsample((1,)), model.infer(Batch(x))
    )  # dispatch is warm, as after `fit`'s own checks

    def step(x):
        return gradients.Pathwise()(model, ELBO(), Batch(x)).loss

    results = []
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        model.load_state_dict(start)
        model.zero_grad()
        with seed_scope(1):
            loss = run(x)
            loss.backward()
        results.append(
            [
                loss.detach(),
                *(p.grad.clone() for p in model.parameters()),
                *(b.clone() for b in model.buffers()),
            ]
        )
    torch.compiler.reset()
    # the same float32 operations in another order
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["vector", "residual", "scalar"])
def test_models_are_saved_and_loaded(tmp_path, name):
    model = make_quantised(name, learned=True)
    net = networks.MLP(4, [5])
    posterior = catalogue.QUANTISED[name](net)
    posterior(torch.zeros(2, *EVENT))
    event = tuple(posterior.codebook().event_shape)
    likelihood = likelihoods.Normal(
        networks.MLP(math.prod(event), [5]), EVENT, "shared", len(event)
    )
    model = VAE(
        priors.Codebook(
            posterior,
            priors.Autoregressive(
                (posterior.codebook().n_codes, posterior.codebook().n_entries), [4]
            ),
        ),
        posterior,
        likelihood,
    )
    model.initialise_from_data(torch.randn(20, *EVENT))
    aevb.save(model, tmp_path / "run")
    other, x = aevb.load(tmp_path / "run"), torch.randn(5, *EVENT)
    assert other.prior.posterior is other.posterior
    assert torch.equal(other.encode(x), model.eval().encode(x))
    gradients.Pathwise().check(other, ELBO())


def test_stacked_models_train_as_single_models():
    x = torch.randn(64, *EVENT)

    def build(seed):
        with seed_scope(seed):
            return make_quantised("vector")

    together = aevb.fit_many(
        [build(0), build(1)], x, seed=[0, 1], epochs=2, batch_size=16, progress=False
    )
    alone = aevb.fit(build(1), x, seed=1, epochs=2, batch_size=16, progress=False)
    assert together[1].history[-1].bound == pytest.approx(alone.history[-1].bound, rel=1e-3), (
        together[1].notes
    )


def test_usage_is_logged_and_counted():
    model = make_quantised("vector")
    objective = objectives.Penalised(ELBO(), [objectives.CodebookMonitor()])
    history = aevb.fit(
        model, torch.randn(64, *EVENT), objective=objective, epochs=1, batch_size=16, progress=False
    ).history
    assert 1 <= history[0].metrics["perplexity"] <= 3 and 0 <= history[0].metrics["unused"] < 1
    x = torch.randn(50, *EVENT)
    usage = metrics.codebook_usage(model, x)
    assert (
        usage.counts.sum() == 100
        and usage.size == 3
        and usage.unused_entries == int((usage.counts == 0).sum())
    )
    shares = usage.counts[0][usage.counts[0] > 0] / 100
    assert usage.perplexity.item() == pytest.approx(
        math.exp(-(shares * shares.log()).sum()), rel=1e-5
    )


SCORED = [
    "ScoreFunction",
    "LeaveOneOut",
    "DoublyReparameterised",
    "REBAR",
    "Relaxed",
    "Enumerate",
    "WakeSleep",
    "ReweightedWakeSleep",
]


@pytest.mark.parametrize("rule", SCORED)
def test_gradients_that_need_a_density_are_refused_by_name(rule):
    with pytest.raises(IncompatibleError, match=r"VectorQuantised.*gradients\.Pathwise\(\)"):
        getattr(gradients, rule)().check(make_quantised("vector"), objectives.IWAE(2))


def test_incompatible_uses_of_a_codebook_are_refused():
    model, other = make_quantised("vector"), make_quantised("vector")
    with pytest.raises(IncompatibleError, match=r"one code per datum.*rate_distortion"):
        metrics.log_likelihood(model, torch.randn(3, *EVENT), 5)
    with pytest.raises(IncompatibleError, match=r"objectives\.IWAE"):
        gradients.Pathwise().check(model, objectives.PIWAE(2, 2))
    for prior in (priors.Normal((2, 4)), other.prior):
        with pytest.raises(IncompatibleError, match=r"priors\.Codebook\(posterior\)"):
            gradients.Pathwise().check(VAE(prior, model.posterior, model.likelihood), ELBO())
    with refused(IncompatibleError, "posterior", "posteriors.Normal", "posteriors.VectorQuantised"):
        priors.Codebook(posteriors.Normal(networks.MLP(4), 2))
    for build in (
        lambda p: posteriors.NonAmortised(p, 5),
        lambda p: posteriors.Product([p]),
        lambda p: posteriors.Chain([p]),
    ):
        with refused(
            IncompatibleError, None, "posteriors.VectorQuantised", "posteriors.Categorical"
        ):
            build(model.posterior)
    with pytest.raises(IncompatibleError, match="counts entries"):
        objectives.CodebookMonitor().check(catalogue.make_vae())
    with pytest.raises(IncompatibleError, match="no codebook"):
        metrics.codebook_usage(catalogue.make_vae(), torch.randn(3, *EVENT))


NET = networks.MLP(4, [3])
REFUSED = {
    "a codebook of size 0": lambda: posteriors.VectorQuantised(NET, (2, 3), size=0),
    "a single entry": lambda: posteriors.ResidualQuantised(NET, (2, 3), size=1),
    "no depth": lambda: posteriors.ResidualQuantised(NET, (2, 3), depth=0),
    "one axis": lambda: posteriors.VectorQuantised(NET, (3,)),
    "unknown update": lambda: posteriors.VectorQuantised(NET, (2, 3), update="newton"),
    "commitment below 0": lambda: posteriors.VectorQuantised(NET, (2, 3), commitment=-1.0),
    "decay of 1": lambda: posteriors.VectorQuantised(NET, (2, 3), decay=1.0),
    "one level": lambda: posteriors.FiniteScalar(NET, 2, (5, 1)),
    "no levels": lambda: posteriors.FiniteScalar(NET, 2, ()),
    "a prior of other codes": lambda: priors.Codebook(
        make_quantised("vector").posterior, priors.Categorical((2, 4))
    ),
    "a single bit": lambda: priors.Autoregressive(1),
    "one category": lambda: priors.Autoregressive((3, 1)),
    "no features": lambda: posteriors.Autoregressive(NET, 3, features=0),
    "no levels of a pixel": lambda: likelihoods.Autoregressive(NET, (4,), "categorical", 1),
    "levels of a bit": lambda: likelihoods.Autoregressive(NET, (4,), "bernoulli", 3),
    "unknown output": lambda: likelihoods.Autoregressive(NET, (4,), "poisson"),
    "no component": lambda: likelihoods.Autoregressive(NET, (4,), "logistic_mixture", 5, 0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with refused_by_name(ArgumentError):
        REFUSED[name]()


# bits that depend on each other


@pytest.mark.usefixtures("float64")
def test_ten_autoregressive_bits_normalise_in_every_role():
    every = bits(10)
    prior, posterior = (
        priors.Autoregressive(10, [16]),
        posteriors.Autoregressive(networks.MLP(3, [8]), 10, [16]),
    )
    likelihood = likelihoods.Autoregressive(networks.MLP(2, [8]), (2, 5), hidden=[16])
    posterior(torch.randn(1, 3)), likelihood(torch.randn(1, 2))
    for part in (prior, posterior, likelihood):
        for parameter in part.parameters():
            nn.init.normal_(parameter, std=0.5)
    mass = [
        prior().log_prob(every).exp().sum(0, keepdim=True),
        posterior(torch.randn(3, 3)).log_prob(every[:, None]).exp().sum(0),
        likelihood(torch.randn(3, 2)).log_prob(every.reshape(-1, 1, 2, 5)).exp().sum(0),
    ]
    # a thousand numbers of about 1e-3
    assert all(torch.allclose(estimate, torch.ones(()), atol=1e-13) for estimate in mass)


@pytest.mark.usefixtures("float64")
def test_autoregressive_codes_and_levels_normalise():
    eye = torch.eye(3)
    codes = torch.stack([eye[list(choice)] for choice in itertools.product(range(3), repeat=4)])
    assert priors.Autoregressive((4, 3), [9])().log_prob(codes).exp().sum().item() == pytest.approx(
        1, abs=1e-13
    )
    levels = torch.tensor(list(itertools.product((0.0, 1.0, 2.0), repeat=4)))
    for output in ("categorical", "logistic_mixture"):
        p = likelihoods.Autoregressive(networks.MLP(2, [5]), (4,), output, 3, hidden=[7])(
            torch.randn(2, 2)
        )
        assert torch.allclose(p.log_prob(levels[:, None]).exp().sum(0), torch.ones(2), atol=1e-13)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
def test_draws_have_the_probabilities(hidden):
    """Sequential and parallel evaluation give the same distribution at every depth."""
    posterior = posteriors.Autoregressive(nn.Identity(), 3, hidden, 4)
    posterior(torch.randn(2, 3))
    for parameter in posterior.parameters():
        nn.init.normal_(parameter, std=0.8)
    q = posterior(torch.randn(2, 3))
    probability = q.log_prob(bits(3)[:, None]).exp()
    draws = q.sample((20_000,))
    frequency = (draws[:, None] == bits(3)[None, :, None]).all(-1).double().mean(0)
    assert (
        (frequency - probability).abs()
        <= 5 * (probability * (1 - probability) / 20_000).sqrt() + 1e-9
    ).all()
    exact = (probability[..., None] * bits(3)[:, None]).sum(0)
    # averaged over 64 draws of what comes before: an eighth of a standard deviation, five times
    assert ((q.mean - exact).abs() <= 5 * (exact * (1 - exact)).sqrt() / 8 + 1e-9).all()


def test_autoregressive_decoders_refuse_missing_cells():
    with refused(IncompatibleError, "likelihood", "likelihoods.Autoregressive"):
        likelihoods.Missing(make_likelihood("autoregressive"))


def test_darn_learns_dependent_bits():
    """Rows 0000 or 1111 cost log 2 nats, and 4 log 2 under independent bits and an idle code."""
    x = torch.randint(0, 2, (512, 1)).float().expand(-1, 4).contiguous()
    spec = aevb.data.load(x.numpy()).spec
    with seed_scope(0):
        recipe = presets.darn(spec, latent=2, hidden=(16,), masked_hidden=(16,))
    model = aevb.fit(
        recipe, x, epochs=40, batch_size=64, optimizer=aevb.training.adam(1e-2), progress=False
    ).model
    estimate = metrics.log_likelihood(model, x[:64], 50)
    assert estimate.mean > -math.log(2) - 0.1
    draws = model.sample(200)
    assert ((draws.mean(1) == 0) | (draws.mean(1) == 1)).float().mean() > 0.9


@pytest.mark.slow  # about a minute on one core
def test_darn_trains_on_binarized_mnist():
    """A pass over a sixth of the images: far above 205.8 nats, what independent pixels need."""
    try:
        data = aevb.data.load("binarized-mnist")
    except aevb.errors.AevbError:
        pytest.skip("the images are not there, and tests fetch nothing")
    with seed_scope(0):
        recipe = presets.darn(data.spec, latent=16, hidden=(200,))
    model = aevb.fit(recipe, data.train[:9600], epochs=3, batch_size=64, progress=False).model
    rows = data.test.subset(list(range(0, len(data.test), 50)))
    assert metrics.rate_distortion(model, rows, samples=1).elbo.mean > -150


@pytest.mark.parametrize("name", ["vq_vae", "residual_vq_vae", "fsq_vae", "gumbel_vae", "darn"])
def test_presets_have_discrete_codes_of_the_requested_size(name):
    spec = aevb.data.load("digits").spec
    model = presets.preset(name, spec, latent=3, hidden=(8,)).model
    assert model.latent_shape[0] == 3
    assert model.sample(2).shape == (2, 8, 8)
