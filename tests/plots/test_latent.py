"""Maps of latent variables."""

import numpy as np
import pytest
import torch

from aevb import plots
from aevb.errors import ArgumentError


def test_a_map_shows_every_point_and_names_every_class():
    z, labels = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    ax = plots.latent_map(z, labels, ["cat", "dog", "$ox$"], prior_contours=True)
    assert sum(len(points.get_offsets()) for points in ax.collections) == 60
    assert {text.get_text() for text in ax.texts} == {
        "cat",
        "dog",
        r"\$ox\$",
        "50% of prior",
        "95% of prior",
    }


def test_the_ten_largest_of_many_classes_are_coloured():
    labels = np.repeat(np.arange(12), np.arange(20, 8, -1))
    ax = plots.latent_map(np.random.default_rng(0).normal(size=(len(labels), 2)), labels)
    assert len(ax.collections[0].get_offsets()) == 10 + 9  # the other classes, in grey
    assert [text.get_text() for text in ax.texts] == [str(label) for label in range(10)]


def test_a_projection_describes_itself():
    z = np.random.default_rng(0).normal(size=(50, 4)) * [1, 3, 1, 2]
    by_kl = plots.project_latents(z, kl=torch.tensor([0.1, 0.2, 3.0, 1.0]))
    np.testing.assert_array_equal(by_kl.points, z[:, [2, 3]])
    projected = plots.project_latents(z)
    assert not projected.is_axis_aligned and "principal components of 4" in projected.description
    np.testing.assert_allclose(np.cov(projected.points.T)[0, 1], 0, atol=1e-10)
    assert plots.project_latents(z[:, :1]).points.shape == (50, 2)


def test_points_of_three_dimensions_are_refused():
    with pytest.raises(ArgumentError) as caught:
        plots.latent_map(np.zeros((4, 3)))
    assert caught.value.argument == "z" and "project_latents" in caught.value.suggestions[0]
