"""The decoded latent plane."""

import numpy as np
import pytest
import torch
from tests.plots.axes import image_array, untrained_model

from aevb import plots
from aevb.errors import ArgumentError, IncompatibleError


def test_the_percentile_grid_is_the_inverse_distribution_function():
    grid = plots.percentile_grid(5)
    percentiles = torch.distributions.Normal(0.0, 1.0).cdf(grid)
    np.testing.assert_allclose(percentiles[0, :, 0], [0.1, 0.3, 0.5, 0.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(percentiles[:, 0, 1], [0.9, 0.7, 0.5, 0.3, 0.1], atol=1e-6)


def test_the_manifold_is_the_decoded_grid():
    model = untrained_model()
    picture = image_array(plots.manifold(model, 3, limits=(-1.0, 1.0)))
    expected = ((model.decode(plots.percentile_grid(3)) + 1) / 2).clamp(0, 1)
    np.testing.assert_allclose(picture[9:17, 18:26, 0], expected[1, 2], atol=1e-5)


def test_the_manifold_of_rows_is_a_map_for_each_column():
    model = untrained_model(event=(4,))
    host = plots.manifold(model, 6, list("abcd"))
    np.testing.assert_allclose(
        image_array(host.child_axes[2]), model.decode(plots.percentile_grid(6))[..., 2], atol=1e-6
    )


def test_the_manifold_needs_two_standard_normal_variables():
    with pytest.raises(IncompatibleError, match=r"priors\.Normal\(latent=2\)"):
        plots.manifold(untrained_model(latent=3))


def test_a_grid_of_no_points_is_refused():
    with pytest.raises(ArgumentError) as caught:
        plots.percentile_grid(0)
    assert (caught.value.argument, caught.value.value) == ("n", 0)
