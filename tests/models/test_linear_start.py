"""A model with a linear path starts at a Gaussian with the moments of the training rows."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from aevb import VAE, Batch, data, likelihoods, networks, posteriors, presets, priors
from aevb.networks import Column

N = 300


def correlated_rows(columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    return torch.randn(N, columns, generator=generator, dtype=torch.float64) @ mix


def log_weights(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """``log p(x, z) - log q(z|x)`` ``[N]`` at a draw: ``log p(x)`` if the posterior is exact."""
    model.eval()
    q = model.posterior(x)
    with torch.no_grad():
        return model.terms(Batch(x), q.sample((1,)), q).log_weight[0]


def gaussian_log_prob(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(0)
    return MultivariateNormal(x.mean(0), centred.T @ centred / len(x)).log_prob(x)


def table_columns(count: int) -> list[Column]:
    return [Column(f"x{i}", "continuous", "normal") for i in range(count)]


def columns_model(columns: list[Column], latent: int, scale: str = "per_element") -> VAE:
    width = networks.Columns.width(columns)
    encoder = networks.Columns(networks.MLP(width, [8], skip=True), columns)
    decoder = networks.MLP(latent, [8], skip=True)
    return VAE(
        priors.Normal(latent),
        posteriors.Normal(encoder, latent),
        likelihoods.Columns(decoder, columns, scale=scale),
    ).double()


class TestWhitenedTables:
    @pytest.mark.parametrize("latent", [1, 2, 4, 6])
    @pytest.mark.parametrize("scale", ["per_element", "predicted"])
    def test_the_bound_is_the_log_density_of_the_full_gaussian(self, latent, scale):
        x = 10 * correlated_rows(4) + 5
        spec = data.load(x.numpy()).spec
        model = presets.table_vae(spec, latent=latent, hidden=[8], scale=scale).model.double()
        rows = model.to_model_input(x)
        model.initialise_from_data(rows)
        assert (log_weights(model, rows) - gaussian_log_prob(x)).abs().max() < 1e-9

    def test_constant_columns_add_nothing(self):
        x = torch.cat([correlated_rows(3), torch.full((N, 1), 5.0).double()], 1)
        model = presets.table_vae(data.load(x.numpy()).spec, latent=3, hidden=[8]).model.double()
        model.initialise_from_data(x)
        assert (log_weights(model, x) - gaussian_log_prob(x[:, :3])).abs().max() < 1e-9
        assert model.sample(3)[:, 3].tolist() == [5.0] * 3
        assert model.constant_cells is not None
        assert model.constant_cells[3] == 5

    def test_hidden_layers_learn_from_the_second_step_on(self):
        x = correlated_rows(3).float()
        model = presets.table_vae(data.load(x.numpy()).spec, latent=3, hidden=[8]).model
        model.initialise_from_data(x)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            q = model.posterior(x)
            (-model.terms(Batch(x), q.rsample((1,)), q).log_weight.mean()).backward()
            optimizer.step()
        slopes = [p.grad for name, p in model.named_parameters() if "layers" in name]
        assert all(slope is not None and slope.abs().max() > 0 for slope in slopes)

    def test_trained_weights_are_not_reset(self):
        x = correlated_rows(3).float()
        model = presets.table_vae(data.load(x.numpy()).spec, latent=3, hidden=[8]).model
        model.initialise_from_data(x)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.initialise_from_data(2 * x + 1)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class TestColumns:
    @pytest.mark.parametrize("scale", ["per_element", "predicted"])
    def test_with_as_many_latents_the_bound_is_that_of_the_full_gaussian(self, scale):
        x = correlated_rows(4)
        x = (x - x.mean(0)) / x.std(0)
        model = columns_model(table_columns(4), 4, scale)
        model.initialise_from_data(x)
        assert (log_weights(model, x) - gaussian_log_prob(x)).abs().max() < 1e-9

    def test_with_fewer_latents_every_draw_has_the_density_of_the_factors(self):
        x = correlated_rows(5)
        x = (x - x.mean(0)) / x.std(0)
        model = columns_model(table_columns(5), 2)
        model.initialise_from_data(x)
        first, second = log_weights(model, x), log_weights(model, x)
        assert (first - second).abs().max() < 1e-9  # the posterior is exact

    def test_other_columns_start_at_their_marginals(self):
        generator = torch.Generator().manual_seed(0)
        numbers = correlated_rows(3)
        numbers = (numbers - numbers.mean(0)) / numbers.std(0)
        codes = torch.randint(0, 3, (N, 1), generator=generator).double()
        category = Column("c", "categorical", "categorical", levels=("a", "b", "c"))
        model = columns_model([category, *table_columns(3)], 3)
        x = torch.cat([codes, numbers], 1)
        model.initialise_from_data(x)
        counts = torch.bincount(codes[:, 0].long()).double() + 0.5
        expected = gaussian_log_prob(numbers) + (counts / counts.sum()).log()[codes[:, 0].long()]
        assert (log_weights(model, x) - expected).abs().max() < 1e-9

    def test_rows_with_holes_have_a_finite_start(self):
        x = correlated_rows(4)
        x = (x - x.mean(0)) / x.std(0)
        whole = gaussian_log_prob(x).mean()
        x[torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.2] = torch.nan
        model = columns_model(table_columns(4), 4)
        model.initialise_from_data(x)
        complete = ~x.isnan().any(1)
        # half the rows: within a tenth of a nat of the moments of all
        assert log_weights(model, x[complete]).mean() == pytest.approx(whole.item(), abs=0.3)
        assert log_weights(model, x).isfinite().all()


def test_networks_without_a_skip_keep_their_weights():
    x = correlated_rows(2).float()
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(2), 2),
        likelihoods.Normal(networks.MLP(2), (2,)),
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.initialise_from_data(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
