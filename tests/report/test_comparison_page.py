"""The page of a comparison shows the numbers of its runs, their differences and pictures."""

from pathlib import Path

import pytest
import torch
from tests.report.test_write import PageParser, page_text

import aevb
from aevb import metrics
from aevb.metrics._comparison import ModelScores, compare_scores
from aevb.report._comparison_page import ComparisonEntry, ComparisonPage, write_comparison
from aevb.report._report_context import ReportContext

MARKUP = "<b>run</b>"


@pytest.fixture(scope="module")
def digits():
    return aevb.data.load("digits")


def make_entry(name, data, preset="vae", exclusion_reason=None):
    """An untrained run, named by a letter."""
    torch.manual_seed(ord(name))
    model = aevb.presets.preset(preset, data.spec, hidden=[8], latent=2).model.eval()
    rows = data.test.subset(slice(0, 40))
    report = ReportContext(
        model=model,
        spec=data.spec,
        rows=rows,
        evaluation=metrics.evaluate(model, rows, samples=5, spec=data.spec, strict=False),
        name=MARKUP,
    )
    return ComparisonEntry(
        name, name, f"seed {ord(name)}", "", report, Path(f"runs/{MARKUP}"), exclusion_reason
    )


@pytest.fixture(scope="module")
def entries(digits):
    reason = "is an autoencoder, which has no likelihood"
    return [
        make_entry("A", digits),
        make_entry("B", digits),
        make_entry("C", digits, "autoencoder", reason),
    ]


def make_page(entries):
    """The page of the entries that can be compared."""
    scores = [
        ModelScores.from_metrics(
            entry.name, entry.evaluation.rate_distortion, entry.evaluation.log_likelihood
        )
        for entry in entries
        if entry.exclusion_reason is None
    ]
    settings = [("seed", [str(ord(entry.name)) for entry in entries])]
    return ComparisonPage(
        "digits: runs", entries, compare_scores(scores), settings, "40 test rows."
    )


@pytest.fixture(scope="module")
def page(entries, tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "compare.html"
    return write_comparison(make_page(entries), target).read_text()


def test_sections_are_in_the_order_of_reading(page):
    assert PageParser(page).anchors == [
        "numbers",
        "differences",
        "reconstructions",
        "samples",
        "settings",
        "runs",
    ]


def test_every_number_has_a_column_and_missing_ones_a_dash(page, entries):
    text = page_text(page)
    for entry in entries[:2]:
        for number in entry.evaluation.table:
            if number.value is not None:
                assert f"<th scope='col'>{number.label}</th>" in text
    assert "upper bound" not in text
    reconstruction = entries[2].evaluation["reconstruction_log_likelihood"]
    row = text.split("<th scope='row'>C</th>")[2].split("</tr>")[0]
    assert row.count("<td>–</td>") >= 4 and f"{-reconstruction.value:.2f}" in row


def test_an_excluded_run_is_named_with_its_reason(page):
    assert "is not compared: it is an autoencoder" in page_text(page)


def test_names_of_folders_are_text(page):
    assert MARKUP not in page and "&lt;b&gt;run&lt;/b&gt;" in page


def test_every_run_has_its_pictures(page):
    alts = PageParser(page).alts
    assert "Held-out data and their reconstructions by C." in alts
    assert "Samples of A." in alts and "Samples of C." not in alts


def test_runs_that_cannot_be_compared_have_no_differences(entries, tmp_path):
    page = write_comparison(make_page([entries[0], entries[2]]), tmp_path / "page.html").read_text()
    assert "No two of these runs can be compared" in page
    assert "differences" in PageParser(page).anchors and "less the best" not in page
