"""A small instance of every part, for tests over all parts: a new family is a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    models,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb._conditional import Conditional
from aevb.gradients import Gradient
from aevb.likelihoods._likelihood import Likelihood
from aevb.objectives import Objective, Penalty
from aevb.objectives._schedules import Cyclical, Exponential, Linear, Sigmoid

LATENT = 2
CODES = (2, 3)
EVENT = (2, 2)
WIDTH = 5
ROWS = 6  # of a batch, and of the posteriors with parameters per row


@dataclass(frozen=True)
class Posterior:
    """How to put a posterior on a network, and the name of a prior with the same latent."""

    build: Callable[[nn.Module], Conditional]
    prior: str
    amortised: bool = True  # whether it has a distribution for new data
    exact: bool = True  # whether its divergence from that prior has a closed form
    traced: bool = True  # whether a step with it is one graph; otherwise eager only
    implicit: bool = False  # whether draws are differentiated by implicit gradients


PRIORS = {
    "normal": lambda: priors.Normal(LATENT),
    "bernoulli": lambda: priors.Bernoulli(LATENT),
    "bernoulli-learned": lambda: priors.Bernoulli(LATENT, learned=True),
    "categorical": lambda: priors.Categorical(CODES),
    "categorical-learned": lambda: priors.Categorical(CODES, learned=True),
    "mixture": lambda: priors.Mixture(LATENT, components=3),
    "laplace": lambda: priors.Laplace(LATENT),
    "logistic": lambda: priors.Logistic(LATENT),
    "student-t": lambda: priors.StudentT(LATENT, 10.0),
    "log-normal": lambda: priors.LogNormal(LATENT),
    "exponential": lambda: priors.Exponential(LATENT, 0.7),
    "gamma": lambda: priors.Gamma(LATENT, 1.5, 0.8),
    "beta": lambda: priors.Beta(LATENT, 1.5, 1.2),
    "dirichlet": lambda: priors.Dirichlet(LATENT, 1.5),
    "logistic-normal": lambda: priors.LogisticNormal(LATENT),
    "sphere": lambda: priors.Sphere(LATENT),
    "wrapped-normal": lambda: priors.WrappedNormal(LATENT, 0.8),
    "mixture-full": lambda: priors.Mixture(LATENT, 3, "full"),
    "scaled": lambda: priors.Scaled(priors.Laplace(LATENT), [1.0, -0.5], [2.0, 0.5]),
    "flow-maf": lambda: priors.Flow(LATENT, "maf", 2, [WIDTH]),
    "flow-iaf": lambda: priors.Flow(LATENT, "iaf", 2, [WIDTH]),
    "flow-coupling": lambda: priors.Flow(LATENT, "coupling", 2, [WIDTH]),
    "flow-spline": lambda: priors.Flow(LATENT, "spline", 2, [WIDTH]),
    "autoregressive": lambda: priors.Autoregressive(LATENT, [WIDTH]),
    "autoregressive-codes": lambda: priors.Autoregressive(CODES, [WIDTH]),
    "product": lambda: priors.Product(
        [priors.Normal(LATENT), priors.Bernoulli(LATENT, learned=True)]
    ),
    "chain": lambda: priors.Chain(
        [posteriors.Normal(networks.MLP(1, [WIDTH], "silu"), 1), priors.Normal(1)]
    ),
    "vamp": lambda: priors.Vamp(
        make_posterior("normal-diagonal"), EVENT, components=3, low=None, high=None
    ),
}

POSTERIORS = {
    "normal-diagonal": Posterior(lambda net: posteriors.Normal(net, LATENT), "normal"),
    "normal-low-rank": Posterior(
        lambda net: posteriors.Normal(net, LATENT, covariance="low_rank"), "normal"
    ),
    "normal-low-rank-2": Posterior(
        lambda net: posteriors.Normal(net, LATENT, covariance="low_rank", rank=2), "normal"
    ),
    "normal-full": Posterior(
        lambda net: posteriors.Normal(net, LATENT, covariance="full"), "normal"
    ),
    "bernoulli": Posterior(lambda net: posteriors.Bernoulli(net, LATENT), "bernoulli-learned"),
    "categorical": Posterior(lambda net: posteriors.Categorical(net, CODES), "categorical-learned"),
    "dirac": Posterior(lambda net: posteriors.Dirac(net, LATENT), "normal"),
    "free": Posterior(
        lambda net: posteriors.NonAmortised(
            posteriors.Normal(net, LATENT, covariance="full"), ROWS
        ),
        "normal",
        amortised=False,
    ),
    "laplace": Posterior(lambda net: posteriors.Laplace(net, LATENT), "laplace"),
    "logistic": Posterior(lambda net: posteriors.Logistic(net, LATENT), "logistic", exact=False),
    "student-t": Posterior(
        lambda net: posteriors.StudentT(net, LATENT, 10.0), "student-t", exact=False
    ),
    "log-normal": Posterior(lambda net: posteriors.LogNormal(net, LATENT), "log-normal"),
    "exponential": Posterior(lambda net: posteriors.Exponential(net, LATENT), "exponential"),
    "gamma": Posterior(lambda net: posteriors.Gamma(net, LATENT), "gamma", implicit=True),
    "weibull": Posterior(lambda net: posteriors.Weibull(net, LATENT), "gamma"),
    "beta": Posterior(lambda net: posteriors.Beta(net, LATENT), "beta", implicit=True),
    "kumaraswamy": Posterior(lambda net: posteriors.Kumaraswamy(net, LATENT), "beta", exact=False),
    "dirichlet": Posterior(
        lambda net: posteriors.Dirichlet(net, LATENT), "dirichlet", implicit=True
    ),
    "logistic-normal": Posterior(
        lambda net: posteriors.LogisticNormal(net, LATENT), "logistic-normal", exact=False
    ),
    "von-mises-fisher": Posterior(lambda net: posteriors.VonMisesFisher(net, LATENT), "sphere"),
    "power-spherical": Posterior(
        lambda net: posteriors.PowerSpherical(net, LATENT), "sphere", implicit=True
    ),
    "wrapped-normal": Posterior(
        lambda net: posteriors.WrappedNormal(net, LATENT), "wrapped-normal", exact=False
    ),
    "flow-maf": Posterior(
        lambda net: posteriors.Flow(net, LATENT, "maf", 2, [WIDTH], 3),
        "normal",
        exact=False,
        traced=False,
    ),
    "flow-iaf": Posterior(
        lambda net: posteriors.Flow(net, LATENT, "iaf", 2, [WIDTH], 3),
        "flow-maf",
        exact=False,
        traced=False,
    ),
    "flow-coupling": Posterior(
        lambda net: posteriors.Flow(net, LATENT, "coupling", 2, [WIDTH], 3),
        "normal",
        exact=False,
        traced=False,
    ),
    "flow-spline": Posterior(
        lambda net: posteriors.Flow(net, LATENT, "spline", 2, [WIDTH], 3),
        "flow-spline",
        exact=False,
        traced=False,
    ),
    "planar": Posterior(
        lambda net: posteriors.Planar(net, LATENT, 2), "normal", exact=False, traced=False
    ),
    "radial": Posterior(
        lambda net: posteriors.Radial(net, LATENT, 2), "normal", exact=False, traced=False
    ),
    "sylvester": Posterior(
        lambda net: posteriors.Sylvester(net, LATENT, 2), "normal", exact=False, traced=False
    ),
    "autoregressive": Posterior(
        lambda net: posteriors.Autoregressive(net, LATENT, [WIDTH], 3),
        "autoregressive",
        exact=False,
    ),
    "autoregressive-codes": Posterior(
        lambda net: posteriors.Autoregressive(net, CODES, [WIDTH], 3),
        "autoregressive-codes",
        exact=False,
    ),
    "mixture": Posterior(
        lambda net: posteriors.Mixture(net, LATENT, 3), "normal", exact=False, implicit=True
    ),
    "chain": Posterior(
        lambda net: posteriors.Chain(
            [posteriors.Normal(net, 1), posteriors.Normal(networks.MLP(1, [WIDTH], "silu"), 1)]
        ),
        "chain",
        exact=False,
    ),
    "ladder": Posterior(
        lambda net: posteriors.Ladder(PRIORS["chain"](), [net, networks.MLP(WIDTH)]),
        "chain",
        exact=False,
    ),
    "hamiltonian": Posterior(
        lambda net: posteriors.Hamiltonian(
            net,
            1,
            priors.Normal(2),
            likelihoods.Normal(
                networks.LeadingLatents(networks.MLP(1, [WIDTH], "silu"), 1), EVENT, 0.5
            ),
            step_size=0.1,
        ),
        "normal",
        exact=False,
        traced=False,
    ),
    "product": Posterior(
        lambda net: posteriors.Product(
            [posteriors.Normal(net, LATENT), posteriors.Bernoulli(net, LATENT)]
        ),
        "product",
    ),
}

# priors whose density is an unbiased estimate, of which single values obey no law: see
# tests/training/test_fit_prior.py
ESTIMATED = {
    "two-stage": lambda: priors.TwoStage(
        priors.Normal(1),
        posteriors.Normal(Rows(nn.Linear(LATENT, 2)), 1),
        likelihoods.Normal(Rows(nn.Linear(1, 2)), [LATENT]),
    )
}

# posteriors whose prior is their own codebook: see tests/posteriors/test_quantised.py
QUANTISED: dict[str, Callable[[nn.Module], Conditional]] = {
    "vector": lambda net: posteriors.VectorQuantised(net, (2, 4), 3),
    "vector-gradient": lambda net: posteriors.VectorQuantised(net, (2, 4), 3, "gradient"),
    "vector-image": lambda net: posteriors.VectorQuantised(net, (4, 1, 2), 3),
    "residual": lambda net: posteriors.ResidualQuantised(net, (2, 4), 3, 2),
    "scalar": lambda net: posteriors.FiniteScalar(net, 2, (4, 3)),
}

# tables of the same number of cells
COLUMNS = {
    "densities": [
        networks.Column("normal", "continuous", "normal", shift=3.0, scale=2.0),
        networks.Column("beta", "bounded", "beta", low=-1.0, high=4.0),
        networks.Column("log-normal", "positive", "log_normal", shift=1.0, scale=0.5),
        networks.Column("student", "continuous", "student_t", shift=-1.0, scale=0.1),
    ],
    "probabilities": [
        networks.Column(
            "ordinal", "ordinal", "ordinal", levels=("low", "middle", "high", "highest")
        ),
        networks.Column("count", "count", "negative_binomial", scale=3.0),
        networks.Column("grid", "integer", "discretised_logistic", shift=40.3, scale=12.0, step=1),
        networks.Column("binary", "binary", "bernoulli", levels=(False, True)),
    ],
    "levels": [
        networks.Column("two", "categorical", "categorical", levels=("a", "b")),
        networks.Column("five", "categorical", "categorical", levels=tuple("abcde")),
        networks.Column("three", "ordinal", "ordinal", levels=(1, 2, 3)),
        networks.Column("two-ordinal", "ordinal", "ordinal", levels=(1, 2)),
    ],
    "spiky": [
        networks.Column(
            "hours",
            "spiky",
            "spiky",
            shift=38.0,
            scale=11.0,
            step=1.0,
            atoms=(20.0, 35.0, 40.0, 60.0),
            edges=(1.0, 19.0, 34.5, 41.0, 42.0, 60.0),
        ),
        networks.Column(
            "gain",
            "spiky",
            "spiky",
            shift=10.0,
            scale=30.0,
            atoms=(0.0, 50.0),
            edges=(0.0, 1.0, 30.0, 90.0),
        ),
        networks.Column("date", "date", "normal", shift=19_000.0, scale=300.0, unit="day"),
        networks.Column(
            "half", "spiky", "spiky", shift=1.0, scale=2.0, step=0.5, atoms=(0.0,), edges=(0.0, 2.0)
        ),
    ],
}

# a network and the number of latent axes -> likelihood
LIKELIHOODS: dict[str, Callable[[nn.Module, int], Likelihood]] = {
    "bernoulli": lambda net, rank: likelihoods.Bernoulli(net, EVENT, rank),
    "continuous-bernoulli": lambda net, rank: likelihoods.ContinuousBernoulli(net, EVENT, rank),
    "categorical": lambda net, rank: likelihoods.Categorical(net, EVENT, 3, rank),
    "logistic-2": lambda net, rank: likelihoods.DiscretisedLogistic(net, EVENT, 2, rank),
    "logistic-17": lambda net, rank: likelihoods.DiscretisedLogistic(net, EVENT, 17, rank),
    "logistic-256": lambda net, rank: likelihoods.DiscretisedLogistic(net, EVENT, 256, rank),
    "normal-fixed": lambda net, rank: likelihoods.Normal(net, EVENT, 0.5, rank),
    "normal-shared": lambda net, rank: likelihoods.Normal(net, EVENT, "shared", rank),
    "normal-per-element": lambda net, rank: likelihoods.Normal(net, EVENT, "per_element", rank),
    "normal-predicted": lambda net, rank: likelihoods.Normal(net, EVENT, "predicted", rank),
    "normal-optimal": lambda net, rank: likelihoods.Normal(net, EVENT, "optimal", rank),
    "laplace-fixed": lambda net, rank: likelihoods.Laplace(net, EVENT, 0.5, rank),
    "laplace-shared": lambda net, rank: likelihoods.Laplace(net, EVENT, "shared", rank),
    "laplace-per-element": lambda net, rank: likelihoods.Laplace(net, EVENT, "per_element", rank),
    "laplace-predicted": lambda net, rank: likelihoods.Laplace(net, EVENT, "predicted", rank),
    "laplace-optimal": lambda net, rank: likelihoods.Laplace(net, EVENT, "optimal", rank),
    "scaled": lambda net, rank: likelihoods.Scaled(
        likelihoods.Normal(net, EVENT, "shared", rank), [1.0], [10.0]
    ),
    "scaled-per-element": lambda net, rank: likelihoods.Scaled(
        likelihoods.Laplace(net, EVENT, 0.5, rank), [0.0, 1, 2, 3], [0.1, 1, 2, 30]
    ),
    "student-fixed": lambda net, rank: likelihoods.StudentT(net, EVENT, 0.5, 6.0, rank),
    "student-shared": lambda net, rank: likelihoods.StudentT(net, EVENT, "shared", "shared", rank),
    "student-per-element": lambda net, rank: likelihoods.StudentT(
        net, EVENT, "predicted", "per_element", rank
    ),
    "poisson": lambda net, rank: likelihoods.Poisson(net, EVENT, 3.0, rank),
    "negative-binomial": lambda net, rank: likelihoods.NegativeBinomial(
        net, EVENT, unit=3.0, latent_rank=rank
    ),
    "negative-binomial-predicted": lambda net, rank: likelihoods.NegativeBinomial(
        net, EVENT, "predicted", latent_rank=rank
    ),
    "zero-inflated": lambda net, rank: likelihoods.ZeroInflatedNegativeBinomial(
        net, EVENT, "predicted", 3.0, rank
    ),
    "gamma": lambda net, rank: likelihoods.Gamma(net, EVENT, "shared", 2.0, rank),
    "gamma-predicted": lambda net, rank: likelihoods.Gamma(
        net, EVENT, "predicted", latent_rank=rank
    ),
    "log-normal": lambda net, rank: likelihoods.LogNormal(net, EVENT, 0.5, rank),
    "log-normal-optimal": lambda net, rank: likelihoods.LogNormal(net, EVENT, "optimal", rank),
    "beta": lambda net, rank: likelihoods.Beta(net, EVENT, "shared", rank),
    "beta-predicted": lambda net, rank: likelihoods.Beta(net, EVENT, "predicted", rank),
    "von-mises": lambda net, rank: likelihoods.VonMises(net, EVENT, rank),
    "ordinal": lambda net, rank: likelihoods.Ordinal(net, EVENT, 4, "shared", rank),
    "ordinal-2": lambda net, rank: likelihoods.Ordinal(net, EVENT, 2, latent_rank=rank),
    "bernoulli-tree": lambda net, rank: likelihoods.BernoulliTree(net, EVENT, rank),
    "autoregressive": lambda net, rank: likelihoods.Autoregressive(
        net, EVENT, hidden=[WIDTH], features=3, latent_rank=rank
    ),
    "autoregressive-levels": lambda net, rank: likelihoods.Autoregressive(
        net, EVENT, "categorical", 3, 1, [WIDTH], 3, rank
    ),
    "autoregressive-17": lambda net, rank: likelihoods.Autoregressive(
        net, EVENT, "logistic_mixture", 17, 2, [WIDTH], 3, rank
    ),
    "logistic-mixture": lambda net, rank: likelihoods.LogisticMixture(net, EVENT, 17, 3, rank),
    "pixel": lambda net, rank: likelihoods.Pixel(
        net, EVENT, features=3, layers=2, latent_rank=rank
    ),
    "pixel-levels": lambda net, rank: likelihoods.Pixel(
        net, EVENT, "categorical", 3, features=3, layers=1, latent_rank=rank
    ),
    "pixel-mixture": lambda net, rank: likelihoods.Pixel(
        net, EVENT, "logistic_mixture", 17, 2, 3, 1, latent_rank=rank
    ),
    "constant-cells": lambda net, rank: likelihoods.ConstantCells(
        likelihoods.Scaled(likelihoods.Normal(net, EVENT, "optimal", rank), [1.0], [10.0]),
        [None, 7.0, None, None],
    ),
    "missing-scaled": lambda net, rank: likelihoods.Missing(
        likelihoods.Scaled(
            likelihoods.Normal(net, EVENT, "optimal", rank), [0.0, 1, 2, 3], [0.1, 1, 2, 30]
        )
    ),
    "missing-bernoulli": lambda net, rank: likelihoods.Missing(
        likelihoods.Bernoulli(net, EVENT, rank)
    ),
    "missing-counts": lambda net, rank: likelihoods.Missing(
        likelihoods.Poisson(net, EVENT, latent_rank=rank)
    ),
    "columns-densities": lambda net, rank: likelihoods.Columns(
        net, COLUMNS["densities"], latent_rank=rank
    ),
    "columns-densities-predicted": lambda net, rank: likelihoods.Columns(
        net, COLUMNS["densities"], scale="predicted", latent_rank=rank
    ),
    "columns-probabilities": lambda net, rank: likelihoods.Columns(
        net, COLUMNS["probabilities"], latent_rank=rank
    ),
    "columns-levels": lambda net, rank: likelihoods.Columns(
        net, COLUMNS["levels"], latent_rank=rank
    ),
    "columns-spiky": lambda net, rank: likelihoods.Columns(net, COLUMNS["spiky"], latent_rank=rank),
    "whitened": lambda net, rank: likelihoods.Whitened(
        likelihoods.Normal(net, (4,), "predicted", rank), EVENT, [0.0, 1, 2, 3], [0.1, 1, 2, 30]
    ),
    "columns-whitened": lambda net, rank: likelihoods.Columns(
        net, COLUMNS["densities"], whiten=True, latent_rank=rank
    ),
    "product": lambda net, rank: likelihoods.Product(
        [
            likelihoods.Missing(likelihoods.Normal(net, (2, 1), "optimal", rank)),
            likelihoods.Missing(likelihoods.Categorical(net, (2,), 3, rank)),
        ]
    ),
    "bayesian": lambda net, rank: likelihoods.Bayesian(
        likelihoods.Normal(net, EVENT, "shared", rank), scale=0.2, draws=3
    ),
    "bayesian-learned": lambda net, rank: likelihoods.Bayesian(
        likelihoods.Bernoulli(net, EVENT, rank), ["heads.head"], 0.1, "learned", 2
    ),
}

# the size of data that is not about 1
UNITS = {
    "logistic-17": 16.0,
    "logistic-256": 255.0,
    "logistic-mixture": 16.0,
    "pixel-mixture": 16.0,
    "autoregressive-17": 16.0,
    "scaled": 10.0,
    "scaled-per-element": 10.0,
    "constant-cells": 10.0,
    "missing-scaled": 10.0,
    "whitened": 10.0,
    **dict.fromkeys(["poisson", "negative-binomial", "zero-inflated", "gamma"], 3.0),
}

# parts that share their features, which no other part fits
HIERARCHIES = {
    "top-down": lambda: models.top_down(
        networks.Pyramid(EVENT, [3]),
        networks.TopDown(EVENT, [3], latent=1, layers=2),
        likelihoods.Bernoulli(networks.Conv(3, 2), EVENT, latent_rank=3),
    )
}

# parts of models with a context; their laws are in tests/models/test_conditional.py
CONDITION = networks.Condition([networks.Labels("class", ["a", "b", "c"])])
CONDITIONAL: dict[str, Callable[[], nn.Module]] = {
    "conditional-prior": lambda: priors.ConditionalPrior(
        posteriors.Normal(networks.MLP(CONDITION.width, [WIDTH]), LATENT), CONDITION
    ),
    "labelled-prior": lambda: priors.Labelled(priors.Normal(LATENT), CONDITION),
    "labelled-posterior": lambda: posteriors.Labelled(
        networks.MLP(4, [WIDTH]),
        posteriors.Normal(networks.MLP(4, [WIDTH], context=CONDITION.width), LATENT),
        CONDITION,
    ),
    "classification": lambda: objectives.Classification(),
    "enumerate-labels": lambda: gradients.EnumerateLabels(),
}


def columns_network(name: str, inputs: int, *, whiten: bool = False) -> nn.Module:
    """A network on the features of a table."""
    columns = COLUMNS.get(name) or [
        networks.Column("many", "categorical", "categorical", levels=tuple(range(50))),
        networks.Column("time", "date", "normal", scale=1e6, unit="second"),
        *COLUMNS["probabilities"][1:3],
    ]
    columns = (columns * inputs)[:inputs]
    width = networks.Columns.width(columns)
    network = networks.MLP(width, [WIDTH], activation="silu")
    return networks.Columns(network, columns, whiten=whiten)


# a number of inputs -> network
NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda inputs: networks.MLP(inputs, [WIDTH], activation="silu"),
    "mlp-gated": lambda inputs: networks.MLP(inputs, [WIDTH], activation="glu"),
    "mlp-linear": lambda inputs: networks.MLP(inputs),
    "mlp-residual": lambda inputs: networks.MLP(inputs, [WIDTH, WIDTH], residual=True),
    "mlp-skip": lambda inputs: networks.MLP(inputs, [WIDTH], skip=True),
    "fill-and-flag": lambda inputs: networks.FillMissing(networks.MLP(2 * inputs, [WIDTH])),
    "columns": lambda inputs: columns_network("densities", inputs),
    "columns-levels": lambda inputs: columns_network("probabilities", inputs),
    "columns-whitened": lambda inputs: columns_network("densities", inputs, whiten=True),
    "columns-spiky": lambda inputs: columns_network("spiky", inputs),
    "columns-embedded": lambda inputs: columns_network("embedded", inputs),
    "gru": lambda inputs: nn.Sequential(nn.Unflatten(-1, (inputs, 1)), networks.GRU(1, WIDTH)),
    "sequence-conv": lambda inputs: nn.Sequential(
        nn.Unflatten(-1, (inputs, 1)), networks.SequenceConv(1, [WIDTH, WIDTH])
    ),
    "deep-sets": lambda inputs: nn.Sequential(
        nn.Unflatten(-1, (inputs, 1)), networks.DeepSets(1, [WIDTH], [WIDTH])
    ),
    "made": lambda inputs: networks.MADE(inputs, [WIDTH], parameters=2, activation="silu"),
    "mlp-dropout": lambda inputs: networks.MLP(inputs, [WIDTH, WIDTH], dropout=0.1),
    "log1p": lambda inputs: nn.Sequential(
        nn.Softplus(), networks.Log1p(networks.MLP(inputs, [WIDTH]))
    ),
    "standardise": lambda inputs: networks.Standardise(networks.MLP(inputs, [WIDTH]), [0.5], [2.0]),
    "whiten": lambda inputs: networks.Whiten(
        networks.MLP(inputs, [WIDTH]), [0.5] * inputs, [2.0] * inputs
    ),
    "user": lambda inputs: Flat(inputs),
    "user-batch-norm": lambda inputs: nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, WIDTH), nn.BatchNorm1d(WIDTH), nn.Tanh()
    ),
}


def penalised(objective: Objective, *penalties: Penalty) -> Objective:
    """An objective with these penalties."""
    return objectives.Penalised(objective, penalties)


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "elbo": lambda: objectives.ELBO(),
    "elbo-3": lambda: objectives.ELBO(samples=3),
    "elbo-exact": lambda: objectives.ELBO(samples=2, kl="exact"),
    "elbo-sampled": lambda: objectives.ELBO(samples=2, kl="sampled"),
    "elbo-beta": lambda: objectives.ELBO(samples=2, beta=4.0),
    "elbo-beta-sampled": lambda: objectives.ELBO(samples=2, beta=4.0, kl="sampled"),
    "elbo-linear": lambda: objectives.ELBO(samples=2, beta=Linear(0.1, 1.0, steps=10)),
    "elbo-sigmoid": lambda: objectives.ELBO(samples=2, beta=Sigmoid(steps=10)),
    "elbo-cyclical": lambda: objectives.ELBO(samples=2, beta=Cyclical(steps=10, cycles=2)),
    "elbo-free-bits": lambda: objectives.ELBO(samples=2, free_bits=0.25),
    "elbo-free-bits-sampled": lambda: objectives.ELBO(samples=2, free_bits=0.25, kl="sampled"),
    "elbo-capacity": lambda: objectives.ELBO(
        samples=2, beta=10.0, capacity=Linear(0.0, 5.0, steps=10)
    ),
    "elbo-capacity-sampled": lambda: objectives.ELBO(
        samples=2, beta=10.0, capacity=0.5, kl="sampled"
    ),
    "iwae-1": lambda: objectives.IWAE(samples=1),
    "iwae-4": lambda: objectives.IWAE(samples=4),
    "renyi": lambda: objectives.Renyi(alpha=0.5, samples=3),
    "renyi-1": lambda: objectives.Renyi(alpha=1.0, samples=3),
    "renyi-2": lambda: objectives.Renyi(alpha=2.0, samples=3),
    "renyi-below-0": lambda: objectives.Renyi(alpha=-1.0, samples=3),
    "cubo": lambda: objectives.CUBO(n=2, samples=3),
    "miwae": lambda: objectives.MIWAE(groups=2, size=3),
    "miwae-1x1": lambda: objectives.MIWAE(groups=1, size=1),
    "piwae": lambda: objectives.PIWAE(groups=2, size=3),
    "ciwae": lambda: objectives.CIWAE(beta=0.3, samples=3),
    "reconstruction": lambda: objectives.Reconstruction(samples=2),
    "rate": lambda: objectives.Rate(samples=2, beta=Linear(0.1, 1.0, steps=10)),
    "total-correlation": lambda: penalised(
        objectives.ELBO(2), objectives.TotalCorrelation(beta=Linear(1.0, 6.0, steps=10))
    ),
    "total-correlation-weighted": lambda: penalised(
        objectives.ELBO(kl="sampled"),
        objectives.TotalCorrelation(6.0, 0.5, 2.0, "weighted", rows=100),
    ),
    "dip-1": lambda: penalised(objectives.ELBO(), objectives.DIP(10.0, 100.0, "I")),
    "dip-2": lambda: penalised(objectives.ELBO(), objectives.DIP()),
    "info": lambda: penalised(objectives.ELBO(2, beta=0.5), objectives.MMD(10.0, "rbf", [1.0])),
    "wae": lambda: penalised(objectives.Reconstruction(2), objectives.MMD(unbiased=False)),
    "factor": lambda: penalised(
        objectives.ELBO(2), objectives.FactorCritic(networks.MLP(LATENT, [WIDTH]), LATENT)
    ),
    "adversarial": lambda: penalised(
        objectives.Reconstruction(2), objectives.PriorCritic(networks.MLP(LATENT, [WIDTH]), LATENT)
    ),
    "gan": lambda: penalised(
        objectives.Rate(likelihood_weight=0.1),
        objectives.DataCritic(networks.MLP(4, [WIDTH]), EVENT),
    ),
    "rae-l2": lambda: penalised(
        objectives.Reconstruction(), objectives.LatentNorm(), objectives.DecoderNorm()
    ),
    "rae-gradient": lambda: penalised(
        objectives.Reconstruction(2), objectives.LatentNorm(), objectives.DecoderGradient(probes=2)
    ),
    "ms-ssim": lambda: penalised(objectives.Rate(), objectives.MSSSIM(10.0, data_range=2.0)),
    "ex-post": lambda: objectives.ExPost(objectives.ELBO(2), priors.Normal(LATENT)),
    "perceptual": lambda: penalised(
        objectives.ELBO(), objectives.Perceptual(networks.MLP(4, [WIDTH]))
    ),
}

PENALISED = [name for name in OBJECTIVES if isinstance(OBJECTIVES[name](), objectives.Penalised)]

GRADIENTS: dict[str, Callable[[], Gradient]] = {
    "pathwise": lambda: gradients.Pathwise(),
    "doubly": lambda: gradients.DoublyReparameterised(),
    "score": lambda: gradients.ScoreFunction(),
    "score-mean": lambda: gradients.ScoreFunction(baseline="mean"),
    "score-network": lambda: gradients.ScoreFunction(baseline=Rows(networks.MLP(4, [WIDTH]))),
    "leave-one-out": lambda: gradients.LeaveOneOut(),
    "rebar": lambda: gradients.REBAR(),
    "rebar-fixed": lambda: gradients.REBAR(temperature=0.3, scale=0.7, learned=False),
    "relaxed": lambda: gradients.Relaxed(),
    "relaxed-discrete": lambda: gradients.Relaxed(density="discrete"),
    "relaxed-cooling": lambda: gradients.Relaxed(Exponential(1.0, 0.3, steps=10)),
    "straight-through": lambda: gradients.StraightThrough(),
    "enumerate": lambda: gradients.Enumerate(),
    "wake-sleep": lambda: gradients.WakeSleep(),
    "reweighted-wake": lambda: gradients.ReweightedWakeSleep(),
    "reweighted-sleep": lambda: gradients.ReweightedWakeSleep("sleep"),
    "reweighted-both": lambda: gradients.ReweightedWakeSleep("both"),
    "em": lambda: gradients.MonteCarloEM(leapfrogs=2),
    "em-rows": lambda: gradients.MonteCarloEM(ROWS, LATENT, chains=2, leapfrogs=2),
}

# a representative of each kind, for products with all other parts
KINDS = [
    *(name for name in POSTERIORS if name.startswith("normal")),
    "bernoulli",
    "categorical",
    "dirac",
    "free",
]
DISCRETE = ["bernoulli", "categorical"]
PATHWISE = [
    name
    for name in POSTERIORS
    if name not in (*DISCRETE, "product") and not name.startswith("autoregressive")
]
AMORTISED = [name for name, entry in POSTERIORS.items() if entry.amortised]
WITH_DENSITY = [name for name in AMORTISED if name != "dirac"]
REPARAMETERISED = [name for name in PATHWISE if name in AMORTISED]
TRACED = [name for name in REPARAMETERISED if POSTERIORS[name].traced]
IMPLICIT = [name for name, entry in POSTERIORS.items() if entry.implicit]
GAUSSIAN = [name for name in POSTERIORS if name.startswith("normal")]


# untraceable parts other than the posteriors with traced=False: likelihoods of angles
EAGER = [*(name for name in PRIORS if name.startswith("flow")), "gru"]
CIRCULAR = ["von-mises"]
# laws that a prior cannot keep without its posterior, which trains what they share
SHARED = {"top-down": {"parameters", "saved"}}


class Flat(nn.Module):
    """A network of a user that accepts only ``[N, d]`` and checks this."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.layer = nn.Linear(inputs, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 2 and x.shape[1] == self.inputs, (
            f"this network takes [N, {self.inputs}], got {tuple(x.shape)}"
        )
        return torch.tanh(self.layer(x))


class Rows(nn.Module):
    """Flattens what it gets, so that a network for rows can follow."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.flatten(1))


def make_posterior(name: str, network: str = "mlp", unit: float = 1.0) -> Conditional:
    """A posterior over data of about size ``unit`` of this catalogue; with initialised heads."""
    posterior = POSTERIORS[name].build(
        networks.Standardise(Rows(NETWORKS[network](4)), [0.0], [unit])
    )
    posterior.eval()(posterior_input(posterior, torch.zeros(2, *EVENT)))
    return posterior.train()


def posterior_input(posterior: Conditional, x: Tensor) -> Tensor:
    """The input of a posterior: the data, or row numbers for parameters per row."""
    return x if posterior.n_rows is None else torch.arange(len(x)) % posterior.n_rows


def make_likelihood(
    name: str, latent: tuple[int, ...] = (LATENT,), network: str = "mlp"
) -> Likelihood:
    """A likelihood over the data of this catalogue; with initialised heads."""
    inputs = int(torch.tensor(latent).prod())
    likelihood = LIKELIHOODS[name](Rows(NETWORKS[network](inputs)), len(latent))
    likelihood.eval()(torch.zeros(2, *latent))
    return likelihood.train()


def make_vae(
    posterior: str = "normal-diagonal",
    likelihood: str = "normal-shared",
    network: str = "mlp",
    prior: str = "",
) -> VAE:
    """A model of these parts, with weights drawn from the current random state."""
    p = PRIORS[prior or POSTERIORS[posterior].prior]()
    latent = tuple(p().event_shape)
    return VAE(
        p,
        make_posterior(posterior, network, UNITS.get(likelihood, 1.0)),
        make_likelihood(likelihood, latent, network),
    )


def make_quantised(name: str, likelihood: str = "normal-shared", learned: bool = False) -> VAE:
    """A model with a codebook, under the uniform prior or a learned one."""
    posterior = QUANTISED[name](Rows(NETWORKS["mlp"](4)))
    posterior.eval()(torch.zeros(2, *EVENT))
    book = posterior.codebook()
    prior = priors.Codebook(
        posterior,
        priors.Autoregressive((book.n_codes, book.n_entries), [WIDTH]) if learned else None,
    )
    return VAE(prior, posterior.train(), make_likelihood(likelihood, tuple(book.event_shape)))


def make_batch(model: VAE, size: int = ROWS) -> Batch:
    """Data that the model accepts: drawn from itself."""
    return Batch(
        model.sample(size), index=torch.arange(size), dataset_size=model.posterior.n_rows or size
    )
