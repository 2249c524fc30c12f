import pytest
import torch
from torch import nn

from aevb.networks import Whiten
from aevb.networks._whitening import MIN_VARIANCE, Whitening


def correlated_rows(rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64) @ mix


def fitted(x: torch.Tensor, constant: list[bool] | None = None) -> Whitening:
    whitening = Whitening([0.0] * x.shape[1], [1.0] * x.shape[1], constant).double()
    whitening.fit(x)
    return whitening


class TestWhitening:
    def test_whitened_rows_have_no_correlations(self):
        x = correlated_rows(200, 5)
        whitening = fitted(x)
        y = whitening(x)
        assert y.mean(0).abs().max() < 1e-12
        assert (y.T @ y / 200 - torch.eye(5)).abs().max() < 1e-10
        assert torch.allclose(y @ whitening.matrix.T + whitening.shift, x)
        assert torch.allclose(whitening.log_det, torch.linalg.slogdet(whitening.matrix)[1])
        assert not whitening.floored.any()

    def test_columns_that_depend_on_others_meet_the_floor(self):
        x = correlated_rows(200, 4)
        x[:, 3] = x[:, 0] - 2 * x[:, 2]
        whitening = fitted(x)
        assert whitening.floored.tolist() == [True, False, True, True]
        covariance = whitening.matrix @ whitening.matrix.T
        size = covariance.diagonal().sqrt()
        least = torch.linalg.eigvalsh(covariance / size / size[:, None])[0]
        assert least == pytest.approx(MIN_VARIANCE, rel=1e-3)

    @pytest.mark.parametrize("rows, columns", [(1, 1), (1, 3), (2, 3), (12, 30), (12, 1)])
    def test_few_rows_have_a_finite_map(self, rows, columns):
        x = correlated_rows(rows, columns)
        whitening = fitted(x)
        product = whitening.inverse @ whitening.matrix
        assert torch.allclose(product, torch.eye(columns).double(), atol=1e-8)
        assert whitening.log_det.isfinite()
        assert not whitening.floored.any()  # correlations are shrunk

    def test_constant_columns_are_left_out(self):
        x = correlated_rows(50, 3)
        x[:, 1] = 7.0
        whitening = Whitening([0.0, 7.0, 0.0], [1.0] * 3, [False, True, False]).double()
        whitening.fit(x)
        y = whitening(x)
        assert y.shape == (50, 2)
        assert torch.allclose(y @ whitening.matrix.T + whitening.shift, x)

    def test_missing_cells_have_their_mean_given_the_others(self):
        x = correlated_rows(400, 3)
        whitening = fitted(x)
        row = torch.tensor([[1.0, torch.nan, -2.0]]).double()
        known, open_ = [0, 2], 1
        covariance, mean = whitening.matrix @ whitening.matrix.T, whitening.shift
        slopes = torch.linalg.solve(covariance[known][:, known], covariance[known, open_])
        expected = mean[open_] + slopes @ (row[0, known] - mean[known])
        filled = whitening.fill(row)[0]
        assert filled[open_] == pytest.approx(expected.item(), rel=1e-9)
        assert filled[known].tolist() == row[0, known].tolist()

    def test_gaps_in_the_training_rows_are_left_out_of_moments(self):
        x = correlated_rows(2000, 3)
        whole, holes = fitted(x), x.clone()
        holes[:1000, 0] = torch.nan
        found = fitted(holes)
        whole_covariance, covariance = (w.matrix @ w.matrix.T for w in (whole, found))
        # five standard errors of a covariance of 1,000 rows
        bound = 5 * (2 / 1000) ** 0.5 * whole_covariance.diagonal().max()
        assert (covariance - whole_covariance).abs().max() < bound

    def test_the_map_is_learned_once(self):
        x = correlated_rows(100, 2)
        whitening = fitted(x)
        before = whitening.matrix.clone()
        whitening.fit(10 * x)
        assert torch.equal(whitening.matrix, before)


class TestWhiten:
    def test_the_map_stays_float32_where_networks_run_in_bfloat16(self):
        network = Whiten(nn.Identity(), [0.0, 0.0], [1.0, 1.0])
        x = correlated_rows(100, 2).float()
        network.initialise_from_data(x)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        assert y.dtype == torch.float32
        assert (y.T @ y / 100 - torch.eye(2)).abs().max() < 0.1
