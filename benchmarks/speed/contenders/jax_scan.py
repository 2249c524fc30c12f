"""JAX: a whole epoch in one ``lax.scan``, with its draws, batches and updates.

optax's Adam, float32.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from gate import BATCH, HIDDEN, LATENT, PIXELS, Gate, binarized_mnist

data = jnp.asarray(binarized_mnist().astype("uint8"))
steps = len(data) // BATCH


def layer(key: jax.Array, inputs: int, outputs: int) -> tuple[jax.Array, jax.Array]:
    """Weights of a layer."""
    bound = (6 / (inputs + outputs)) ** 0.5
    return jax.random.uniform(key, (inputs, outputs), minval=-bound, maxval=bound), jnp.zeros(
        outputs
    )


def loss(weights: list, x: jax.Array, key: jax.Array) -> jax.Array:
    """The negative ELBO of a batch."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
    h = jax.nn.relu(x @ w1 + b1)
    mean, log_variance = jnp.split(h @ w2 + b2, 2, axis=-1)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
    error = (jax.nn.softplus(logits) - x * logits).sum(-1)
    divergence = 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(-1)
    return (error + divergence).mean()


@jax.jit
def epoch(weights: list, state: optax.OptState, key: jax.Array) -> tuple:
    """An epoch."""
    order_key, noise_key = jax.random.split(key)
    order = jax.random.permutation(order_key, len(data))[: steps * BATCH].reshape(steps, BATCH)

    def step(carry: tuple, inputs: tuple) -> tuple:
        weights, state = carry
        index, key = inputs
        value, gradient = jax.value_and_grad(loss)(weights, data[index].astype(jnp.float32), key)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), value

    (weights, state), values = jax.lax.scan(
        step, (weights, state), (order, jax.random.split(noise_key, steps))
    )
    return weights, state, values.mean()


def held_out(part: str) -> float:
    """The ELBO from one draw per datum, with the exact KL divergence."""
    return -float(jax.jit(loss)(weights, jnp.asarray(binarized_mnist(part)), jax.random.key(0)))


keys = jax.random.split(jax.random.key(int(sys.argv[2]) if len(sys.argv) > 2 else 0), 5)
sizes = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
weights = [layer(key, *size) for key, size in zip(keys, sizes, strict=False)]
optimizer = optax.adam(1e-3)
state, key = optimizer.init(weights), keys[-1]
gate = Gate(steps * BATCH, steps, score=held_out, jax=jax.__version__)
while True:
    key, use = jax.random.split(key)
    weights, state, value = epoch(weights, state, use)
    value.block_until_ready()
    gate()
