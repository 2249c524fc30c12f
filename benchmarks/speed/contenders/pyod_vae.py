"""PyOD's ``VAE`` in its own ``fit``, with networks of the same size: 16-64-4, no dropout.

Its loss is the mean squared error plus the KL divergence clipped at ``capacity``, which is 0 by
default: then the divergence has no gradient. Here it has. ``fit`` scores the training rows after
the last epoch, which is not timed.
"""

import sys

import pyod
import torch
from gate import TABLE_BATCH, TABLE_HIDDEN, TABLE_LATENT, Gate, table
from pyod.models.vae import VAE

torch.set_num_threads(int(sys.argv[1]))
data = table()
steps = len(data) // TABLE_BATCH
gate = Gate(steps * TABLE_BATCH, steps, torch=torch.__version__, pyod=pyod.__version__)


class GatedVAE(VAE):
    def epoch_update(self) -> None:  # its training loop calls it at the end of each epoch
        gate()


GatedVAE(
    lr=1e-3,
    epoch_num=10**6,
    batch_size=TABLE_BATCH,
    verbose=0,
    capacity=float("inf"),
    encoder_neuron_list=[TABLE_HIDDEN],
    decoder_neuron_list=[TABLE_HIDDEN],
    latent_dim=TABLE_LATENT,
    dropout_rate=0.0,
).fit(data)
