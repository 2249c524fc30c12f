"""A report holds the numbers that the metrics give, everything it needs, and nothing that a stranger put into a name."""

import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import aevb
from aevb import metrics, report
from aevb._persistence import load_saved_model
from aevb.data import Rows
from aevb.errors import DataError
from aevb.report._html import format_signed
from aevb.report._model_summary import best_epoch, format_component
from aevb.training._history import Epoch

EVIL = '<script>alert("1")</script>'


def run(folder, data, preset="vae", epochs=3, **options):
    """A short run on data, in a folder."""
    recipe = aevb.presets.preset(preset, data.spec, hidden=[32], **options)
    aevb.fit(recipe, data, epochs=epochs, out=folder, device="cpu", progress=False)
    return folder


@pytest.fixture(scope="module")
def digits():
    return aevb.data.load("digits")


@pytest.fixture(scope="module")
def reported(digits, tmp_path_factory):
    """The folder of a run on digits with two latent variables, and its page."""
    folder = run(tmp_path_factory.mktemp("runs") / "digits", digits, latent=2)
    return folder, report.write_report(folder, digits, samples=20).read_text()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A page about a table whose names are hostile."""
    rng = np.random.default_rng(0)
    data = aevb.data.load(
        rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)),
        labels=rng.integers(0, 2, size=200),
        name=EVIL,
    )
    spec = dataclasses.replace(
        data.spec, columns=("$a$", EVIL, "_c"), class_names=(EVIL, "$"), notes=(f"Read {EVIL}.",)
    )
    data = dataclasses.replace(data, spec=spec)
    folder = run(tmp_path_factory.mktemp("runs") / "table", data, latent=2)
    return report.write_report(folder, data, samples=5).read_text()


class Pictures(HTMLParser):
    """The tags of a page, its pictures and its anchors."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.sources, self.alts, self.anchors, self.links = set(), [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        given = dict(attrs)
        self.sources += [given[name] for name in ("src", "srcset") if name in given]
        self.alts += [given.get("alt")] if tag == "img" else []
        self.anchors += [given["id"]] if tag == "section" else []
        self.links += [given["href"]] if tag == "a" else []


def test_every_picture_is_embedded_and_decodes(reported):
    found = Pictures(reported[1])
    assert len(found.alts) == 10 and all(found.alts)
    for source in found.sources:
        picture = Image.open(
            io.BytesIO(
                base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
            )
        )
        picture.load()
        assert picture.format == "PNG"


def test_nothing_is_fetched_and_nothing_runs(reported, table):
    for page in (reported[1], table):
        found = Pictures(page)
        assert not re.search(r"https?:|@import|url\(", page)
        assert not found.tags & {"script", "link", "iframe", "object", "form"}
        assert all(link.startswith("#") and link[1:] in found.anchors for link in found.links)
        assert "default-src 'none'" in page and len(page) < 5_000_000


def test_names_from_the_data_are_text(table):
    assert EVIL not in table and "alert(1)" not in table
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in table


def test_the_numbers_are_those_of_the_metrics(reported, digits):
    folder, page = reported
    model = load_saved_model(folder).model
    weighed = metrics.log_likelihood(model, digits.test, samples=20)
    terms = weighed.rate_distortion
    bits = -weighed.mean / (64 * math.log(2))
    for mean, error in (
        (weighed.mean, weighed.standard_error),
        (terms.elbo.mean, terms.elbo.standard_error),
    ):
        assert f"<td>{format_signed(mean)} ± {error:.2f}</td>" in page
    assert f"<td>{format_signed(terms.rate.mean)} ± {terms.rate.standard_error:.2f}</td>" in page
    assert (
        f"<td>{format_signed(terms.distortion.mean)} ± {terms.distortion.standard_error:.2f}</td>"
        in page
    )
    assert f"<td>{weighed.effective_sample_size:,.1f} of 20</td>" in page
    assert f"<td>{bits:.4f} ± " in page and f"({bits:.3f} ± " in page
    assert f"<td>{metrics.active_units(model, digits.test).count} of 2</td>" in page


def test_a_report_names_the_bound_what_is_missing_and_who_made_it(reported):
    page = reported[1]
    assert "<td>not available on real data</td>" in page and "in expectation a lower bound" in page
    objective = "ELBO(samples=1, beta=1, free_bits=0, kl=auto"
    for words in (
        objective,
        "Pathwise()",
        "Adam",
        "float32",
        "1,437 train, 180 validation, 180 test",
    ):
        assert words in page
    assert re.search(r"quarter cycle per pixel is \d\.\d\d times", page)
    assert re.search(r"codes of held-out image \d+ \(2\) and image \d+ \(6\)", page)


def test_pictures_are_files_too_and_the_same_seed_gives_the_same_page(reported, digits, tmp_path):
    folder, page = reported
    names = {path.stem for path in (folder / "pictures").glob("*.png")}
    assert names >= {
        "reconstructions",
        "samples",
        "interpolation",
        "latent-map",
        "manifold",
        "kl",
        "bound",
    }
    again = report.write_report(
        load_saved_model(folder), digits, samples=20, out=tmp_path / "page.html"
    )
    assert again == tmp_path / "page.html" and again.read_text() == page
    assert str(tmp_path.parent) not in page


def test_the_random_streams_of_the_caller_are_left_alone(reported, digits, tmp_path):
    saved = load_saved_model(reported[0])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    report.write_report(saved, digits, samples=2, max_rows=20, out=tmp_path / "page.html")
    assert torch.equal(torch.rand(3), expected)


def test_an_autoencoder_has_a_reconstruction_log_likelihood_and_no_other(digits, tmp_path):
    folder = run(tmp_path / "ae", digits, "autoencoder", latent=3)
    page = report.write_report(folder, digits).read_text()
    value = metrics.rate_distortion(load_saved_model(folder).model, digits.test).distortion
    assert (
        f"the reconstruction log-likelihood is {format_signed(-value.mean)} ± {value.standard_error:.2f} nats per image"
        in page
    )
    assert "<td>not defined</td>" in page and "nan" not in re.sub(r"base64,[^\"]*", "", page)
    assert not {"samples", "manifold", "kl"} & set(Pictures(page).anchors)
    assert "bits per dimension" not in page and "effective sample size" not in page


def test_a_density_has_no_bits_and_a_table_has_its_own_pictures(table):
    assert "bits per dimension" not in table and "it may be positive" in table
    assert {"reconstructions", "samples", "interpolation", "latent-map", "manifold", "kl"} <= set(
        Pictures(table).anchors
    )
    assert "Correlations between columns" in table and "8 generated rows" in table


def test_what_does_not_apply_is_left_out_and_what_was_measured_is_said(digits, tmp_path):
    folder = run(tmp_path / "short", digits, epochs=1, latent=3)
    page = report.write_report(folder, digits, samples=3, max_rows=50).read_text()
    assert not {"manifold", "training"} & set(Pictures(page).anchors)
    assert "On 50 held-out images" in page and "50 test rows, evenly spread" in page
    assert "those with the largest KL of 3" in page


def test_binarisation_and_lower_precision_are_said(tmp_path):
    data = aevb.data.load("digits", binarise="dynamic")
    folder = run(tmp_path / "binary", data, epochs=1, latent=2)
    saved = load_saved_model(folder)
    half = dataclasses.replace(saved, training=saved.training | {"precision": "bfloat16"})
    page = report.write_report(half, data, samples=2).read_text()
    assert "Binarisation: dynamic." in page and "bfloat16 in the networks while training" in page


def test_data_of_another_kind_are_refused(reported, tmp_path):
    with pytest.raises(DataError, match="support='levels'"):
        report.write_report(
            reported[0], aevb.data.load("digits", binarise="fixed"), out=tmp_path / "page.html"
        )
    assert not list(tmp_path.iterdir())


def test_colour_images_of_one_row_are_no_error(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(40, 3, 16, 16), dtype=np.uint8)
    data = aevb.data.load(x, network="mlp")
    data = dataclasses.replace(data, test=Rows.from_array(x[:1]))
    folder = run(tmp_path / "colour", data, epochs=2, latent=2)
    page = report.write_report(folder, data, samples=2).read_text()
    assert "On 1 held-out image the" in page and "interpolation" not in Pictures(page).anchors


def test_parts_are_written_as_calls():
    record = {
        "class": "posteriors.Normal",
        "number": 1,
        "arguments": {"network": {"foreign": "mine.Net"}, "shift": [0.5] * 9},
    }
    assert (
        format_component(record)
        == "Normal(network=mine.Net (of the caller's own), shift=[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, … 9 in all])"
    )


def test_the_best_epoch_of_a_report_is_that_of_the_run():
    zeros = dict.fromkeys(
        (
            "step",
            "seconds",
            "bound",
            "log_likelihood",
            "kl",
            "target",
            "penalty",
            "learning_rate",
            "skipped",
        ),
        0,
    )
    values = enumerate((math.nan, -3.0, 0.0, -1.0), start=1)
    history = [
        Epoch(epoch=number, bound_name="ELBO", beta=None, validation=value, **zeros)
        for number, value in values
    ]
    best = best_epoch(history)
    assert best is not None
    assert best.epoch == 3
    assert best_epoch(history[:1]) is None
