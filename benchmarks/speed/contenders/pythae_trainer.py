"""Pythae's VAE in Pythae's trainer, with networks of the same size."""

import sys
import tempfile

import pythae
import torch
from gate import BATCH, HIDDEN, LATENT, PIXELS, Gate, binarized_mnist
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import nn

torch.set_num_threads(int(sys.argv[1]))
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0


class PythaeEncoder(BaseEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_variance = (
            nn.Linear(PIXELS, HIDDEN),
            nn.Linear(HIDDEN, LATENT),
            nn.Linear(HIDDEN, LATENT),
        )

    def forward(self, x: torch.Tensor) -> ModelOutput:
        h = torch.relu(self.hidden(x.flatten(1)))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class PythaeDecoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.back, self.out = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(
            reconstruction=torch.sigmoid(self.out(torch.relu(self.back(z)))).reshape(-1, 1, 28, 28)
        )


class GateCallback(TrainingCallback):
    def on_epoch_end(self, training_config: BaseTrainerConfig, **others: object) -> None:
        gate()


def images(part: str) -> torch.Tensor:
    return torch.from_numpy(binarized_mnist(part)).reshape(-1, 1, 28, 28)


def held_out(part: str) -> float:
    """The ELBO from one draw per datum, with the exact KL divergence."""
    with torch.no_grad():
        return -model({"data": images(part)}).loss.item()


data = images("train")
torch.manual_seed(seed)
model = VAE(
    VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"),
    PythaeEncoder(),
    PythaeDecoder(),
)
gate = Gate(
    len(data),
    -(-len(data) // BATCH),
    score=held_out,
    torch=torch.__version__,
    pythae=getattr(pythae, "__version__", "0.1.2"),
)
with tempfile.TemporaryDirectory() as folder:
    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=10**6,
        learning_rate=1e-3,
        per_device_train_batch_size=BATCH,
        optimizer_cls="Adam",
        no_cuda=True,
        seed=seed,
    )
    BaseTrainer(
        model,
        BaseDataset(data, torch.ones(len(data))),
        training_config=config,
        callbacks=[GateCallback()],
    ).train()
