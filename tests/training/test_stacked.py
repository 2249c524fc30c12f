"""The loop of a stack against the loops of its models alone, field by field."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import aevb
from aevb import VAE, Batch, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.data import Rows
from aevb.training import WarmupCosine, adam
from aevb.training._source import make_source
from aevb.training._stacked import _reading_is_random, _same_rows, _stack_batches

CPU = torch.device("cpu")
X = torch.randn(47, 3, generator=torch.Generator().manual_seed(0)) @ torch.diag(
    torch.tensor([0.5, 1.0, 2.0])
)
HELD_OUT = torch.randn(300, 3, generator=torch.Generator().manual_seed(1))
SEEDS, RATES = (5, 0, 9), (0.03, 0.3, 0.0)


def tiny(seed: int) -> VAE:
    with seed_scope(seed):
        return VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(3, [4]), 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3]),
        ).double()


UNUSUAL = {
    "epochs": 4,
    "batch_size": 9,  # two rows are left over
    "clip_norm": 1.5,
    "ema": 0.6,
    "patience": 2,
    "lr_schedule": WarmupCosine(4, 0.2),
    "progress": False,
    "validation": HELD_OUT,  # a block of 256 rows and one of 44
}
FOLDS = [aevb.data.load(X[i:].numpy()[: 45 - 2], seed=i) for i in range(3)]
CASES = {
    "every option": (X, UNUSUAL),
    "last weights": (X, UNUSUAL | {"validation": None, "patience": None, "epochs": 2}),
    "folds": (FOLDS, UNUSUAL | {"validation": None, "ema": None, "clip_norm": None, "epochs": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_number_of_a_stack_is_that_of_the_model_alone(case):
    """Unequal rates, seeds and schedules; the third model has the rate 0 and stops first."""
    data, settings = CASES[case]
    recipes = [objectives.ELBO(beta=objectives.Linear(0.2, 1.0, steps=2 + i)) for i in range(3)]
    stacked = aevb.fit_many(
        [tiny(i) for i in range(3)],
        data,
        objective=recipes,
        optimizer=[adam(rate, (0.8, 0.95), 1e-2) for rate in RATES],
        seed=SEEDS,
        **settings,
    )
    for i, result in enumerate(stacked):
        own = data[i] if isinstance(data, list) else data
        single = aevb.fit(
            tiny(i),
            own,
            objective=objectives.ELBO(beta=objectives.Linear(0.2, 1.0, steps=2 + i)),
            optimizer=adam(RATES[i], (0.8, 0.95), 1e-2),
            seed=SEEDS[i],
            **settings,
        )
        assert result.notes[0].code == "stacked" and result.notes[0].data == {"models": 3}
        assert (result.stop_reason, result.best_epoch) == (single.stop_reason, single.best_epoch)
        assert len(result.history) == len(single.history)
        for a, b in zip(result.history, single.history, strict=True):
            found, expected = a.to_reproducible_dict(), b.to_reproducible_dict()
            for name, value in expected.items():
                if isinstance(value, float):
                    # rates and sums are float32
                    assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
                else:
                    assert found[name] == value, name
        assert not result.model.training
        for a, b in zip(result.model.parameters(), single.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    if case == "every option":
        assert [len(result.history) for result in stacked] == [4, 4, 3]


def test_a_rate_that_would_overflow_stops_its_model_at_its_step():
    """Only the second model exceeds its limit, at step 7: the first has all its epochs."""

    def schedule(step: int, total: float) -> float:
        assert total == 15
        return 1e300 if step >= 7 else 1.0

    first, second = aevb.fit_many(
        [tiny(0), tiny(1)],
        X[:45].double(),
        optimizer=[adam(0.0), adam(0.01)],
        lr_schedule=schedule,
        epochs=3,
        batch_size=9,
        progress=False,
    )
    assert (first.stop_reason, len(first.history), first.history[-1].step) == ("epochs", 3, 15)
    assert (second.stop_reason, len(second.history)) == ("not finite", 1)
    notes = [note for note in second.notes if note.code == "not_finite"]
    assert [(n.level, n.data) for n in notes] == [("warning", {"learning_rate": 0.01 * 1e300})]
    assert not any(note.code == "not_finite" for note in first.notes)
    assert all(p.isfinite().all() for p in second.model.parameters())


def test_broken_rows_are_skipped_by_each_model_and_counted(monkeypatch):
    x = X.clone().double()
    models = [tiny(0), tiny(1)]
    broken = [Rows.from_array(x), Rows.from_array(x.clone())]
    broken[1].stored_values[3] = torch.inf
    monkeypatch.setattr("aevb.training._fit_many.check_training_data", lambda *anything: None)
    results = aevb.fit_many(models, broken, seed=[1, 2], epochs=3, batch_size=9, progress=False)
    assert [r.notes[0].code for r in results] == ["stacked"] * 2
    skipped = [[epoch.skipped_steps for epoch in r.history] for r in results]
    expected = []
    for epoch in range(3):
        source = make_source(broken[1], 9, 2, CPU, torch.float64)
        expected.append(int(3 in source.epoch_order(epoch)[:45].tolist()))
    assert skipped == [[0, 0, 0], expected] and sum(expected) >= 2


def test_rows_are_shared_if_storage_reading_and_context_are_the_same():
    rows = Rows.from_array(X)
    same = SimpleNamespace(
        **{k: getattr(rows, k) for k in ("stored_values", "transform", "context_table")}
    )
    assert _same_rows([rows]) and _same_rows([rows, same, rows])
    for name, other in (("stored_values", X.clone()), ("transform", 3), ("context_table", 4)):
        changed = SimpleNamespace(**vars(same) | {name: other})
        assert not _same_rows([rows, same, changed])


def test_only_dynamic_binarisation_draws_while_rows_are_read():
    grey = np.arange(40 * 3, dtype=np.uint8).reshape(40, 3)
    for mode, draws in ((None, False), ("dynamic", True)):
        data = aevb.data.load(grey, binarise=mode)
        state = torch.get_rng_state()
        source = make_source(data, 4, 0, CPU, torch.float32)
        assert _reading_is_random(source) is draws
        assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("context", [None, torch.ones(2, 1)])
def test_batches_are_stacked_field_by_field(context):
    batches = [Batch(X[i : i + 2], context, torch.arange(2) + i, 47) for i in (0, 3, 5)]
    stacked = asdict(_stack_batches(batches))
    assert torch.equal(stacked["x"], torch.stack([X[0:2], X[3:5], X[5:7]]))
    assert stacked["index"].tolist() == [[0, 1], [3, 4], [5, 6]]
    assert stacked["dataset_size"] == 47
    assert stacked["context"] is None if context is None else stacked["context"].shape == (3, 2, 1)
