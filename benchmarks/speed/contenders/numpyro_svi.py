"""NumPyro in the style of its VAE example: ``SVI``, ``Trace_ELBO``, Adam; float32.

An epoch is one compiled ``fori_loop``. The decoder returns logits where the example returns
probabilities: the same model, and the faster way.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from gate import BATCH, HIDDEN, LATENT, PIXELS, Gate, binarized_mnist
from jax import lax, random
from jax.example_libraries import stax
from numpyro import optim
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.svi import SVIState

data = jnp.asarray(binarized_mnist().astype("uint8"))
steps = len(data) // BATCH


def encoder() -> tuple:
    heads = stax.parallel(stax.Dense(LATENT), stax.serial(stax.Dense(LATENT), stax.Exp))
    return stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.FanOut(2), heads)


def decoder() -> tuple:
    return stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(PIXELS))


def model(batch: jax.Array) -> None:
    decode = numpyro.module("decoder", decoder(), (BATCH, LATENT))
    with numpyro.plate("batch", BATCH):
        z = numpyro.sample("z", dist.Normal(0, 1).expand([LATENT]).to_event(1))
        numpyro.sample("obs", dist.Bernoulli(logits=decode(z)).to_event(1), obs=batch)


def guide(batch: jax.Array) -> None:
    encode = numpyro.module("encoder", encoder(), (BATCH, PIXELS))
    mean, deviation = encode(batch)
    with numpyro.plate("batch", BATCH):
        numpyro.sample("z", dist.Normal(mean, deviation).to_event(1))


def fetch(number: jax.Array, order: jax.Array) -> jax.Array:
    return data[lax.dynamic_slice_in_dim(order, number * BATCH, BATCH)].astype(jnp.float32)


@jax.jit
def epoch(state: SVIState, key: jax.Array) -> tuple[jax.Array, SVIState]:
    order = random.permutation(key, len(data))

    def body(number: jax.Array, carry: tuple) -> tuple:
        total, state = carry
        state, loss = svi.update(state, fetch(number, order))
        return total + loss, state

    return lax.fori_loop(0, steps, body, (0.0, state))


svi = SVI(model, guide, optim.Adam(1e-3), loss=Trace_ELBO())
key, use = random.split(random.key(0))
state = svi.init(use, fetch(jnp.asarray(0), jnp.arange(len(data))))
gate = Gate(steps * BATCH, steps, numpyro=numpyro.__version__, jax=jax.__version__)
while True:
    key, use = random.split(key)
    total, state = epoch(state, use)
    total.block_until_ready()
    gate()
