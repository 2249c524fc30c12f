"""Random streams: private, and one thread at a time."""

from threading import Thread

import torch

import aevb
from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._hardware import single_thread
from aevb._random import RandomStream, keep_stream, seed_scope, use_generator

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
RUN = {"epochs": 4, "batch_size": 16, "progress": False, "validation": X[:16]}


def small(seed):
    with seed_scope(seed):
        return VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(4, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [4]),
        )


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


TASKS = {
    "fit": lambda model, seed: weights(aevb.fit(model, X, seed=seed, **RUN).model),
    "fit_many": lambda model, seed: weights(aevb.fit_many([model], X, seed=seed, **RUN)[0].model),
    "fit_prior": lambda model, seed: weights(
        aevb.fit_prior(model, X, "two_stage", steps=6, seed=seed).prior
    ),
    "refine": lambda model, seed: inference.refine(model, X[:4], steps=6, seed=seed).elbo_after,
    "evaluate": lambda model, seed: torch.tensor(
        aevb.evaluate(model, X, samples=4, seed=seed).numbers[0].value
    ),
}


def run_in_threads(functions):
    """What the functions return, each in a thread of its own."""
    results = [None] * len(functions)

    def call(i):
        results[i] = functions[i]()

    threads = [Thread(target=call, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_tasks_in_threads_give_the_results_of_tasks_alone(monkeypatch):
    """Threads change places at every step, and leave the stream of the process as it was."""
    monkeypatch.setattr("aevb._random.TURN_SECONDS", 0.0)
    jobs = list(zip(["fit", *TASKS], range(6), strict=True))
    alone = [TASKS[name](small(seed), seed) for name, seed in jobs]
    before = torch.get_rng_state()
    together = run_in_threads(
        [
            lambda name=name, model=small(seed), seed=seed: TASKS[name](model, seed)
            for name, seed in jobs
        ]
    )
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_long_block_gives_way_to_a_thread_that_waits(monkeypatch):
    monkeypatch.setattr("aevb._random.TURN_SECONDS", 0.0)
    stream, drawn = RandomStream(0), []
    other = Thread(target=lambda: drawn.append(TASKS["refine"](small(3), 3)))
    expected = torch.rand(2, generator=torch.Generator().manual_seed(0))
    with stream.activate():
        first = torch.rand(1)
        other.start()
        while not drawn:
            stream.give_way()
        second = torch.rand(1)
    assert torch.equal(torch.cat([first, second]), expected)


def test_blocks_restore_the_default_stream():
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(5)
    with seed_scope(1), use_generator(generator), keep_stream():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_thread_for_small_work_is_not_inherited():
    """PyTorch gives the number that was set last to every thread that starts later."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with single_thread():
            assert torch.get_num_threads() == 1
            (inside,) = run_in_threads([torch.get_num_threads])
        assert (inside, torch.get_num_threads()) == (3, 3)
    finally:
        torch.set_num_threads(before)
