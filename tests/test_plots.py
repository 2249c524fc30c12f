"""Pictures hold what they say: the numbers behind them are read back from the axes."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import aevb
from aevb import likelihoods, networks, plots, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import interpolate
from aevb.plots._tiles import tile_images
from aevb.training._history import Epoch


def small(latent=2, event=(8, 8), posterior=posteriors.Normal):
    """An untrained model of images or rows."""
    torch.manual_seed(0)
    size = math.prod(event)
    likelihood = likelihoods.Normal(networks.MLP(latent, [16]), list(event))
    return aevb.VAE(
        priors.Normal(latent), posterior(networks.MLP(size, [16]), latent), likelihood
    ).eval()


def sheet(ax):
    """The picture on axes, [height, width, 4]."""
    return np.asarray(ax.get_images()[0].get_array())


def epoch(number, **values):
    given = {
        "epoch": number, "step": number, "seconds": 1.0, "bound": -5.0 + number, "bound_name": "IWAE-5", "log_likelihood": -4.0, "kl": 1.0,
        "target": -5.0, "penalty": 0.0, "learning_rate": 1e-3, "beta": None, "skipped": 0, "validation": -6.0,
        "validation_log_likelihood": -4.5, "validation_kl": 1.5,
    }  # fmt: skip
    return Epoch(**(given | values))


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 1, 4, 6), (5, 3, 4, 6)])
def test_tiles_hold_every_image_at_its_place(shape):
    x = torch.rand(shape)
    made = tile_images(x, 2, (0.0, 1.0))
    assert made.shape == (3 * 5 - 1, 2 * 7 - 1, 4)
    third = made[5:9, 0:6]  # the third image: second row, first place
    grey = x[2].expand(3, 4, 6) if x.ndim == 3 or shape[1] == 1 else x[2]
    np.testing.assert_allclose(third[..., :3], grey.permute(1, 2, 0).numpy(), atol=1e-6)
    assert (made[4, :, 3] == 0).all() and (
        made[10:, 7:, 3] == 0
    ).all()  # gaps and the missing sixth image are transparent


def test_limits_are_black_and_white_and_beyond_is_clipped():
    made = tile_images(torch.tensor([[[-1.0, 0.0, 5.0, 10.0, 20.0]]]), 1, (0.0, 10.0))
    np.testing.assert_allclose(made[0, :, 0], [0, 0, 0.5, 1, 1])


def test_images_refuse_what_is_no_batch_of_images():
    with pytest.raises(ArgumentError, match=r"x\[None\]"):
        plots.images(torch.rand(8, 8))


def test_originals_are_above_their_reconstructions():
    x, y = torch.rand(20, 8, 8), torch.rand(20, 8, 8)
    made = sheet(plots.reconstructions(x, y, limits=(0.0, 1.0)))
    np.testing.assert_allclose(made[0:8, 9:17, 0], x[1], atol=1e-6)
    np.testing.assert_allclose(made[9:17, 9:17, 0], y[1], atol=1e-6)
    np.testing.assert_allclose(
        made[21:29, 0:8, 0], x[10], atol=1e-6
    )  # 4 transparent rows below the first pair
    np.testing.assert_allclose(made[30:38, 0:8, 0], y[10], atol=1e-6)


def test_no_image_of_an_incomplete_row_is_dropped():
    x = torch.rand(13, 8, 8)
    made = sheet(plots.reconstructions(x, x))
    assert (
        made.shape[0] == 38
        and (made[30:38, 18:26, 3] == 1).all()
        and (made[30:38, 27:, 3] == 0).all()
    )


def test_reconstructions_of_rows_are_scattered_against_originals():
    x, y = torch.randn(30, 3), torch.randn(30, 3)
    host = plots.reconstructions(x, y, ["a", "b", "c"])
    assert [part.get_title() for part in host.child_axes] == ["a", "b", "c"]
    np.testing.assert_allclose(
        host.child_axes[1].collections[0].get_offsets(),
        torch.stack([x[:, 1], y[:, 1]], 1),
        atol=1e-6,
    )


def test_blurring_loses_high_frequencies_and_noise_adds_them():
    x = torch.rand(16, 28, 28, generator=torch.Generator().manual_seed(0))
    blurred = nn.functional.avg_pool2d(x[:, None], 3, 1, 1)[:, 0]
    assert plots.high_frequency_ratio(x, x) == pytest.approx(1)
    assert plots.high_frequency_ratio(x, blurred) < 0.2
    assert plots.high_frequency_ratio(x, x + torch.rand(x.shape)) > 1.5
    assert math.isnan(plots.high_frequency_ratio(torch.ones(2, 8, 8), x[:2, :8, :8]))


def test_high_frequency_ratio_of_pure_waves():
    place = torch.arange(16, dtype=torch.float64)
    slow, fast = torch.cos(2 * torch.pi * place * 2 / 16), torch.cos(2 * torch.pi * place * 6 / 16)
    wave = (slow + fast).expand(1, 16, 16)
    assert plots.high_frequency_ratio(
        wave, (7 * slow + fast / 2).expand(1, 16, 16)
    ) == pytest.approx(0.25)


def test_the_percentile_grid_is_the_inverse_distribution_function():
    grid = plots.percentile_grid(5)
    percentiles = torch.distributions.Normal(0.0, 1.0).cdf(grid)
    np.testing.assert_allclose(percentiles[0, :, 0], [0.1, 0.3, 0.5, 0.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(percentiles[:, 0, 1], [0.9, 0.7, 0.5, 0.3, 0.1], atol=1e-6)


def test_the_manifold_is_the_grid_decoded():
    model = small()
    made = sheet(plots.manifold(model, 3, limits=(-1.0, 1.0)))
    expected = ((model.decode(plots.percentile_grid(3)) + 1) / 2).clamp(0, 1)
    np.testing.assert_allclose(made[9:17, 18:26, 0], expected[1, 2], atol=1e-5)


def test_the_manifold_of_rows_is_a_map_for_each_column():
    model = small(event=(4,))
    host = plots.manifold(model, 6, list("abcd"))
    np.testing.assert_allclose(
        sheet(host.child_axes[2]), model.decode(plots.percentile_grid(6))[..., 2], atol=1e-6
    )


def test_the_manifold_needs_two_standard_normal_variables():
    with pytest.raises(IncompatibleError, match=r"priors.Normal\(2\)"):
        plots.manifold(small(latent=3))


def test_the_ends_of_an_interpolation_are_the_reconstructions():
    model, x = small(), torch.rand(2, 8, 8)
    made = sheet(plots.interpolation(interpolate(model, x[0], x[1], 5), limits=(-1.0, 1.0)))
    ends = ((model.reconstruct(x) + 1) / 2).clamp(0, 1)
    np.testing.assert_allclose(made[:, :8, 0], ends[0], atol=1e-5)
    np.testing.assert_allclose(made[:, -8:, 0], ends[1], atol=1e-5)


def test_a_map_shows_every_code_and_names_every_class():
    codes, labels = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    ax = plots.latent_map(codes, labels, ["cat", "dog", "$ox$"], prior_contours=True)
    assert sum(len(points.get_offsets()) for points in ax.collections) == 60
    assert {text.get_text() for text in ax.texts} == {
        "cat",
        "dog",
        r"\$ox\$",
        "50% of prior",
        "95% of prior",
    }


def test_of_many_classes_the_ten_largest_are_coloured():
    labels = np.repeat(np.arange(12), np.arange(20, 8, -1))
    ax = plots.latent_map(np.random.default_rng(0).normal(size=(len(labels), 2)), labels)
    assert len(ax.collections[0].get_offsets()) == 10 + 9  # the rest, in grey
    assert [text.get_text() for text in ax.texts] == [str(label) for label in range(10)]


def test_a_plane_says_what_it_shows():
    codes = np.random.default_rng(0).normal(size=(50, 4)) * [1, 3, 1, 2]
    by_kl = plots.project_latents(codes, kl=torch.tensor([0.1, 0.2, 3.0, 1.0]))
    np.testing.assert_array_equal(by_kl.points, codes[:, [2, 3]])
    projected = plots.project_latents(codes)
    assert not projected.is_axis_aligned and "principal components of 4" in projected.description
    np.testing.assert_allclose(np.cov(projected.points.T)[0, 1], 0, atol=1e-10)
    assert plots.project_latents(codes[:, :1]).points.shape == (50, 2)


def test_bars_are_sorted_and_idle_ones_are_grey():
    ax = plots.kl_per_dimension(torch.tensor([0.5, 0.0, 2.0]), torch.tensor([True, False, True]))
    assert [bar.get_height() for bar in ax.patches] == [2.0, 0.5, 0.0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["2", "0", "1"]
    assert ax.patches[2].get_facecolor() != ax.patches[0].get_facecolor()


def test_curves_name_the_training_bound_and_the_validation_bound():
    ax = plots.training_curves([epoch(i) for i in range(1, 4)], ["bound"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "training: IWAE-5",
        "validation: ELBO",
    ]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [-4, -3, -2])
    assert len(plots.training_curves([epoch(1), epoch(2)]).child_axes) == 3
    loose = plots.training_curves(
        [epoch(i, bound_name="Renyi(-1)-3", bound_kind="neither") for i in (1, 2)], ["bound"]
    )
    assert loose.get_legend().get_texts()[0].get_text() == "training: Renyi(-1)-3, no bound"


def test_an_autoencoder_has_one_curve_under_its_name():
    name = "reconstruction log-likelihood"
    history = [
        epoch(i, kl=None, validation_kl=None, bound_name=name, validation_name=name)
        for i in range(1, 4)
    ]
    ax = plots.training_curves(history)
    assert ax.get_title() == name
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]


def test_histograms_cover_data_and_samples():
    rng = np.random.default_rng(0)
    whole = rng.integers(3, 6, size=(200, 1)).astype(float)
    host = plots.marginals(whole, rng.normal(4, 1, size=(200, 1)), ["$a$ < b"])
    bars = host.child_axes[0].patches[:-1]
    assert all(bar.get_width() == 1 for bar in bars) and sum(
        bar.get_height() for bar in bars
    ) == pytest.approx(1)


def test_correlations_are_those_of_the_rows():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3))
    x[:, 2] = 1.0  # constant: undefined, and no error
    left, right = plots.correlations(x, y).child_axes
    np.testing.assert_allclose(sheet(left)[0, 1], np.corrcoef(x[:, 0], x[:, 1])[0, 1])
    np.testing.assert_allclose(sheet(right), np.corrcoef(y.T))
    assert np.ma.masked_invalid(sheet(left))[0, 2] is np.ma.masked


def test_too_few_names_are_refused():
    with pytest.raises(ArgumentError, match="3 columns"):
        plots.marginals(np.zeros((4, 3)), np.zeros((4, 3)), ["a"])


def bounds(ax):
    """The lines of one ELBO, each as its points [2, 2]: thin ones, behind everything."""
    return [line.get_xydata() for line in ax.lines if line.get_zorder() == 1]


def test_runs_are_points_and_their_means_are_joined_in_the_order_of_beta():
    rate, distortion = [5.0, 5.2, 2.0, 2.4, 9.0], [40.0, 40.4, 44.0, 44.2, 37.0]
    ax = plots.rate_distortion(rate, distortion, latent=[2, 2, 2, 2, 8], beta=[0.5, 0.5, 4, 4, 1])
    small, large = (
        [points.get_offsets() for points in ax.collections],
        [line.get_xydata() for line in ax.lines if line.get_zorder() > 1],
    )
    np.testing.assert_allclose(np.concatenate(small), np.stack([rate, distortion], 1))
    np.testing.assert_allclose(large[0], [[5.1, 40.2], [2.2, 44.1]])
    np.testing.assert_allclose(large[1], [[9.0, 37.0]])
    assert [text.get_text() for text in ax.texts if "β" in text.get_text()] == [
        "β 0.5",
        "β 4",
        "β 1",
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["latent 2", "latent 8"]


def test_along_a_line_the_elbo_is_the_one_written_there():
    ax = plots.rate_distortion([2.0, 7.0, 3.0], [90.0, 80.0, 86.0], latent=[1, 2, 4])
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    lines = {-round(float(line.sum(1)[0]), 6): line for line in bounds(ax)}
    named = {float(text.get_text().split()[1].replace("−", "-")) for text in ax.texts}
    assert len(lines) >= 3 and named and named <= lines.keys()
    for bound, line in lines.items():
        np.testing.assert_allclose(
            line.sum(1), -bound
        )  # rate + distortion is the same at both ends
        edges = np.isclose(line, [left, low]) | np.isclose(line, [right, high])
        assert edges.any(1).all()  # and these are at the border of the window
    assert left < 2 and right > 7 and low < 80 and high > 90


def test_learning_rates_differ_in_their_marker():
    ax = plots.rate_distortion([1.0, 2.0], [5.0, 4.0], latent=[2, 2], learning_rate=[1e-3, 3e-3])
    assert [line.get_marker() for line in ax.lines if line.get_zorder() > 1] == ["o", "s"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "latent 2",
        "learning rate 0.001",
        "learning rate 0.003",
    ]
    assert not [text for text in ax.texts if "β" in text.get_text()]


def test_many_latent_sizes_have_a_colour_each():
    ax = plots.rate_distortion(np.arange(30.0), -np.arange(30.0), latent=np.arange(30))
    colours = [line.get_color() for line in ax.lines if line.get_zorder() > 1]
    assert len(set(colours)) == 30


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"rate": [], "distortion": [], "latent": []}, "at least one run"),
        (
            {"rate": [1.0, 2.0], "distortion": [1.0], "latent": [1, 2]},
            "`distortion` has 1 numbers and `rate` has 2",
        ),
        (
            {"rate": [1.0], "distortion": [1.0], "latent": [1], "beta": [1, 2]},
            "`beta` has 2 numbers",
        ),
        ({"rate": [math.nan], "distortion": [1.0], "latent": [1]}, "`rate` holds nan"),
    ],
)
def test_rate_and_distortion_that_make_no_picture_are_refused(given, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        plots.rate_distortion(**given)


def test_an_svg_is_the_same_twice_and_has_the_ink_of_its_scheme():
    def drawn(scheme="light"):
        return plots.svg(plots.rate_distortion([1.0], [2.0], latent=[3]), scheme)

    first, second, dark = drawn(), drawn(), drawn("dark")
    assert first == second and b"<svg" in first
    assert b"#1d2126" in first and b"#1d2126" not in dark and b"#e6e8ea" in dark


def test_a_picture_is_a_png_in_either_scheme_and_of_bounded_size():
    ax = plots.images(torch.rand(4, 3, 700, 700), n_columns=2)
    picture = Image.open(io.BytesIO(plots.png(ax)))
    assert picture.format == "PNG" and picture.size == (960, 960)
    chart = plots.kl_per_dimension([1.0, 2.0])
    dark, light = (
        Image.open(io.BytesIO(plots.png(chart, scheme))).convert("RGBA")
        for scheme in ("dark", "light")
    )
    assert dark.getpixel((0, 0))[3] == 0 and light.getpixel((0, 0)) == (255, 255, 255, 255)


def test_axes_of_the_caller_are_drawn_on_and_no_global_state_is_touched():
    import matplotlib
    from matplotlib.figure import Figure

    before = dict(matplotlib.rcParams)
    ax = Figure().add_subplot()
    assert plots.kl_per_dimension([1.0], ax=ax) is ax
    assert plots.images(torch.rand(2, 4, 4), ax=ax) is ax
    assert plots.marginals(torch.rand(9, 2), torch.rand(9, 2), ax=ax) is ax
    assert plots.rate_distortion([1.0], [2.0], [3], ax=ax) is ax
    plots.png(ax)
    plots.svg(ax)
    assert dict(matplotlib.rcParams) == before
