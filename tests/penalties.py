"""Terms, estimates and weights for tests of penalties."""

import torch

from aevb import Batch, gradients
from aevb._random import seed_scope
from aevb.types import Terms


def estimate(model, objective, batch):
    with seed_scope(3):
        return gradients.Pathwise()(model, objective, batch)


def slopes(model, loss):
    slopes_by_parameter = torch.autograd.grad(
        loss, list(model.parameters()), materialize_grads=True, retain_graph=True
    )
    return torch.cat([slope.flatten() for slope in slopes_by_parameter])


def terms_of(z, q=None, batch=None):
    """Terms for penalties that use codes ``[K, B, *latent]`` and their posterior alone."""
    nothing = torch.zeros(())
    density = torch.zeros(z.shape[:2]) if q is None else q.log_prob(z)
    return Terms(
        density,
        0 * density,
        density,
        density,
        None,
        z,
        q,
        None,
        None,
        batch or Batch(z[0]),
        nothing,
        nothing,
    )


def weigh(objective, **weights):
    """Set the weights of penalties by metric name."""
    for penalty in objective.penalties:
        for measure in penalty.schedules:
            penalty.get_buffer(measure).fill_(weights.get(measure, 0.0))
