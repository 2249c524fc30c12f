"""The order of the checks, causes and consequences, and the rows that they examine."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import load
from aevb.errors import ArgumentError, IncompatibleError
from aevb.metrics import DoctorThresholds
from aevb.metrics._doctor import _doctor as doctors
from aevb.metrics._doctor._diagnosis import CheckResult, Diagnosis, Finding


def finding(code):
    return Finding(code, code, f"{code} seen", "why", f"change {code}")


def check(name, order, found=None, causes=(), applies=True):
    result = CheckResult(name, "1", finding(found) if found else None, {"number": float(order)})
    return SimpleNamespace(
        order=order, causes=causes, target=lambda context: result if applies else None
    )


@pytest.fixture
def results(monkeypatch):
    checks = {
        "e": check("e", 5, "fifth", ("second", "first")),
        "a": check("a", 1),
        "b": check("b", 2, "first"),
        "f": check("f", 6, "sixth", ("fifth", "missing")),
        "c": check("c", 3, "second", ("third",)),
        "d": check("d", 4, "third", applies=False),
    }
    monkeypatch.setattr(doctors, "CheckRegistration", SimpleNamespace(all=lambda: checks))
    return doctors._run_checks(None)


def test_consequences_name_the_first_cause(results):
    """A consequence is no cause of others."""
    assert [result.name for result in results] == ["a", "b", "c", "e", "f"]
    codes = [result.finding and result.finding.code for result in results]
    assert codes == [None, "first", "second", None, "sixth"]
    causes = [result.caused_by and result.caused_by.code for result in results]
    assert causes == [None, None, None, "first", None]


def test_records_of_a_diagnosis(results):
    diagnosis = Diagnosis(tuple(results), 7)
    assert not diagnosis.is_healthy
    assert [each.code for each in diagnosis.findings] == ["first", "second", "sixth"]
    record = diagnosis.to_dict()
    assert (record["n_rows"], len(record["checks"])) == (7, 5)
    assert [each["code"] for each in record["findings"]] == ["first", "second", "sixth"]
    assert record["checks"][3] == {
        "name": "e",
        "value": "1",
        "finding": None,
        "caused_by": "first",
        "number": 5.0,
    }
    assert "2 more" in str(diagnosis)
    single = Diagnosis(tuple(results[:2]), 7)
    assert "more" not in str(single) and "change first" in single.summary()
    healthy = Diagnosis(tuple(results[:1]), 7)
    assert healthy.is_healthy and "1" in str(healthy)


def normal_model():
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,)),
    )


@pytest.mark.parametrize(
    "rows, train, reference, examined",
    [(9, None, None, (6, None, None)), (5, 8, 7, (5, 6, 6)), (6, 6, 3, (6, 6, 3))],
)
def test_rows_that_are_examined(rows, train, reference, examined, monkeypatch):
    contexts = []
    monkeypatch.setattr(doctors, "_run_checks", lambda context: contexts.append(context) or [])
    sets = [None if n is None else torch.randn(n, 3) for n in (rows, train, reference)]
    history = [SimpleNamespace(epoch=1)]
    diagnosis = metrics.doctor(
        normal_model(),
        sets[0],
        train=sets[1],
        reference=sets[2],
        history=history,
        seed=4,
        thresholds=DoctorThresholds(max_rows=6),
    )
    (context,) = contexts
    assert diagnosis.n_rows == examined[0]
    found = (context.rows, context.train, context.reference)
    assert tuple(None if part is None else len(part) for part in found) == examined
    assert tuple(None if part is None else len(part) for part in context.all_rows) == (rows, train)
    assert (context.seed, context.history, context.thresholds.max_rows) == (4, history, 6)
    assert (context.baselines is None) == (train is None)


@pytest.mark.parametrize("given", [True, False])
def test_parts_of_a_data_set(given, monkeypatch):
    """Arguments come before the parts of the data set."""
    contexts = []
    monkeypatch.setattr(doctors, "_run_checks", lambda context: contexts.append(context) or [])
    data = load(torch.randn(50, 3).numpy())
    parts = {"train": torch.randn(17, 3), "reference": torch.randn(13, 3)} if given else {}
    metrics.doctor(normal_model(), data, **parts)
    (context,) = contexts
    sizes = (17, 13) if given else (len(data.train), len(data.validation))
    assert len(context.rows) == len(data.test) != len(data.train) and context.spec == data.spec
    assert (len(context.train), len(context.reference)) == sizes


def test_weights_that_are_not_finite_end_the_examination():
    model = normal_model()
    next(model.likelihood.parameters()).data.fill_(torch.nan)
    diagnosis = metrics.doctor(model, torch.randn(9, 3))
    assert diagnosis.n_rows == 9
    assert [each.code for each in diagnosis.findings] == ["weights_not_finite"]


@pytest.mark.parametrize(
    "model, history, error",
    [
        (nn.Linear(2, 2), None, ArgumentError),
        (normal_model(), 3, ArgumentError),
        (
            VAE(
                priors.Normal(2),
                posteriors.NonAmortised(posteriors.Normal(networks.MLP(3), 2), 4),
                likelihoods.Normal(networks.MLP(2), (3,)),
            ),
            None,
            IncompatibleError,
        ),
    ],
    ids=["module", "history", "rows"],
)
def test_other_arguments_are_refused(model, history, error):
    with pytest.raises(error):
        metrics.doctor(model, torch.randn(9, 3), history=history)
