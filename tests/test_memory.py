"""Running out of memory gives a single message with sizes, and a run keeps its results."""

import json

import numpy as np
import pytest
import torch

import aevb
from aevb import objectives
from aevb._memory import explain_out_of_memory, reduce_sizes
from aevb.errors import ArgumentError, DataError, OutOfMemoryError
from aevb.objectives._objective import ValidationCriterion
from aevb.training._validation import score_held_out

MUCH = (
    10**13
)  # an allocation beyond 128 TiB, the address space of a process, fails on every machine
CPU = RuntimeError(
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes."
)
CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 16.00 GiB."
)


def data():
    return aevb.data.load(np.random.default_rng(0).normal(size=(60, 3)))


def recipe():
    torch.manual_seed(0)
    return aevb.presets.vae(data().spec, latent=2, hidden=[4])


@pytest.mark.parametrize(
    "error, words",
    [
        (CPU, r"in a step: 3\.0 GiB .* with batch_size=64 and samples=8\. Write batch_size=\d+\.$"),
        (CUDA, r"in a step: 20\.0 GiB .* with batch_size=64 and samples=8\. Write batch_size=3\.$"),
        (
            MemoryError(),
            r"sizes are too large, with batch_size=64 and samples=8\. Write batch_size=32\.$",
        ),
        (RuntimeError("MPS backend out of memory"), r"Write batch_size=32\.$"),
    ],
)
def test_message_names_allocation_sizes_and_smaller_sizes(error, words):
    with (
        pytest.raises(OutOfMemoryError, match=words) as caught,
        explain_out_of_memory("in a step", batch_size=64, samples=8, rows=None),
    ):
        raise error
    assert (
        isinstance(caught.value, aevb.AevbError)
        and isinstance(caught.value, MemoryError)
        and caught.value.__cause__ is error
    )


def test_message_without_sizes_suggests_alternatives():
    with (
        pytest.raises(OutOfMemoryError, match=r"Use narrower layers, or another device\.$"),
        explain_out_of_memory("here", rows=1),
    ):
        raise MemoryError
    with (
        pytest.raises(
            OutOfMemoryError, match=r"ran out here: the sizes are too large\. Read less\.$"
        ),
        explain_out_of_memory("here", "Read less"),
    ):
        raise MemoryError
    with (
        pytest.raises(OutOfMemoryError, match=r"with rows=2\. Write rows=1\. Read less\.$"),
        explain_out_of_memory("here", "Read less", rows=2),
    ):
        raise MemoryError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not_changed(error):
    with pytest.raises(type(error)) as caught, explain_out_of_memory("in a step", batch_size=64):
        raise error
    assert caught.value is error


def test_message_is_not_repeated():
    with (
        pytest.raises(OutOfMemoryError, match="in a step"),
        explain_out_of_memory("in a run", batch_size=2),
        explain_out_of_memory("in a step", rows=2),
    ):
        raise MemoryError


@pytest.mark.parametrize("sizes", [{"a": 1}, {"a": 100, "b": 7}, {"a": 3, "b": 10**9}])
@pytest.mark.parametrize("share", [0.5, 0.01, 1e-12])
def test_smaller_sizes_have_the_target_product_and_are_positive(sizes, share):
    reduced = sizes | reduce_sizes(sizes, share)
    product = np.prod([float(size) for size in reduced.values()])
    assert min(reduced.values()) >= 1
    assert product <= max(1, share * np.prod([float(size) for size in sizes.values()]))


def test_too_large_step_is_refused_before_training(tmp_path):
    model = recipe().model
    with pytest.raises(
        OutOfMemoryError,
        match=rf"step: .* PiB .* batch_size=40 and samples={MUCH}\. Write samples=\d+\. .*micro",
    ):
        aevb.fit(
            model,
            data(),
            objective=objectives.IWAE(MUCH),
            batch_size=40,
            epochs=2,
            out=tmp_path / "run",
            progress=False,
        )
    again = aevb.load(tmp_path / "run")
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True)
    )


def test_out_of_memory_during_training_keeps_best_weights_and_history(tmp_path):
    def greedy(epoch, model):
        if epoch.epoch == 3:
            torch.empty(MUCH, MUCH)

    chosen = recipe()
    with pytest.raises(OutOfMemoryError, match=r"in a training step: .*batch_size=16"):
        aevb.fit(
            chosen,
            data(),
            batch_size=16,
            epochs=5,
            out=tmp_path / "run",
            callbacks=[greedy],
            progress=False,
        )
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    best = max(lines, key=lambda line: json.loads(line)["validation"])
    for model in (aevb.load(tmp_path / "run"), chosen.model):
        bound = score_held_out(model, data().validation, ValidationCriterion(), seed=0).bound
        assert bound == json.loads(best)["validation"]


def test_too_large_evaluations_report_sizes():
    model, rows = recipe().model, data().test
    for measure, words in (
        (
            lambda: aevb.metrics.rate_distortion(model, rows, MUCH),
            rf"in an evaluation: .* with samples={MUCH} and block=256\. Write samples=",
        ),
        (
            lambda: aevb.metrics.log_likelihood(model, rows, MUCH, max_pairs=MUCH),
            rf"in an evaluation: .* with rows={MUCH}\. Write rows=\d+",
        ),
    ):
        with pytest.raises(OutOfMemoryError, match=words):
            measure()


def test_moving_too_large_rows_suggests_an_alternative(monkeypatch):
    def full(rows, device):
        raise CUDA

    monkeypatch.setattr(aevb.data.Rows, "to", full)
    with pytest.raises(
        OutOfMemoryError,
        match=r"moving 48 rows to cpu: 20\.0 GiB .*\. Leave them in a file: .*memory_map=True",
    ):
        aevb.fit(recipe(), data(), epochs=1, device="cpu", progress=False)


def double(model):
    return model.double().eval()


@pytest.mark.parametrize("block", [None, 1, 7, 100])
def test_blockwise_results_equal_full_results(block):
    model = double(recipe().model)
    x = data().train.tensor().double()
    z = model.encode(x)
    # float64: the products of a block of another size may be summed in another order
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(aevb.inference.encode(model, x, block_size=block), z, **close)
    torch.testing.assert_close(
        aevb.inference.decode(model, z, block_size=block), model.decode(z), **close
    )
    torch.testing.assert_close(
        aevb.inference.reconstruct(model, x, block_size=block), model.reconstruct(x), **close
    )
    torch.testing.assert_close(
        aevb.inference.encode(model, data().train, block_size=block), z, **close
    )
    torch.testing.assert_close(
        aevb.inference.encode(model, x.numpy(), block_size=block), z, **close
    )


def test_single_block_equals_direct_sampling():
    model, x = recipe().model.eval(), data().train.tensor()
    for ours, its in (
        (lambda: aevb.inference.sample(model, 50), lambda: model.sample(50)),
        (
            lambda: aevb.inference.encode(model, x, sample=True),
            lambda: model.encode(x, sample=True),
        ),
    ):
        torch.manual_seed(3)
        first = ours()
        torch.manual_seed(3)
        torch.testing.assert_close(
            first, its()
        )  # the same draws; by other products where the block is large, to rounding


def test_samples_of_many_blocks_are_complete_and_distinct():
    x = aevb.inference.sample(recipe().model, 23, block_size=5)
    assert x.shape == (23, 3) and len(x.unique(dim=0)) == 23


def test_samples_may_be_bytes():
    bits = aevb.data.load(np.random.default_rng(0).integers(0, 2, (40, 9)))
    torch.manual_seed(0)
    model = aevb.presets.vae(bits.spec, latent=2, hidden=[4]).model
    assert aevb.inference.sample(model, 23, block_size=5, dtype=torch.uint8).unique().tolist() == [
        0,
        1,
    ]


def test_modes_and_threads_are_restored():
    model, before = recipe().model.train(), torch.get_num_threads()
    aevb.inference.encode(model, data().train)
    assert model.training and torch.get_num_threads() == before
    with pytest.raises(DataError):
        aevb.inference.encode(model, torch.zeros(4, 5))
    assert model.training and torch.get_num_threads() == before


def test_rows_of_wrong_shape_are_refused():
    model = recipe().model
    for call, error, words in (
        (lambda: aevb.inference.encode(model, torch.zeros(0, 3)), DataError, "no rows"),
        (
            lambda: aevb.inference.encode(model, torch.zeros(4, 3), block_size=0),
            ArgumentError,
            "`block_size` is 0",
        ),
        (lambda: aevb.inference.sample(model, 0), ArgumentError, "`n` is 0"),
        (lambda: aevb.inference.sample(model, 2**63), ArgumentError, "`n` is 92"),
    ):
        with pytest.raises(error, match=words):
            call()
