"""A model whose prior is a mixture starts at a mixture of the training rows."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import aevb
from aevb import VAE, Batch, data, presets, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.models import _mixture_start as mixture_start
from aevb.models._mixture_start import MixtureStart, fit_components, split_noise
from aevb.presets._defaults import COMPONENTS
from aevb.presets._tables import SCALE_BOUND

N, D = 200, 3
LEAST = math.exp(-SCALE_BOUND)

pytestmark = pytest.mark.usefixtures("float64")


def clustered_rows(distance: float = 6.0, rows: int = N) -> torch.Tensor:
    """Two clusters with other correlations each."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(2, D, D, generator=generator, dtype=torch.float64)
    which = torch.arange(rows) % 2
    x = torch.randn(rows, 1, D, generator=generator, dtype=torch.float64) @ mix[which]
    return 10 * (x[:, 0] + distance * which[:, None]) + 5


def started(x: torch.Tensor, **options) -> tuple[VAE, torch.Tensor]:
    spec = data.load(x.numpy()).spec
    options = {"latent": x.shape[1], "hidden": [8], "start": "mixture"} | options
    model = presets.table_vae(spec, **options).model.double()
    rows = model.to_model_input(x)
    model.initialise_from_data(rows)
    return model.eval(), rows


def whitened_mixture(model: VAE, rows: torch.Tensor):
    """The mixture, the whitened rows, and the log-determinant of the whitening."""
    whitening = model.likelihood.whitening
    y = whitening(rows)
    return fit_components(y, COMPONENTS, LEAST), y, whitening.log_det


def log_density(start: MixtureStart, y: torch.Tensor) -> torch.Tensor:
    """Log-density of the mixture with its noise, ``[N, C]`` jointly with the component."""
    whole = start.covariance[:, :D, :D] + start.factors.noise.diag()
    gaussians = MultivariateNormal(start.mean[:, :D], whole)
    return start.weight.log() + gaussians.log_prob(y[:, None])


def log_weights(model: VAE, x: torch.Tensor, samples: int) -> torch.Tensor:
    """``log p(x, z) - log q(z|x)`` ``[K, N]``."""
    with torch.no_grad():
        q = model.posterior(x)
        return model.terms(Batch(x), q.sample((samples,)), q).log_weight


def largest_gap(start: MixtureStart, y: torch.Tensor) -> torch.Tensor:
    """Average over components of the KL divergence from the encoder to their posteriors."""
    noise = start.factors.noise.diag()
    whole = start.covariance + noise
    scaled = torch.linalg.solve(start.covariance, noise.expand_as(whole))
    size = scaled.diagonal(dim1=1, dim2=2).sum(1) - torch.logdet(torch.eye(D) + scaled)
    d = (y[:, None] - start.mean)[..., None]
    shift = (d.mT @ scaled @ torch.linalg.solve(whole, d))[..., 0, 0]
    return (log_density(start, y).softmax(1) * 0.5 * (size + shift)).sum(1)


def test_the_bound_is_below_the_log_density_of_the_mixture_by_less_than_the_noise():
    torch.manual_seed(0)
    model, rows = started(clustered_rows())
    found, y, log_det = whitened_mixture(model, rows)
    assert len(found.log_weight) == 3  # two clusters and the Gaussian of all rows
    start = split_noise(found, D, COMPONENTS, LEAST)
    exact = log_density(start, y).logsumexp(1) - log_det
    weights = log_weights(model, rows, 500)
    gap = (exact - weights.mean(0)).mean()
    error = weights.std(0).mean() / math.sqrt(weights.numel())
    limit = largest_gap(start, y).mean()
    assert -5 * error < gap < limit + 5 * error
    # flat directions have the least covariance: (1 / KEPT - log(1 + 1 / KEPT) + 1 / KEPT) / 2
    kept = 1 / mixture_start.KEPT
    assert limit < D * (2 * kept - math.log(1 + kept)) / 2


def test_importance_sampling_finds_the_log_density_of_the_mixture():
    torch.manual_seed(0)
    model, rows = started(clustered_rows())
    found, y, log_det = whitened_mixture(model, rows)
    exact = log_density(split_noise(found, D, COMPONENTS, LEAST), y).logsumexp(1) - log_det
    estimate = log_weights(model, rows, 1000).logsumexp(0) - math.log(1000)
    # weights have a variance below 1: 0.03 per row with 1,000 draws, 0.002 of the mean
    assert (estimate - exact).mean().abs() < 0.01
    # the floor of the components takes less than a tenth of a nat from the fitted mixture
    assert (found.log_prob(y) - log_det - exact).mean().abs() < 0.1


def test_nearly_flat_components_are_represented():
    x = clustered_rows()
    x[::2, 2] = x[::2, 0] + 1e-3 * x[::2, 1]  # nearly a function of the others in one cluster
    torch.manual_seed(0)
    model, rows = started(x)
    found, y, log_det = whitened_mixture(model, rows)
    exact = found.log_prob(y) - log_det
    estimate = log_weights(model, rows, 1000).logsumexp(0) - math.log(1000)
    # the noise is below the least deviation of the fit: the error of the draws is left
    assert (exact - estimate).mean().abs() < 0.01
    assert (exact - estimate).abs().max() < 0.3


def test_repeated_values_keep_the_density_of_the_mixture():
    x = clustered_rows(distance=0.0, rows=300)
    spread = 1e-3 * x.std(0)[0]
    generator = torch.Generator().manual_seed(2)
    x[:150, 0] = 5 + spread * torch.randn(150, generator=generator).double()
    torch.manual_seed(0)
    model, rows = started(x)
    found, y, log_det = whitened_mixture(model, rows)
    matrix = model.likelihood.whitening.matrix
    deviation = (matrix @ found.covariance @ matrix.T).diagonal(dim1=1, dim2=2).amin(0).sqrt()
    # the floor of a direction, 1e-3 of whitened numbers, adds to the deviation of the rows
    assert deviation[0] < 2 * spread
    exact = found.log_prob(y) - log_det
    estimate = log_weights(model, rows, 500).logsumexp(0) - math.log(500)
    assert (exact - estimate).mean().abs() < 0.05


def test_rows_without_clusters_start_at_their_gaussian():
    x = clustered_rows(distance=0.0)[::2]
    model, rows = started(x)
    centred = x - x.mean(0)
    exact = MultivariateNormal(x.mean(0), centred.T @ centred / len(x)).log_prob(x)
    assert (log_weights(model, rows, 1)[0] - exact).abs().max() < 1e-6


def test_a_latent_variable_too_many_keeps_the_standard_normal():
    torch.manual_seed(0)
    model, rows = started(clustered_rows(), latent=D + 1)
    found, y, log_det = whitened_mixture(model, rows)
    exact = log_density(split_noise(found, D + 1, COMPONENTS, LEAST), y).logsumexp(1) - log_det
    estimate = log_weights(model, rows, 1000).logsumexp(0) - math.log(1000)
    assert (estimate - exact).mean().abs() < 0.01
    assert torch.allclose(model.prior().variance[D], torch.ones(()).double())


def test_components_that_were_set_are_kept():
    spec = data.load(clustered_rows().numpy()).spec
    model = presets.table_vae(spec, latent=D, hidden=[8], start="mixture").model
    own = model.prior
    assert isinstance(own, priors.Mixture)
    own.set_components(
        torch.full((COMPONENTS,), 1 / COMPONENTS),
        torch.zeros(COMPONENTS, D),
        4 * torch.eye(D).repeat(COMPONENTS, 1, 1),
    )
    model.initialise_from_data(clustered_rows().float())
    assert torch.allclose(own().variance, torch.full((D,), 4.0))


def test_mixed_tables_start_at_a_mixture_of_their_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(clustered_rows().numpy(), columns=list("xyz"))
    frame["kind"] = ["a", "b", "b", "a"] * (N // 4)
    table = data.load(frame, seed=0)
    scores = {}
    for start in ("gaussian", "mixture"):
        torch.manual_seed(0)
        model = presets.table_vae(table.spec, latent=D, hidden=[8], start=start).model
        model.initialise_from_data(table.train.tensor())
        scores[start] = aevb.metrics.log_likelihood(model, table.train, samples=100).per_datum
    gain = scores["mixture"] - scores["gaussian"]
    assert gain.mean() - 5 * gain.std() / len(gain) ** 0.5 > 0.5


def test_resuming_and_loading_keep_the_mixture(tmp_path):
    table = data.load(clustered_rows().numpy(), seed=0)
    constant = {"lr_schedule": lambda step, total: 1.0, "seed": 0, "progress": False}

    def run(name, **options):
        torch.manual_seed(0)
        recipe = presets.table_vae(table.spec, latent=D, hidden=[8], start="mixture")
        return aevb.fit(recipe, table, out=tmp_path / name, **constant, **options).model

    whole = run("whole", epochs=2)
    run("half", epochs=1)
    for other in (run("half", epochs=2, resume=True), aevb.load(tmp_path / "whole")):
        for name, value in whole.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize(
    "options, error, argument",
    [
        ({"latent": D - 1}, ArgumentError, "latent"),
        ({"prior": "vamp"}, IncompatibleError, "prior"),
        ({"posterior": "iaf"}, IncompatibleError, "posterior"),
        ({"linear": False}, IncompatibleError, "linear"),
        ({"start": "vine"}, ArgumentError, "start"),
    ],
)
def test_what_cannot_start_at_a_mixture_is_refused(options, error, argument):
    with pytest.raises(error) as caught:
        started(clustered_rows(), **options)
    assert caught.value.argument == argument and caught.value.suggestions


def test_tables_without_complete_numbers_are_refused():
    pandas = pytest.importorskip("pandas")
    holes = pandas.DataFrame(clustered_rows().numpy(), columns=list("xyz"))
    holes.loc[::7, "y"] = math.nan
    for source in ((clustered_rows() > 30).float().numpy(), holes):
        with pytest.raises(IncompatibleError) as caught:
            presets.table_vae(data.load(source).spec, latent=D, start="mixture")
        assert caught.value.argument == "start"
