"""Rows that are read in windows: each epoch has each row once, from any place on, in any order."""

import numpy as np
import pytest
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb.data import Rows
from aevb.data._memory_map import ArrayFile, MappedRows
from aevb.training._source import BLOCKS_PER_WINDOW, WindowSource, make_source

ROWS, BATCH = 1000, 16


def make_rows(folder, window_rows=128, rows=ROWS):
    """Rows in a file, the first column of which is their number."""
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    x[:, 0] = np.arange(rows)
    np.save(folder / "x.npy", x)
    array = np.load(folder / "x.npy", mmap_mode="r")
    return Rows(MappedRows(ArrayFile(array), array.dtype, range(rows), window_rows=window_rows))


def make(folder, window_rows=128, seed=0):
    """The source of these rows."""
    place = torch.device("cpu")
    source = make_source(make_rows(folder, window_rows), BATCH, seed, place, torch.float32)
    assert isinstance(source, WindowSource)
    return source


def epoch_of(source, epoch, skip=0):
    """The row numbers of an epoch ``[steps, B]``; the rows must be those of the numbers."""
    batches = list(source.iter_epoch(epoch, skip))
    for batch in batches:
        assert torch.equal(batch.x[:, 0].long(), batch.index)
        assert batch.dataset_size == ROWS and len(batch.x) == BATCH
    return torch.stack([batch.index for batch in batches])


@pytest.mark.parametrize("window_rows", [64, 100, 192, 5000])
def test_an_epoch_has_each_row_once(tmp_path, window_rows):
    source = make(tmp_path, window_rows)
    numbers = epoch_of(source, 0)
    assert len(numbers) == source.steps == ROWS // BATCH
    assert len(numbers.unique()) == numbers.numel()


def test_epochs_and_seeds_have_orders_of_their_own(tmp_path):
    source = make(tmp_path)
    first = epoch_of(source, 0)
    assert torch.equal(first, epoch_of(make(tmp_path), 0))
    assert not torch.equal(first, epoch_of(source, 1))
    assert not torch.equal(first, epoch_of(make(tmp_path, seed=1), 0))


@pytest.mark.parametrize("skip", [1, 7, 8, 9, 33, 61, 62])
def test_an_epoch_goes_on_at_any_step(tmp_path, skip):
    source = make(tmp_path)
    whole = epoch_of(source, 3)
    rest = [batch.index for batch in source.iter_epoch(3, skip)]
    assert len(rest) == len(whole) - skip
    assert all(map(torch.equal, rest, whole[skip:]))


def test_a_window_mixes_blocks_from_all_over_the_file(tmp_path):
    source = make(tmp_path, window_rows=2 * BLOCKS_PER_WINDOW)
    numbers = epoch_of(source, 0)[:8].flatten().double()  # one window of 128 rows
    # uniform numbers below N have the mean N / 2 and the deviation N / sqrt(12); five errors
    error = ROWS / np.sqrt(12 * 64)  # 64 blocks
    assert abs(numbers.mean() - ROWS / 2) < 5 * error
    neighbours = (numbers[1:] - numbers[:-1]).abs() == 1
    assert neighbours.double().mean() < 0.1


def test_few_windows_are_in_memory(tmp_path, monkeypatch):
    source, reads = make(tmp_path), []
    read = WindowSource._read
    monkeypatch.setattr(
        WindowSource, "_read", lambda self, *plan: reads.append(plan) or read(self, *plan)
    )
    batches = source.iter_epoch(0, 0)
    next(batches)
    assert len(reads) <= 3  # the one in use and two that are read ahead
    assert sum(len(block) for plan in reads for block in plan[0]) <= 3 * 128


def test_a_run_that_goes_on_in_the_middle_of_an_epoch_has_the_same_weights(tmp_path):
    rows = make_rows(tmp_path)

    def make_model():
        torch.manual_seed(0)
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(3, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [3]),
        )

    settings = {"epochs": 3, "batch_size": BATCH, "progress": False, "compile": False}
    whole = make_model()
    aevb.fit(whole, rows, **settings)
    model = make_model()
    stopper = StopAfter(90)  # in the middle of the second epoch
    objective = aevb.objectives.ELBO()
    with pytest.MonkeyPatch.context() as patch:
        stopper.watch(patch)
        first = aevb.fit(model, rows, objective=objective, out=tmp_path / "run", **settings)
    assert first.stop_reason == "interrupted"
    resumed = make_model()
    aevb.fit(resumed, rows, out=tmp_path / "run", resume=True, **settings)
    for ours, wanted in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, wanted)


class StopAfter:
    """Interrupts a run after so many batches."""

    def __init__(self, steps):
        self.left = steps

    def watch(self, patch):
        """Count the batches of the source."""
        import os
        import signal

        batch_of = Rows.batch_of

        def count(rows, values, index):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch_of(rows, values, index)

        patch.setattr(Rows, "batch_of", count)
