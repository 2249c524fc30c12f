"""When importance weights are trusted, and what happens where they are not."""

from dataclasses import replace

import pytest
import torch
from tests.linear import evidence, exact_vae, linear_vae, set_posterior
from torch import nn

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Dataset, Rows, load
from aevb.errors import ArgumentError
from aevb.inference import AISOptions
from aevb.metrics import MethodChoice, choose_method
from aevb.metrics._method_choice import ReliabilityLimits
from aevb.runs import Run, compare

WEIGHT = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
OFFSET, SCALE = torch.zeros(6), 0.3


@pytest.fixture(scope="module")
def rows():
    generator = torch.Generator().manual_seed(2)
    z, noise = (torch.randn(60, size, generator=generator) for size in (2, 6))
    return Rows.from_array(z @ WEIGHT.T + SCALE * noise)


@pytest.fixture(scope="module")
def bad():
    """A model with an encoder that knows nothing of the rows and is much too certain."""
    model = linear_vae(WEIGHT, OFFSET, SCALE)
    set_posterior(model, torch.zeros(2, 6), torch.ones(2), torch.full((2,), 0.3))
    return model.eval()


def test_annealing_is_right_where_importance_sampling_is_far_off(bad, rows):
    choice = choose_method(bad, rows)
    assert (choice.method, choice.max_rows) == ("annealing", len(rows))
    assert choice.share > 0.6 and choice.gain > 1
    (note,) = choice.notes
    assert (note.code, note.level) == ("annealed_instead", "warning")
    assert note.data["rows"] == len(rows)
    few = rows.subset(slice(12))
    exact = evidence(WEIGHT, OFFSET, SCALE, few.tensor()).double()
    annealed = metrics.log_likelihood(
        bad, few, method="annealing", annealing=AISOptions(200, choice.start)
    )
    importance = metrics.log_likelihood(bad, few)
    # five standard errors of the chains, of all rows together
    error = annealed.per_datum_error.square().sum().sqrt().item() / len(few)
    assert abs(annealed.mean - exact.mean().item()) < 5 * error < 0.5
    assert importance.mean < exact.mean().item() - 3


def test_weights_of_the_exact_posterior_are_trusted(rows):
    choice = choose_method(exact_vae(WEIGHT, OFFSET, SCALE).eval(), rows)
    assert (choice.method, choice.max_rows, choice.notes) == ("importance", None, ())
    assert abs(choice.gain) < 1e-6  # equal weights, whatever the shape of their rounding errors


def test_heavy_tails_that_do_no_harm_keep_importance_sampling(bad, rows):
    assert choose_method(bad, rows, limits=ReliabilityLimits(gain=100)).method == "importance"
    assert choose_method(bad, rows, limits=ReliabilityLimits(share=1)).method == "importance"


def test_latents_that_cannot_move_keep_importance_sampling_and_say_so(rows):
    torch.manual_seed(0)
    model = VAE(
        priors.Bernoulli(16),
        posteriors.Bernoulli(nn.Identity(), 16),
        likelihoods.Normal(networks.MLP(16), (6,), scale=0.02),
    ).eval()
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.mul_(30)
    choice = choose_method(model, rows)
    assert choice.method == "importance" and choice.max_rows is None
    (note,) = choice.notes
    assert (note.code, note.level) == ("importance_unreliable", "warning")


def test_few_states_are_summed(rows):
    torch.manual_seed(0)
    model = VAE(
        priors.Bernoulli(8),
        posteriors.Bernoulli(nn.Identity(), 8),
        likelihoods.Normal(networks.MLP(8), (6,), scale=0.02),
    ).eval()
    assert choose_method(model, rows).method == "exact"


def test_a_model_without_importance_weights_is_not_examined(rows):
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(nn.Identity(), 2),
        likelihoods.Normal(networks.MLP(2), (6,)),
    )
    assert choose_method(model.eval(), rows) == MethodChoice()


def test_fewer_rows_are_annealed_with_a_larger_decoder(rows):
    many = Rows.from_array(rows.tensor().repeat(10, 1))

    def count(*widths):
        decoder = networks.MLP(2, list(widths))
        model = VAE(
            priors.Normal(2), posteriors.Normal(nn.Identity(), 2), likelihoods.Normal(decoder, (6,))
        )
        return metrics.annealed_rows(model.eval(), many)

    assert count() == 400 and count(4000, 4000) == 16
    assert 16 < count(400, 400) < 400


@pytest.fixture
def short(monkeypatch):
    """Annealing on a short path: what is tested is which rows and which method are used."""
    before = metrics._log_likelihood.annealed_importance_sampling

    def anneal(model, batch, chains, annealing, **options):
        return before(model, batch, chains, replace(annealing, temperatures=10), **options)

    monkeypatch.setattr(metrics._log_likelihood, "annealed_importance_sampling", anneal)


def run_of(model, rows):
    data = load(rows.tensor().numpy())
    data = Dataset(data.train, data.validation, rows, data.spec)
    return Run(model, data.spec, {}, dataset=data)


def test_a_run_falls_back_and_says_so(bad, rows, short):
    found = run_of(bad, rows).evaluate(max_rows=50)
    assert found["log_likelihood"].details["method"] == "annealing" and found.n == 50
    assert found["log_likelihood"].details["samples"] == 16
    assert [note.code for note in found.notes].count("annealed_instead") == 1
    kept = run_of(bad, rows).evaluate(method="importance", max_rows=50)
    assert kept["log_likelihood"].details["method"] == "importance"
    assert found["log_likelihood"].value > kept["log_likelihood"].value


def test_comparisons_use_one_method(bad, rows, short):
    exact = run_of(exact_vae(WEIGHT, OFFSET, SCALE).eval(), rows)
    both = compare([run_of(bad, rows), exact], rows.tensor().numpy())
    methods = {each.evaluation["log_likelihood"].details["method"] for each in both.runs}
    assert methods == {"importance"} and both.method == "importance"
    (note,) = [note for note in both.notes if note.code == "importance_unreliable"]
    assert note.level == "warning"
    both = compare([run_of(bad, rows), exact], rows.tensor().numpy(), method="annealing")
    methods = {each.evaluation["log_likelihood"].details["method"] for each in both.runs}
    assert methods == {"annealing"} and both.samples == 16
    assert not [note for note in both.notes if note.code == "importance_unreliable"]
    with pytest.raises(ArgumentError):
        compare([exact], rows.tensor().numpy(), method="auto")
