"""A report contains the numbers of the metrics and its resources, and escapes foreign text."""

import base64
import dataclasses
import io
import math
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import aevb
from aevb import metrics, report
from aevb._persistence import load_saved_model
from aevb.data import Rows
from aevb.errors import DataError, RunError
from aevb.notes import Note
from aevb.report._html import format_signed

HOSTILE = '<script>alert("1")</script>'
HOSTILE_COLUMNS = ("$a$", HOSTILE, "_c\nd\u202ee", "' onerror='x")


def fit_run(folder, data, preset="vae", epochs=3, **options):
    """A short run on data, in a folder."""
    recipe = aevb.presets.preset(preset, data.spec, hidden=[32], **options)
    aevb.fit(recipe, data, epochs=epochs, out=folder, device="cpu", progress=False)
    return folder


@pytest.fixture(scope="module")
def digits():
    return aevb.data.load("digits")


@pytest.fixture(scope="module")
def digits_report(digits, tmp_path_factory):
    """The folder of a run on digits with two latent variables, and its page."""
    folder = fit_run(tmp_path_factory.mktemp("runs") / "digits", digits, latent=2)
    return folder, report.write_report(folder, digits, samples=20).read_text()


@pytest.fixture(scope="module")
def table_page(tmp_path_factory):
    """A page about a table with hostile names."""
    rng = np.random.default_rng(0)
    data = aevb.data.load(
        rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)),
        labels=rng.integers(0, 2, size=200),
        name=HOSTILE,
    )
    spec = dataclasses.replace(
        data.spec,
        columns=HOSTILE_COLUMNS,
        class_names=(HOSTILE, "$\u2067"),
        notes=(Note("read", f"Read {HOSTILE}."),),
    )
    data = dataclasses.replace(data, spec=spec)
    folder = fit_run(tmp_path_factory.mktemp("runs") / 'a "quoted" table', data, latent=2)
    return report.write_report(folder, data, samples=5).read_text()


class PageParser(HTMLParser):
    """The tags of a page, its pictures, sections and links."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.sources, self.alts = set(), [], []
        self.anchors, self.titles, self.links, self.attributes = [], [], [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attributes = dict(attrs)
        self.attributes |= attributes.keys()
        self.sources += [attributes[name] for name in ("src", "srcset") if name in attributes]
        self.alts += [attributes.get("alt")] if tag == "img" else []
        self.anchors += [attributes["id"]] if tag == "section" else []
        self.links += [attributes["href"]] if tag == "a" else []


def page_text(page):
    """The page without its pictures, with entities and non-breaking spaces replaced."""
    return unescape(re.sub(r"base64,[^\"]*", "", page)).replace("\u00a0", " ")


def with_error(mean, error, digits=2):
    """A mean as pages show it."""
    return f"{format_signed(mean, digits)} ± {error:.{digits}f}"


def test_every_picture_is_embedded_and_decodes(digits_report):
    parser = PageParser(digits_report[1])
    assert len(parser.alts) == 10 and all(parser.alts)
    for source in parser.sources:
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        picture = Image.open(io.BytesIO(data))
        picture.load()
        assert picture.format == "PNG"


def test_a_page_makes_no_request_and_runs_no_code(digits_report, table_page):
    for page in (digits_report[1], table_page):
        parser = PageParser(page)
        assert not re.search(r"https?:|@import|url\(", page)
        assert not parser.tags & {"script", "link", "iframe", "object", "form"}
        assert not any(name.startswith("on") for name in parser.attributes)
        assert all(link.startswith("#") and link[1:] in parser.anchors for link in parser.links)
        assert "default-src 'none'" in page and len(page) < 5_000_000


def test_sections_are_in_the_order_of_reading(digits_report, table_page):
    order = [
        "numbers",
        "reconstructions",
        "samples",
        "interpolation",
        "latent-map",
        "manifold",
        "kl",
        "diagnosis",
        "quality",
        "training",
        "data",
        "model",
    ]
    for page in (digits_report[1], table_page):
        assert PageParser(page).anchors == order


def test_markup_in_names_is_text(table_page):
    assert HOSTILE not in table_page and "alert(1)" not in table_page
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in table_page
    assert "&#x27; onerror=&#x27;x" in table_page


def test_line_breaks_and_directional_marks_in_names_are_visible(table_page):
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", table_page)
    assert r"_c\nd\u202ee" in table_page and r"$\u2067" in table_page


def test_the_code_of_a_run_loads_a_folder_with_quotes_in_its_name(table_page):
    assert "aevb.load('a \"quoted\" table')" in unescape(table_page)


def test_the_numbers_are_those_of_the_metrics(digits_report, digits):
    folder, page = digits_report
    model = load_saved_model(folder).model
    estimate = metrics.log_likelihood(model, digits.test, samples=20)
    terms = estimate.rate_distortion
    bits = -estimate.mean / (64 * math.log(2))
    for value in (estimate, terms.elbo, terms.rate, terms.distortion):
        assert f"<td>{with_error(value.mean, value.standard_error)}</td>" in page
    assert f"<td>{estimate.effective_sample_size:,.1f} of 20</td>" in page
    assert f"<td>{bits:.4f} ± " in page and f"({bits:.3f} ± " in page_text(page)
    assert f"<td>{metrics.active_units(model, digits.test).count} of 2</td>" in page


def test_every_number_of_an_evaluation_has_its_row_and_its_meaning(digits_report, digits):
    folder, page = digits_report
    model = load_saved_model(folder).model
    evaluation = metrics.evaluate(model, digits, samples=20)
    for number in evaluation.table:
        assert f"<th scope='row'>{number.label}</th>" in page
        assert number.meaning[:40] in page_text(page)


def test_a_report_shows_missing_numbers_and_the_parts_of_the_model(digits_report):
    page = page_text(digits_report[1])
    assert "not available" in page and "in expectation a lower bound" in page
    for words in (
        "ELBO(samples=1, beta=1, free_bits=0, kl=auto",
        "Pathwise()",
        "Adam",
        "float32",
        "1,437 train, 180 validation, 180 test",
    ):
        assert words in page
    assert re.search(r"quarter cycle per pixel is \d\.\d\d times", page)
    assert re.search(r"held-out image \d+ \(2\) and image \d+ \(6\)", page)


def test_pictures_are_files_and_the_same_seed_gives_the_same_page(digits_report, digits, tmp_path):
    folder, page = digits_report
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


def test_the_random_state_of_the_caller_does_not_change(digits_report, digits, tmp_path):
    saved = load_saved_model(digits_report[0])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    report.write_report(saved, digits, samples=2, max_rows=20, out=tmp_path / "page.html")
    assert torch.equal(torch.rand(3), expected)


def test_rows_without_a_dataset_are_compared_with_no_training_rows(digits_report, digits, tmp_path):
    rows = digits.train.subset(slice(0, 30))
    page = report.write_report(digits_report[0], rows, samples=2, out=tmp_path / "page.html")
    text = page_text(page.read_text())
    assert "On 30 held-out images" in text and "30 rows of other data" in text
    assert "PSNR" in text and "Fréchet" not in text
    assert "rows that are training rows" not in text


def test_an_autoencoder_has_a_reconstruction_log_likelihood_alone(digits, tmp_path):
    folder = fit_run(tmp_path / "ae", digits, "autoencoder", latent=3)
    page = report.write_report(folder, digits).read_text()
    value = metrics.rate_distortion(load_saved_model(folder).model, digits.test).distortion
    expected = with_error(-value.mean, value.standard_error)
    text = page_text(page)
    assert f"the reconstruction log-likelihood is {expected} nats per image" in text
    assert "nan" not in text and "no likelihood of the data" in text
    assert not {"samples", "manifold", "kl"} & set(PageParser(page).anchors)
    assert "bits per dimension" not in page and "effective sample" not in page


def test_a_density_has_no_bits_and_a_table_has_its_own_pictures(table_page):
    assert "bits per dimension" not in table_page and "may be positive" in table_page
    assert "Correlations between columns" in table_page and "8 generated rows" in table_page


def test_inapplicable_sections_are_left_out_and_the_evaluated_rows_are_named(digits, tmp_path):
    folder = fit_run(tmp_path / "short", digits, epochs=1, latent=3)
    page = report.write_report(folder, digits, samples=3, max_rows=50).read_text()
    assert not {"manifold", "training"} & set(PageParser(page).anchors)
    assert "On 50 held-out images" in page and "50 test rows, evenly spaced" in page
    assert "those with the largest KL of 3" in page


def test_binarisation_and_lower_precision_are_reported(tmp_path):
    data = aevb.data.load("digits", binarise="dynamic")
    folder = fit_run(tmp_path / "binary", data, epochs=1, latent=2)
    saved = load_saved_model(folder)
    half = dataclasses.replace(saved, training=saved.training | {"precision": "bfloat16"})
    page = report.write_report(half, data, samples=2).read_text()
    assert "Binarisation: dynamic." in page and "bfloat16 in the networks during training" in page


def test_data_of_another_kind_are_refused(digits_report, tmp_path):
    with pytest.raises(DataError, match="support='levels'") as caught:
        report.write_report(
            digits_report[0], aevb.data.load("digits", binarise="fixed"), out=tmp_path / "page.html"
        )
    assert caught.value.argument == "data" and not list(tmp_path.iterdir())


def test_a_single_colour_image_is_reported(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(40, 3, 16, 16), dtype=np.uint8)
    data = aevb.data.load(x, network="mlp")
    data = dataclasses.replace(data, test=Rows.from_array(x[:1]))
    folder = fit_run(tmp_path / "colour", data, epochs=2, latent=2)
    page = report.write_report(folder, data, samples=2).read_text()
    assert "On 1 held-out image the" in page and "interpolation" not in PageParser(page).anchors


def test_pictures_are_not_written_through_a_link(digits, digits_report, tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(digits_report[0], run)
    shutil.rmtree(run / "pictures")
    elsewhere.mkdir()
    (run / "pictures").symlink_to(elsewhere)
    with pytest.raises(RunError):
        report.write_report(run, digits, samples=2)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("shape", [(30, 9, 2), (30, 3, 2, 8, 8)])
def test_series_and_videos_have_pictures_of_their_own(tmp_path, shape):
    x = np.random.default_rng(0).normal(size=shape)
    if len(shape) == 3:
        x[::2, 5:] = np.nan
    data = aevb.data.load(x)
    folder = fit_run(tmp_path / "run", data, epochs=1, latent=3)
    page = report.write_report(folder, data, samples=2).read_text()
    anchors = set(re.findall(r'id="([a-z-]+)"', page))
    assert {"reconstructions", "samples", "interpolation"} <= anchors
    assert "correlations" not in page
