"""Figures as PNG and SVG, and axes of the caller."""

import io

import torch
from PIL import Image

from aevb import plots


def test_an_svg_is_the_same_twice_and_has_the_colours_of_its_scheme():
    def draw(scheme="light"):
        return plots.svg(plots.rate_distortion([1.0], [2.0], latent=[3]), scheme)

    first, second, dark = draw(), draw(), draw("dark")
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
