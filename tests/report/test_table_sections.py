"""A report on a table of mixed columns shows legal values, and the numbers of its quality."""

import re
from html import unescape

import numpy as np
import polars
import pytest

import aevb
from aevb._persistence import load_saved_model
from aevb.report._model_summary import format_component
from aevb.report._report_context import build_report_context
from aevb.report._table_sections import (
    decoded_texts,
    draw_cells,
    legal_cells,
    privacy_section,
    table_samples_section,
    unlikely_rows_section,
)
from aevb.report._write import render_report

HOSTILE = "<b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "mixed"


@pytest.fixture(scope="module")
def context(folder):
    """The context of a report on a table with numbers, names, dates and holes."""
    rng = np.random.default_rng(0)
    n = 240
    sex = rng.integers(0, 2, n)
    frame = polars.DataFrame(
        {
            HOSTILE: np.round(rng.normal(size=n) + 3 * sex, 3),
            "sex": [HOSTILE if each else "$m$" for each in sex],
            "visits": rng.poisson(3.0, n),
            "day": polars.Series(rng.integers(19000, 19400, n).astype(np.int32)).cast(polars.Date),
            "price": np.round(np.exp(rng.normal(size=n)), 4),
        }
    ).with_columns(polars.when(polars.col("visits") > 5).then(None).otherwise("visits"))
    frame[7, HOSTILE] = 60.0
    data = aevb.data.load(frame, name="mixed")
    recipe = aevb.presets.preset("table_vae", data.spec, hidden=[32], latent=2)
    aevb.fit(recipe, data, epochs=5, out=folder, device="cpu", progress=False)
    saved = load_saved_model(folder)
    return build_report_context(saved, data, 20, 0, None, None, None, None)


@pytest.fixture(scope="module")
def page(context):
    return render_report(context)


def text_of(section):
    return unescape(re.sub(r"base64,[^\"]*", "", str(section))).replace("\u00a0", " ")


def test_the_page_has_the_sections_of_a_table_and_escapes_names(context, page):
    anchors = re.findall(r'<section id="([^"]+)"', page)
    wanted = ["samples", "associations", "unlikely", "privacy", "calibration", "schema"]
    assert [each for each in anchors if each in wanted] == wanted
    assert "manifold" not in anchors
    assert f"<th scope='row'>{HOSTILE}" not in page and "<b><" not in page
    assert {"samples", "associations", "reconstructions"} <= context.figures.png_by_name.keys()


def test_the_numbers_are_those_of_the_quality(context):
    quality = context.quality
    text = text_of(table_samples_section(context))
    for column in quality.generated.marginals.columns:
        assert f"{column.distance:.3f}" in text
    privacy, records = text_of(privacy_section(context)), quality.closest_records
    for number in (f"{records.synthetic.median:.4f}", str(records.copies), str(records.duplicates)):
        assert number in privacy


def test_generated_rows_have_legal_values(context):
    schema = context.spec.schema
    draws = draw_cells(context, 200)
    assert (legal_cells(schema, draws, 0) == draws).all()
    values = decoded_texts(schema, draws)
    assert set(values["sex"]) <= {HOSTILE, "$m$"}
    assert all(re.fullmatch(r"\d+", each) for each in values["visits"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", each) for each in values["day"])


def test_the_least_likely_rows_come_with_their_reason(context):
    text = text_of(unlikely_rows_section(context))
    scores = context.evaluation.log_likelihood.per_datum
    worst = int(scores.argmin())
    assert f"row {worst}" in text and f"{scores.min().item():,.1f}".replace("-", "−") in text


def test_other_rows_have_no_comparison_with_training_rows(context, folder):
    saved = load_saved_model(folder)
    other = build_report_context(saved, context.rows, 10, 0, 20, None, None, None)
    assert other.quality.generated is None and other.quality.hidden_cells is not None
    assert privacy_section(other) is None and "Distances" not in text_of(
        table_samples_section(other)
    )


def test_columns_of_a_model_are_counted():
    column = {"class": "networks.Column", "arguments": {"name": "a", "kind": "binary"}}
    record = {"class": "networks.Columns", "arguments": {"columns": [column, column]}}
    assert format_component(record) == "Columns(columns=[2 columns])"
