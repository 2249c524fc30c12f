"""Evaluations collect the numbers of all registered metrics."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from aevb import VAE, inference, likelihoods, metrics, networks, posteriors, presets, priors
from aevb._registry import _REGISTER, register
from aevb.data import Rows, load
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import AISOptions
from aevb.metrics import (
    EvaluationContext,
    EvaluationOptions,
    MetricRegistration,
    Number,
    evaluate,
    evaluate_bound,
    fit_baselines,
    rate_distortion,
)
from aevb.metrics import _evaluation as evaluation
from aevb.metrics._rate_distortion import elbo_samples


def bernoulli(posterior=posteriors.Normal) -> VAE:
    torch.manual_seed(0)
    return VAE(
        priors.Normal(2),
        posterior(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    )


def bits(rows: int) -> torch.Tensor:
    return (torch.rand(rows, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()


# draws


def test_bounds_have_eight_draws_per_row_up_to_a_thousand_rows_and_one_above():
    assert [elbo_samples(rows) for rows in (1, 999, 1000, 1001, 10**6)] == [8, 8, 8, 1, 1]


@pytest.mark.parametrize("rows, draws", [(40, 8), (1000, 8), (1001, 1)])
def test_bound_uses_the_resolved_number_of_draws(rows, draws):
    model, x = bernoulli(), bits(rows)
    number = evaluate_bound(model, x, seed=3)["elbo"]
    values = {
        samples: rate_distortion(model, x, samples=samples, seed=3).elbo for samples in (1, 2, 8)
    }
    assert number.estimate == values[draws]
    assert all(number.estimate != value for samples, value in values.items() if samples != draws)


def test_terms_that_share_no_draws_with_the_estimate_have_eight_of_their_own():
    model, x = bernoulli(), bits(30)
    terms = evaluate(model, x, defensive=0.1, seed=3).rate_distortion
    assert terms == rate_distortion(model, x, samples=8, seed=3)
    assert terms != rate_distortion(model, x, samples=4, seed=3)


# numbers


def test_evaluation_agrees_with_each_metric():
    model, x = bernoulli(), bits(50)
    result = evaluate(model, x, samples=20, seed=5)
    estimate = metrics.log_likelihood(model, x, 20, seed=5)
    terms = estimate.rate_distortion
    assert result["log_likelihood"].estimate == estimate.value
    assert result["lower_bound"].estimate == result["elbo"].estimate == estimate.lower_bound
    assert (result["rate"].estimate, result["distortion"].estimate) == (
        terms.rate,
        terms.distortion,
    )
    assert result["active_units"].value == metrics.active_units(model, x).count
    assert result.n == 50 and result["log_likelihood"].unit == "nats per row"
    assert torch.equal(result.log_likelihood.per_datum, estimate.per_datum)


def test_the_record_is_json_with_nested_keys():
    result = evaluate(bernoulli(), bits(50), samples=20)
    record = json.loads(json.dumps(result.to_dict()))
    assert record["n"] == 50 and set(record) == {
        "n",
        "log_likelihood",
        "lower_bound",
        "upper_bound",
        "baselines",
        "bits_per_dimension",
        "elbo",
        "rate",
        "distortion",
        "active_units",
        "bracket",
        "binarisation",
    }
    assert set(record["log_likelihood"]) == {
        "mean",
        "standard_error",
        "method",
        "samples",
        "curve",
        "zero_density_rows",
        "effective_sample_size",
        "acceptance_rate",
        "pareto_k",
    }
    assert record["elbo"] == {
        "mean": result["elbo"].value,
        "standard_error": result["elbo"].standard_error,
    }
    assert record["upper_bound"] is None and record["bracket"] is None
    with pytest.raises(KeyError):
        result["perplexity"]


def test_tables_contain_the_numbers_in_order():
    result = evaluate(bernoulli(), bits(50), samples=20)
    labels = [number.label for number in result.table]
    assert labels[0] == "log-likelihood" and labels[-1] == "active units"
    assert labels.index("upper bound") < labels.index("ELBO") < labels.index("rate")
    assert all(number.meaning.endswith(".") for number in result.table)
    lines = str(result).splitlines()
    assert len(lines) == len(labels) and lines[0].startswith("log-likelihood")


def test_discrete_data_have_bits_per_dimension_and_a_measure():
    data = load("digits")
    torch.manual_seed(0)
    result = evaluate(presets.vae(data.spec, latent=2, hidden=[8]).model, data)
    nats, number = result["log_likelihood"], result["bits_per_dimension"]
    assert result.n == len(data.test) and nats.unit == "nats per image"
    assert number.value == pytest.approx(-nats.value / (64 * math.log(2)), rel=1e-12)
    assert nats.measure == "probability" and number.unit == "bits per value"


def test_an_autoencoder_has_a_reconstruction_and_no_likelihood():
    result = evaluate(bernoulli(posteriors.Dirac), bits(30))
    assert [number.key for number in result.table] == ["reconstruction_log_likelihood"]
    record = result.to_dict()
    assert [record[key] for key in ("elbo", "log_likelihood", "rate", "active_units")] == [None] * 4
    assert not result.has_elbo
    assert record["distortion"]["mean"] == -record["reconstruction_log_likelihood"]["mean"]
    with pytest.raises(IncompatibleError, match="finding log p"):
        evaluate(bernoulli(posteriors.Dirac), bits(30), samples=50)
    assert evaluate(bernoulli(posteriors.Dirac), bits(30), samples=50, strict=False).n == 30


def test_binary_data_say_how_they_became_binary():
    data = load((torch.arange(384).reshape(64, 6) % 17).byte(), binarise="dynamic")
    result = evaluate(bernoulli(), data)
    (note,) = (note for note in result.notes if note.code == "binarisation")
    assert note.data == {"binarisation": "dynamic"}
    assert result.to_dict()["binarisation"] == "dynamic"


def test_impossible_rows_are_noted():
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Normal(networks.MLP(2, [8]), (6,), scale=1.0),
    )
    x = torch.zeros(5, 6)
    x[3] = 1e22
    (note,) = evaluate(model, x, samples=30).notes
    assert (note.code, note.level, note.data) == ("zero_density_rows", "warning", {"rows": [3]})


def test_parameters_per_row_are_refined_once(monkeypatch):
    calls = []

    def count_refinements(*args, **options):
        calls.append(args)
        return inference.refine(*args, steps=5, **options)

    monkeypatch.setattr(evaluation, "refine", count_refinements)
    model = bernoulli()
    free = VAE(model.prior, posteriors.NonAmortised(model.posterior, 40), model.likelihood)
    result = evaluate(free, bits(20), samples=10)
    assert (
        len(calls) == 1
        and result["log_likelihood"].value > evaluate(model, bits(20))["elbo"].value - 1
    )


# the bracket


def test_a_bracket_bounds_rows_drawn_from_the_model():
    annealing = AISOptions(temperatures=10)
    result = evaluate(bernoulli(), bits(30), samples=5, bracket=8, annealing=annealing)
    expected = metrics.bidirectional_monte_carlo(bernoulli(), 8, annealing=annealing)
    assert result.to_dict()["bracket"]["n"] == 8
    assert torch.equal(result.bracket.per_datum, expected.per_datum)
    for key in ("lower_bound", "upper_bound", "bound_gap"):
        part = {"lower_bound": "lower", "upper_bound": "upper", "bound_gap": "gap"}[key]
        assert result[f"bracket.{part}"].estimate == getattr(expected, key)


def test_a_model_that_cannot_be_annealed_has_a_note_and_no_bracket(monkeypatch):
    def refuse(*args, **options):
        raise IncompatibleError("chains cannot move")

    monkeypatch.setattr(evaluation, "bidirectional_monte_carlo", refuse)
    result = evaluate(bernoulli(), bits(30), bracket=4)
    assert [note.code for note in result.notes] == ["bracket_unavailable"]
    assert "chains cannot move" in str(result.notes[0]) and result.to_dict()["bracket"] is None


@pytest.mark.parametrize(
    "options, argument",
    [
        ({"bracket": -1}, "bracket"),
        ({"bracket_start": "prior"}, "bracket_start"),
        ({"annealing": AISOptions(temperatures=5)}, "annealing"),
        ({"method": "exact", "samples": 5}, "samples"),
        ({"method": "annealing", "defensive": 0.1}, "defensive"),
        ({"method": "nuts"}, "method"),
        ({"samples": 0}, "samples"),
    ],
)
def test_options_without_effect_are_refused(options, argument):
    with pytest.raises(ArgumentError) as caught:
        evaluate(bernoulli(), bits(5), **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"samples": 7},
        {"method": "annealing", "samples": 2, "annealing": AISOptions(temperatures=4)},
        {"samples": 3, "bracket": 5, "annealing": AISOptions(temperatures=4)},
        {
            "method": "annealing",
            "samples": 2,
            "bracket": 5,
            "annealing": AISOptions(temperatures=4),
        },
    ],
)
def test_total_work_is_known_in_advance(options):
    done = []
    evaluate(bernoulli(), bits(30), on_progress=done.append, **options)
    assert sum(done) == EvaluationOptions(**options).total_work(30)


# custom metrics


def test_a_registered_metric_is_part_of_every_evaluation():
    def mean_value(context):
        yield Number("mean_value", "mean", context.rows.tensor().mean().item(), digits=3)

    register(MetricRegistration(title="Mean", order=1))(mean_value)
    try:
        result = evaluate(bernoulli(), bits(50), samples=5)
    finally:
        del _REGISTER["metric"]["mean_value"]
    assert result.table[0].key == "mean_value"
    assert result.to_dict()["mean_value"] == pytest.approx(bits(50).mean().item())


@pytest.mark.parametrize(
    "number, text, record",
    [
        (Number("a", "a", 1.0), "1.00", 1.0),
        (Number("a", "a", 1.0, 0.25, digits=1), "1.0 ± 0.2", {"mean": 1.0, "standard_error": 0.25}),
        (Number("a", "a", None), "not available", None),
        (Number("a", "a", 5, text="5 of 16", details={"used": 5}), "5 of 16", {"used": 5}),
    ],
)
def test_numbers_have_a_text_and_a_record(number, text, record):
    assert (str(number), number.to_dict()) == (text, record)


def test_one_row_has_no_standard_error_and_no_units():
    result = evaluate(bernoulli(), Rows.from_array(bits(1)))
    assert math.isnan(result["elbo"].standard_error) and "±" not in str(result["elbo"])
    assert result["active_units"].value is None and str(result["active_units"]) == "-"


def test_codebook_models_report_usage_without_likelihood():
    data = load("digits")
    torch.manual_seed(0)
    model = presets.vq_vae(data.spec, latent=2, hidden=[8], size=16).model
    result = evaluate(model, data)
    usage = metrics.codebook_usage(model, data.test)
    used = 16 - usage.unused_entries
    assert str(result["codebook"]) == f"{used} of 16"
    assert result.to_dict()["codebook"]["unused_entries"] == usage.unused_entries
    assert result["log_likelihood"].value is None and str(result["log_likelihood"]) == "-"
    nats = result["elbo"].value
    assert result["bits_per_dimension"].value == pytest.approx(-nats / (64 * math.log(2)))


# what metrics compute from


def context_of(model=None, rows=30, options=None, **fields):
    model = model or bernoulli()
    data = Rows.from_array(bits(rows))
    return EvaluationContext(
        model, data, model, options=options or EvaluationOptions(), seed=3, **fields
    )


@pytest.mark.parametrize(
    "spec, noun, measure",
    [
        (None, "row", None),
        (SimpleNamespace(item_noun="image", measure="probability"), "image", "probability"),
        (SimpleNamespace(item_noun="image", measure="density"), "image", "density"),
    ],
)
def test_units_and_measures(spec, noun, measure):
    context = context_of(spec=spec)
    assert (context.item_noun, context.unit, context.measure) == (noun, f"nats per {noun}", measure)


@pytest.mark.parametrize(
    "options",
    [
        EvaluationOptions(samples=7, defensive=0.3),
        EvaluationOptions(method="annealing", samples=2, annealing=AISOptions(temperatures=3)),
        EvaluationOptions(bracket=3, annealing=AISOptions(temperatures=3)),
    ],
)
def test_options_reach_the_estimate(options):
    """The path of the annealed chains belongs to the bracket where the method is another."""
    found = context_of(options=options).log_likelihood
    extra = {"annealing": options.annealing} if options.method == "annealing" else {}
    expected = metrics.log_likelihood(
        bernoulli(),
        bits(30),
        options.samples,
        options.method,
        defensive=options.defensive,
        seed=3,
        **extra,
    )
    assert torch.equal(found.per_datum, expected.per_datum)
    assert (found.samples, found.method) == (expected.samples, expected.method)


@pytest.mark.parametrize(
    "options, samples, chains",
    [
        (EvaluationOptions(), 100, 16),
        (EvaluationOptions(samples=5), 5, 16),
        (EvaluationOptions(method="annealing"), 16, 16),
        (EvaluationOptions(method="annealing", samples=5), 5, 5),
        (EvaluationOptions(method="exact"), 0, 16),
    ],
)
def test_samples_and_chains(options, samples, chains):
    assert (options.samples_per_row, options.bracket_chains) == (samples, chains)


def test_no_row_is_evaluated_twice():
    context = context_of(options=EvaluationOptions(samples=5))
    assert context.rate_distortion is context.log_likelihood.rate_distortion
    defensive = context_of(options=EvaluationOptions(samples=5, defensive=0.3))
    assert defensive.rate_distortion == rate_distortion(bernoulli(), bits(30), seed=3)


@pytest.mark.parametrize("rows, known", [(1, False), (2, True)])
def test_active_units_of_two_rows(rows, known):
    assert (context_of(rows=rows).active_units is not None) == known


@pytest.mark.parametrize(
    "posterior, has_elbo", [(posteriors.Normal, True), (posteriors.Dirac, False)]
)
def test_models_without_a_codebook(posterior, has_elbo):
    context = context_of(bernoulli(posterior))
    assert (context.has_elbo, context.has_importance_weights) == (has_elbo, has_elbo)
    assert context.codebook_usage is None and context.bracket is None
    assert (context.log_likelihood is None) == (context.active_units is None) == (not has_elbo)
    options = EvaluationOptions(bracket=2, samples=1, annealing=AISOptions(temperatures=2))
    asked = context_of(bernoulli(posterior), options=options)
    assert (asked.bracket is None) == (not has_elbo)


@pytest.mark.parametrize("start", [None, "prior"])
def test_bracket_of_rows_with_the_context_of_others(start, monkeypatch):
    """Contexts are repeated where more rows are drawn than there are."""
    calls = []

    def record(model, *args, **options):
        calls.append((args, options))
        raise IncompatibleError("no")

    monkeypatch.setattr(evaluation, "bidirectional_monte_carlo", record)
    options = EvaluationOptions(
        bracket=5, bracket_start=start, annealing=AISOptions(temperatures=3)
    )
    rows = SimpleNamespace(context=torch.arange(3.0)[:, None])
    context = replace(context_of(options=options), rows=rows)
    assert isinstance(context.bracket, IncompatibleError)
    (args, found), *_ = calls
    assert args == (5, 16) and found["seed"] == 3
    assert found["context"][:, 0].tolist() == [0, 1, 2, 0, 1]
    assert found["annealing"] == AISOptions(temperatures=3, start=start or "posterior")


def test_a_bracket_of_one_row_anneals():
    annealing = AISOptions(temperatures=5)
    assert EvaluationOptions(bracket=1, annealing=annealing).annealing == annealing


def test_bounds_are_compared_with_baselines():
    data = load(bits(60).numpy())
    own = evaluate_bound(bernoulli(), data, spec=data.spec)
    baselines = fit_baselines(bernoulli(), data.train, data.spec)
    assert len(own.numbers) > 1
    given = evaluate_bound(bernoulli(), data.test, spec=data.spec, baselines=baselines)
    assert [number.value for number in given.numbers] == [number.value for number in own.numbers]
    assert len(evaluate_bound(bernoulli(posteriors.Dirac), data).numbers) == 1
    assert own["baselines.difference"].details["of"] == "ELBO"


def test_log_p_is_compared_with_log_p():
    data = load(bits(60).numpy())
    own = evaluate_bound(bernoulli(), data, samples=20)
    whole = evaluate(bernoulli(), data, samples=20)
    for key in ("log_likelihood", "baselines.difference"):
        assert own[key].value == whole[key].value
    assert own["log_likelihood"].details["samples"] == 20
    assert own["baselines.difference"].details["of"] == "log p(x)"
    assert len(evaluate_bound(bernoulli(posteriors.Dirac), data, samples=20).numbers) == 1


@pytest.mark.parametrize("bracket, accepted", [(-1, False), (0, True), (2, True)])
def test_limits_of_the_bracket(bracket, accepted):
    if accepted:
        assert EvaluationOptions(bracket=bracket).bracket == bracket
    else:
        with pytest.raises(ArgumentError):
            EvaluationOptions(bracket=bracket)


@pytest.mark.parametrize(
    "spec, kind",
    [
        (None, None),
        (SimpleNamespace(binarisation=None, support="levels"), None),
        (SimpleNamespace(binarisation=None, support="binary"), "already binary"),
        (SimpleNamespace(binarisation="fixed", support="binary"), "fixed"),
        (SimpleNamespace(binarisation="dynamic", support="binary"), "dynamic"),
    ],
)
def test_kinds_of_binary_data(spec, kind):
    found, notes = evaluation._binarisation(spec)
    assert found == kind and [note.data for note in notes] == (
        [{"binarisation": kind}] if kind else []
    )
