"""A run writes its best weights without changing the model that is training."""

import torch

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.gradients import Pathwise
from aevb.gradients._gradient import training_terms
from aevb.training import adam
from aevb.training._run import TrainingRun
from aevb.training._step import TrainingStep
from aevb.types import Batch


def model(scale: str = "optimal") -> aevb.VAE:
    with seed_scope(0):
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [6], scale),
        )


def test_saving_best_weights_does_not_change_the_live_model(tmp_path):
    live = model()
    optimizer = adam()(list(live.parameters()))
    step = TrainingStep(live, objectives.ELBO(), Pathwise(), optimizer)
    run = TrainingRun(step, optimizer, None, 0, tmp_path / "run", {}, {}, {}, None)
    run.open(resume=False, overwrite=False)
    run.best_tensors = {
        name: torch.full_like(tensor, 0.5) for name, tensor in live.state_dict().items()
    }
    before = [(id(p), p._version) for p in live.parameters()]
    run.checkpoint()
    assert [(id(p), p._version) for p in live.parameters()] == before
    saved = aevb.load(tmp_path / "run")
    assert all((parameter == 0.5).all() for parameter in saved.parameters())


def test_terms_change_neither_the_model_nor_the_random_stream():
    trained, x = model().train(), torch.full((4, 6), 3.0)
    error = trained.likelihood.noise.running_error
    batch = Batch(x)
    q = trained.infer(batch)
    z = q.rsample((2,))
    before, state = error.clone(), torch.get_rng_state()
    terms = trained.terms(batch, z, q)
    assert torch.equal(error, before)
    assert torch.equal(torch.get_rng_state(), state)
    again = training_terms(trained, batch, z, q)
    assert torch.equal(again.log_likelihood, terms.log_likelihood)
    assert not torch.equal(error, before)
