"""Parameters per row, refinement, and the amortisation gap of an encoder."""

import copy
import math

import pytest
import torch
from tests.catalogue import EVENT, make_likelihood, make_posterior, make_vae
from tests.linear import ROTATED_GAP, linear_vae, rotated_model, set_posterior
from tests.refusals import refused
from torch import nn

import aevb
from aevb import (
    VAE,
    Batch,
    data,
    gradients,
    inference,
    likelihoods,
    metrics,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb import _persistence as persistence
from aevb.data import Dataset, Rows, Spec
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.networks import ParameterTable
from aevb.networks._parameter_table import TABLE_ENTRY_UNIT
from aevb.posteriors._non_amortised import amortised_parameters
from aevb.training._source import make_source

pytestmark = pytest.mark.usefixtures("float64")


def numbered(x, total=None):
    """All rows of a data set with their row numbers."""
    return Batch(x, index=torch.arange(len(x)), dataset_size=len(x) if total is None else total)


# the family


@pytest.mark.parametrize(
    "name", ["normal-diagonal", "normal-low-rank-2", "normal-full", "bernoulli", "categorical"]
)
def test_rows_have_the_distributions_of_the_network_outputs(name):
    """Parameters equal to the network outputs give the same distributions."""
    posterior, x = make_posterior(name), torch.randn(7, *EVENT)
    free = posteriors.NonAmortised(posterior, n_rows=7)
    free.table.set_all_rows(amortised_parameters(posterior, x))
    order = torch.tensor([6, 0, 3, 3])
    q, same = free(order), posterior(x[order])
    z = same.sample((3,))
    assert torch.allclose(q.log_prob(z), same.log_prob(z), atol=1e-12) and torch.allclose(
        q.mean, same.mean, atol=1e-14
    )
    assert [name for name, _ in free.named_parameters()] == ["posterior.heads.entries"]
    assert free.has_density and free.n_rows == 7 and posterior.n_rows is None
    assert isinstance(posterior.heads, networks.Heads), "the original posterior does not change"


def test_a_gradient_reaches_the_rows_of_the_batch_and_no_others():
    model = VAE(
        priors.Normal(2),
        posteriors.NonAmortised(make_posterior("normal-full"), n_rows=6),
        make_likelihood("normal-shared"),
    )
    gradients.Pathwise()(
        model,
        objectives.ELBO(),
        Batch(torch.randn(2, *EVENT), index=torch.tensor([4, 1]), dataset_size=6),
    ).loss.backward()
    moved = model.posterior.table.entries.grad.abs().sum(1) > 0
    assert moved.tolist() == [False, True, False, False, True, False]


def test_initial_parameters_differ_between_rows_and_are_close_to_the_standard_normal():
    q = posteriors.NonAmortised(make_posterior("normal-diagonal"), n_rows=500)(torch.arange(500))
    # entries have a standard deviation of a tenth, over 1000 numbers
    assert q.mean.std().item() == pytest.approx(
        0.1, rel=0.15
    ) and q.stddev.log().std().item() == pytest.approx(0.1, rel=0.15)


def test_entries_are_stored_in_units():
    table = ParameterTable(3, (2,))
    assert torch.allclose(table(torch.arange(3))[0], TABLE_ENTRY_UNIT * table.entries)
    values = torch.randn(3, 2)
    table.set_all_rows([values])
    assert torch.allclose(table(torch.tensor([2, 0]))[0], values[[2, 0]], atol=1e-14)


def svi(rows, latent=2, size=6):
    return VAE(
        priors.Normal(latent),
        posteriors.NonAmortised(posteriors.Normal(networks.MLP(size), latent), rows),
        likelihoods.Normal(networks.MLP(latent), (size,), scale="shared"),
    )


def test_other_rows_have_no_parameters():
    """Every function refuses a data set of another size or a batch without row numbers."""
    model, x = svi(rows=8), torch.randn(8, 6)
    model.draw_terms(numbered(x), 1)
    metrics.log_likelihood(model, x, samples=2)
    calls = [
        lambda: model.encode(x),
        lambda: model.reconstruct(x),
        lambda: model.draw_terms(Batch(x), 1),
        lambda: model.draw_terms(numbered(x, total=9), 1),
        lambda: metrics.log_likelihood(model, x[:5]),
        lambda: metrics.rate_distortion(model, torch.cat([x, x])),
        lambda: metrics.active_units(model, x[:5]),
        lambda: gradients.Pathwise()(model, objectives.ELBO(), Batch(x)),
    ]
    for call in calls:
        with refused(IncompatibleError, "index", "posteriors.NonAmortised", " 8 ", "refine"):
            call()
    with refused(DataError, "input", "posteriors.NonAmortised", "refine"):
        model.posterior(x)
    with pytest.raises(IncompatibleError, match="no encoder"):
        metrics.inference_gaps(model, x)


class TwoNetworks(posteriors.Normal):
    def __init__(self) -> None:
        super().__init__(nn.Identity(), 2)
        self.more = networks.Heads(nn.Identity(), (2,))


def test_posteriors_without_a_single_network_are_refused():
    with refused(ArgumentError, "n_rows", "0"):
        posteriors.NonAmortised(make_posterior("normal-diagonal"), n_rows=0)
    with refused(IncompatibleError, "posterior", " 2", "posteriors.TwoNetworks"):
        posteriors.NonAmortised(TwoNetworks(), n_rows=3)


# training


def dataset(x):
    spec = Spec(
        name="rows",
        event_shape=tuple(x.shape[1:]),
        support="real",
        likelihood="normal",
        network="mlp",
    )
    return Dataset(Rows.from_array(x), Rows.from_array(x[:5]), Rows.from_array(x[:5]), spec)


def test_stochastic_variational_inference_reaches_the_best_diagonal_posterior_of_every_row():
    """The best diagonal of a fixed decoder is known; minibatches leave most rows unused."""
    model, *_ = rotated_model("diagonal")
    x = model.sample(30)
    model = VAE(model.prior, posteriors.NonAmortised(model.posterior, n_rows=30), model.likelihood)
    optimizer = torch.optim.Adam(model.posterior.parameters(), betas=(0.9, 0.99))
    for epoch in range(120):
        optimizer.param_groups[0]["lr"] = 0.15 / TABLE_ENTRY_UNIT * (1 - epoch / 120)
        for index in torch.randperm(30).split(10):
            optimizer.zero_grad()
            gradients.Pathwise()(
                model, objectives.ELBO(8), Batch(x[index], index=index, dataset_size=30)
            ).loss.backward()
            optimizer.step()
    gap = metrics.decomposition(model, x).gap
    # 4 parameters per row, each known from the last few hundred of its draws
    assert (
        gap.mean().item() == pytest.approx(ROTATED_GAP, abs=0.02)
        and (gap > ROTATED_GAP - 1e-9).all()
    )


def test_fit_skips_validation_with_a_note():
    x = torch.randn(40, 6)
    result = aevb.fit(svi(40), dataset(x), epochs=2, batch_size=10, progress=False)
    assert result.best_epoch is None and all(epoch.validation is None for epoch in result.history)
    assert any(note.code == "no_validation" for note in result.notes)
    with pytest.raises(IncompatibleError, match="Leave `validation` out"):
        aevb.fit(svi(40), x, validation=x, progress=False)


def test_fit_refuses_another_number_of_rows_before_the_first_step():
    for rows in (39, 41):
        with refused(IncompatibleError, "index", f" {rows} "):
            aevb.fit(svi(rows), torch.randn(40, 6), progress=False)
    with refused(IncompatibleError, "index"):
        aevb.fit(svi(40), [torch.randn(10, 6)], epochs=1, progress=False)


def test_batches_of_a_source_carry_row_numbers():
    source = make_source(
        torch.arange(10.0)[:, None], 3, seed=0, device=torch.device("cpu"), dtype=torch.float64
    )
    for batch in source.iter_epoch(0, 0):
        assert torch.equal(batch.index, batch.x[:, 0].long()) and batch.dataset_size == 10


# refinement


def test_refinement_reaches_the_best_diagonal_posterior():
    """Refinement of a constant encoder reaches the best member of the family for every row."""
    model, *_ = rotated_model("diagonal")
    set_posterior(model, torch.zeros(2, 2), torch.tensor([1.0, -1.0]), torch.ones(2))
    x = model.sample(40)
    refined = inference.refine(model, x, steps=200)
    gap = metrics.decomposition(refined.model, x).gap
    # 4 parameters per row are known from the last few hundred draws: half a squared error in units
    # of the posterior's scale for each
    assert (
        gap.mean().item() == pytest.approx(ROTATED_GAP, abs=0.01) and gap.max() < ROTATED_GAP + 0.05
    )
    assert (metrics.decomposition(model, x).gap > gap).all()
    for bound, measured in ((refined.elbo_before, model), (refined.elbo_after, refined.model)):
        noise = measured.draw_terms(numbered(x), 500).log_likelihood.std(0) / math.sqrt(
            64
        )  # of 64 draws per datum
        assert ((bound - metrics.decomposition(measured, x).elbo).abs() < 5 * noise).all()


@pytest.mark.parametrize("covariance", ["low_rank", "full"])
def test_refinement_within_a_family_that_contains_the_true_posterior_closes_the_gap(covariance):
    model, *_ = rotated_model(covariance)
    nn.init.zeros_(model.posterior.heads.head.weight)
    nn.init.constant_(model.posterior.heads.head.bias, 0.1)
    x = model.sample(10)
    rule = gradients.DoublyReparameterised()  # its noise vanishes at the true posterior
    refined = inference.refine(
        model, x, steps=200, objective=objectives.ELBO(8, kl="sampled"), gradient=rule
    )
    assert metrics.decomposition(refined.model, x).gap.mean() < 1e-3


def test_refinement_never_lowers_the_bound_of_a_row():
    model = make_vae("normal-diagonal", "bernoulli")
    x = model.sample(30)
    wild = inference.refine(model, x, steps=3, lr=50.0)
    assert (wild.elbo_after >= wild.elbo_before - 1e-9).float().mean() == 1.0, (
        "a learning rate of 50 improves no row: all rows keep their parameters"
    )
    assert torch.allclose(wild.posterior.mean, model.eval().infer(Batch(x)).mean, atol=1e-12)
    refined = inference.refine(model, x, steps=50)
    # selection and measurement use different draws: differences within noise have any sign
    assert (
        refined.elbo_after.mean() > refined.elbo_before.mean()
        and (refined.elbo_after - refined.elbo_before).min() > -0.2
    )


def test_refinement_does_not_change_the_model_or_the_random_state():
    noisy = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Dropout(0.5))
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [5]), 2),
        likelihoods.Bernoulli(noisy, (6,)),
    ).train()
    before, state_before = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    first, second = (inference.refine(model, torch.ones(4, 6), steps=5) for _ in range(2))
    assert (
        torch.equal(before, torch.get_rng_state()) and model.training and model.likelihood.training
    )
    assert all(torch.equal(value, state_before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(first.elbo_after, second.elbo_after)
    assert not torch.equal(
        first.elbo_after, inference.refine(model, torch.ones(4, 6), steps=5, seed=1).elbo_after
    )
    first.model.train()
    assert all(p.requires_grad for p in first.model.parameters())
    with torch.no_grad():
        first.model.likelihood.heads.head.weight.fill_(0.0)
    assert model.likelihood.heads.head.weight.abs().sum() > 0, "the copy is a copy"


@pytest.mark.parametrize("posterior", ["bernoulli", "categorical"])
def test_discrete_posteriors_are_refined_by_scores(posterior):
    model = make_vae(posterior, "bernoulli")
    refined = inference.refine(model, model.sample(10), steps=60)
    assert refined.elbo_after.mean() > refined.elbo_before.mean()


def test_a_model_without_an_encoder_is_refined_from_the_standard_member():
    """New data of a model that was trained with parameters per row."""
    model = svi(rows=8)
    refined = inference.refine(model, 3 * torch.randn(5, 6), steps=50)
    assert (
        refined.model.posterior.n_rows == 5
        and refined.elbo_after.mean() > refined.elbo_before.mean() + 0.1
    )


def test_data_are_refined_in_blocks_of_any_size(monkeypatch):
    model, *_ = rotated_model("diagonal")
    set_posterior(model, torch.zeros(2, 2), torch.zeros(2), torch.ones(2))
    x = model.sample(9)
    whole = inference.refine(model, x, steps=100)
    monkeypatch.setitem(inference.refine.__globals__, "REFINE_BLOCK_ROWS", 4)
    pieces = inference.refine(model, x, steps=100)
    assert pieces.elbo_after.shape == (9,)
    gaps = [metrics.decomposition(result.model, x).gap for result in (whole, pieces)]
    assert torch.allclose(gaps[0], gaps[1], atol=0.05)  # other draws, the same optimum


def test_refined_models_are_evaluated_and_saved(tmp_path):
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [5]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [5]), (6,)),
    )
    x = model.sample(12)
    refined = inference.refine(model, x, steps=20)
    again = aevb.load(persistence.save(refined.model, tmp_path))
    assert torch.equal(again.infer(numbered(x)).mean, refined.posterior.mean)
    for each in (refined.model, again):
        assert (
            metrics.log_likelihood(each, x, samples=5).mean
            == metrics.log_likelihood(refined.model, x, samples=5).mean
        )
        assert (
            metrics.active_units(each, x).variance.shape == (2,)
            and len(metrics.kl_per_dimension(each, x)) == 2
        )
        assert (
            metrics.rate_distortion(each, x).elbo.mean
            == metrics.rate_distortion(refined.model, x).elbo.mean
        )


def test_refinement_refuses_invalid_input():
    model = make_vae("normal-diagonal", "bernoulli")
    x = model.sample(3)
    with pytest.raises(ArgumentError, match="`steps` is -1"):
        inference.refine(model, x, steps=-1)
    with pytest.raises(ArgumentError, match="`lr` is 0"):
        inference.refine(model, x, lr=0)
    with pytest.raises(DataError, match="this model takes"):
        inference.refine(model, torch.zeros(3, 7))
    with pytest.raises(DataError, match="no rows"):
        inference.refine(model, x[:0])
    with pytest.raises(DataError) as caught:
        inference.refine(model, object())
    assert caught.value.argument == "x"
    with pytest.raises(IncompatibleError, match="density"):
        inference.refine(make_vae("dirac", "bernoulli"), x)
    assert torch.allclose(
        inference.refine(model, x, steps=0).posterior.mean,
        model.eval().infer(Batch(x)).mean,
        atol=1e-12,
    )


# the gaps


def test_gaps_of_a_linear_gaussian_model_are_exact():
    """The approximation gap of the best diagonal is known.

    An encoder at that optimum loses nothing, a shifted one half a squared shift.
    """
    model, gain, shift, target = rotated_model("diagonal")
    precision = torch.linalg.inv(target)
    set_posterior(model, gain, shift, precision.diagonal() ** -0.5)
    x = model.sample(30)
    at_best = metrics.inference_gaps(model, x, steps=100)
    assert at_best.is_exact and at_best.inference_gap.mean == pytest.approx(ROTATED_GAP, abs=1e-9)
    # steps that improve the estimate by chance may be accepted, and lose a little
    assert (
        -0.01 < at_best.amortisation_gap.mean <= 0
        and at_best.approximation_gap.mean == pytest.approx(ROTATED_GAP, abs=0.01)
    )
    away = torch.tensor([0.3, -0.2])
    set_posterior(model, gain, shift + away, precision.diagonal() ** -0.5)
    shifted, lost = metrics.inference_gaps(model, x), 0.5 * (away @ precision @ away).item()
    assert lost > 0.1 and shifted.inference_gap.mean == pytest.approx(ROTATED_GAP + lost, abs=1e-9)
    # what the refinement leaves, as above
    assert shifted.approximation_gap.mean == pytest.approx(
        ROTATED_GAP, abs=0.01
    ) and shifted.amortisation_gap.mean == pytest.approx(lost, abs=0.01)


def test_estimated_gaps_agree_with_exact_gaps(monkeypatch):
    model, gain, shift, target = rotated_model("diagonal")
    set_posterior(
        model, gain, shift + torch.tensor([0.4, 0.1]), torch.linalg.inv(target).diagonal() ** -0.5
    )
    x = model.sample(150)
    exact = metrics.inference_gaps(model, x, steps=150)
    monkeypatch.setitem(metrics.inference_gaps.__globals__, "_exact_gaps", lambda *parts: None)
    estimated = metrics.inference_gaps(model, x, steps=150, samples=2000)
    assert exact.is_exact and not estimated.is_exact
    for name in ("approximation_gap", "amortisation_gap", "inference_gap"):
        estimate, truth = getattr(estimated, name), getattr(exact, name)
        # paired by datum, so that the error bars are those of the noise of the estimates
        assert abs(estimate.mean - truth.mean) < 5 * estimate.standard_error
        assert 0 < estimate.standard_error < 0.1
    assert estimated.inference_gap.mean == pytest.approx(
        estimated.approximation_gap.mean + estimated.amortisation_gap.mean, abs=1e-9
    )
    assert estimated.log_likelihood.mean - estimated.elbo.mean == pytest.approx(
        estimated.inference_gap.mean, abs=1e-9
    )


def test_gaps_of_rows_of_a_data_set():
    digits = data.load("digits")
    recipe = aevb.presets.vae(digits.spec, latent=2, hidden=[16])
    estimated = metrics.inference_gaps(
        recipe.model.float(), digits.test.subset(range(12)), steps=10, samples=20
    )
    assert not estimated.is_exact and estimated.inference_gap.mean > 0
    with pytest.raises(DataError, match="no rows"):
        metrics.inference_gaps(recipe.model, torch.zeros(0, 8, 8))


def test_linear_models_of_any_noise_can_be_refined():
    """Refinement does not change the parameters of per-element noise."""
    model = linear_vae(torch.randn(4, 2), torch.randn(4), torch.rand(4) + 0.3)
    noise_before = model.likelihood.noise.raw.detach().clone()
    refined = inference.refine(model, model.sample(5), steps=50)
    assert torch.equal(refined.model.likelihood.noise.raw, noise_before) and torch.equal(
        model.likelihood.noise.raw, noise_before
    )
