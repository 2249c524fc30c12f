"""Penalties: the value of each metric, its gradient, and its effect on target and bound."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from tests.catalogue import EVENT, OBJECTIVES, PENALISED, make_batch, make_vae
from tests.linear import linear_vae, scalar_vae
from tests.penalties import estimate, slopes, terms_of, weigh
from torch import nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    networks,
    objectives,
    posteriors,
    presets,
    priors,
)
from aevb import _persistence as persistence
from aevb._random import seed_scope
from aevb.distributions import covariance, marginals
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.notes import UNSET
from aevb.objectives._aggregate_posterior import MMD_SCALES
from aevb.objectives._schedules import Linear
from aevb.objectives._ssim import ms_ssim, ssim

pytestmark = pytest.mark.usefixtures("float64")


def settled(name):
    """The objective of this name with every schedule at its end, and a model it fits."""
    objective = OBJECTIVES[name]()
    objective.set_step(10**6)
    model = make_vae(
        "dirac" if objective.kind == "reconstruction" else "normal-diagonal", "normal-fixed"
    )
    gradients.Pathwise().check(model, objective)
    return model, objective


# laws


@pytest.mark.parametrize("name", PENALISED)
def test_bound_and_target_equal_those_of_the_wrapped_objective(name):
    model, objective = settled(name)
    batch = make_batch(model)
    score, inner = (
        estimate(model, objective, batch).objective_value,
        estimate(model, objective.objective, batch).objective_value,
    )
    assert torch.equal(score.bound, inner.bound) and torch.equal(score.target, inner.target)
    assert len(score.metric_values) == len(objective.metric_names) and all(
        value.shape == () and not value.requires_grad for value in score.metric_values
    )
    assert (
        objective.target_mean is None
        and not objective.uses_log_weights
        and objective.name == objective.objective.name
        and objective.kind == objective.objective.kind
    )


@pytest.mark.parametrize("name", PENALISED)
def test_zero_weight_equals_the_wrapped_objective(name):
    """The gradient of the model is identical, and the loss is equal up to the loss of a critic."""
    model, objective = settled(name)
    batch = make_batch(model)
    weigh(objective)
    with_it, without = (
        estimate(model, objective, batch),
        estimate(model, objective.objective, batch),
    )
    critic = sum(
        value
        for measure, value in zip(
            objective.metric_names, with_it.objective_value.metric_values, strict=True
        )
        if measure == "critic"
    )
    assert (with_it.loss.detach() - critic).item() == pytest.approx(
        without.loss.item(), abs=1e-12
    )  # a sum in another order
    assert torch.equal(slopes(model, with_it.loss), slopes(model, without.loss))


def weights_of(name):
    return [measure for penalty in OBJECTIVES[name]().penalties for measure in penalty.schedules]


@pytest.mark.parametrize(
    "name, measure", [(name, measure) for name in PENALISED for measure in weights_of(name)]
)
def test_every_weight_scales_its_metric_from_the_first_step(name, measure):
    """Twice the weight has twice the effect, which is not 0, in the loss and in the gradient."""
    model, objective = settled(name)
    batch = make_batch(model)
    losses, gradients_by_weight = [], []
    for weight in (0.0, 1.0, 2.0):
        weigh(objective, **{measure: weight})
        result = estimate(model, objective, batch)
        losses.append(result.loss.item())
        gradients_by_weight.append(slopes(model, result.loss))
    value = dict(zip(objective.metric_names, result.objective_value.metric_values, strict=True))[
        measure
    ].item()
    assert losses[1] - losses[0] == pytest.approx(value, abs=1e-9 * (1 + abs(losses[0])))
    none, one, two = gradients_by_weight
    assert (one - none).abs().max() > 1e-6
    # rounding of sums whose parts are as large as the gradient itself
    assert torch.allclose(
        two - none, 2 * (one - none), atol=1e-10 * (1 + two.abs().max().item()), rtol=1e-7
    )


@pytest.mark.parametrize("name", PENALISED)
def test_a_single_row_has_finite_gradients(name):
    model, objective = settled(name)
    loss = estimate(model, objective, Batch(make_batch(model, 1).x, dataset_size=100)).loss
    parameter_slopes = torch.autograd.grad(
        loss, [*model.parameters(), *objective.parameters()], allow_unused=True
    )
    assert loss.isfinite() and all(
        slope is None or slope.isfinite().all() for slope in parameter_slopes
    )


@pytest.mark.parametrize("name", ["dip-1", "rae-l2", "ms-ssim", "perceptual"])
def test_a_penalty_does_not_depend_on_the_batch_size(name):
    """The same rows three times over cost what they cost once: a weight means the same for every
    batch size.
    """
    _, objective = settled(name)
    model = make_vae("dirac", "normal-fixed")
    x = make_batch(model).x
    terms = [
        model.terms(Batch(rows), q.mean[None], q)
        for rows in (x, x.repeat(3, 1, 1))
        for q in [model.posterior(rows)]
    ]
    for penalty in objective.penalties:
        once, thrice = (torch.stack(penalty(each, model).values) for each in terms)
        assert torch.allclose(once, thrice, atol=1e-12)


@pytest.mark.parametrize("name", ["gan", "rae-gradient"])
def test_a_traced_step_equals_the_eager_step(name):
    """A critic, and a gradient inside the loss: one graph each, without a break."""
    model, objective = settled(name)
    batch = make_batch(model)

    def step(x):
        loss = gradients.Pathwise()(model, objective, Batch(x, dataset_size=100)).loss
        return loss.detach(), torch.autograd.grad(
            loss, list(model.parameters()), materialize_grads=True
        )

    traced = torch.compile(step, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        results = []
        for run in (step, traced):
            with seed_scope(1):
                loss, parameter_slopes = run(batch.x)
            results.append(
                torch.cat([loss[None], *(slope.flatten() for slope in parameter_slopes)])
            )
    torch.compiler.reset()
    assert torch.allclose(
        *results, rtol=1e-9, atol=1e-9
    )  # the same float64 operations in another order


def test_schedules_of_the_objective_and_of_its_penalties_are_followed():
    objective = objectives.Penalised(
        objectives.ELBO(beta=Linear(steps=10)),
        [objectives.MMD(Linear(0.0, 4.0, steps=20)), objectives.TotalCorrelation(Linear(steps=10))],
    )
    assert objective.final_schedule_step == 20
    objective.set_step(5)
    first, second = objective.penalties
    assert objective.objective.beta == 0.5 and first.mmd == 1.0
    assert (
        second.total_correlation == -0.5 and second.dimension_kl == 0
    )  # weights are beyond the 1 of the ELBO


def test_duplicate_metrics_have_distinct_names():
    objective = objectives.Penalised(
        objectives.Reconstruction(),
        [objectives.MMD(), objectives.LatentNorm(), objectives.MMD(kernel="rbf")],
    )
    assert objective.metric_names == ("mmd", "code_norm", "mmd_2")
    assert objectives.Penalised(objective, [objectives.DecoderNorm()]).metric_names == (
        "mmd",
        "code_norm",
        "mmd_2",
        "decoder_norm",
    )


def test_penalties_are_saved_and_loaded():
    objective = objectives.Penalised(
        objectives.ELBO(2),
        [
            objectives.MMD(Linear(steps=5), scales=[1, 2]),
            objectives.FactorCritic(networks.MLP(3, [5]), 3, betas=[0, 0.9]),
        ],
    )
    again = persistence.from_config(json.loads(json.dumps(persistence.to_config(objective))))
    assert persistence.to_config(again) == persistence.to_config(objective)
    assert again.final_schedule_step == 5 and {
        name: p.shape for name, p in again.named_parameters()
    } == {n: p.shape for n, p in objective.named_parameters()}


# the rate


def test_rate_is_optimised_alone_and_the_plain_bound_is_reported():
    model = make_vae("normal-diagonal")
    batch = make_batch(model)
    for weight in (0.0, 0.25):
        result = estimate(model, objectives.Rate(2, beta=3.0, likelihood_weight=weight), batch)
        plain = estimate(model, objectives.ELBO(2), batch)
        assert torch.equal(result.objective_value.bound, plain.objective_value.bound)
        expected = weight * plain.terms.log_likelihood.mean(0) - 3 * plain.terms.kl
        assert torch.allclose(result.objective_value.target, expected, atol=1e-12)
    decoder = torch.autograd.grad(
        estimate(model, objectives.Rate(), batch).loss,
        list(model.likelihood.parameters()),
        materialize_grads=True,
    )
    assert all((slope == 0).all() for slope in decoder)


def test_an_untrained_likelihood_does_not_enter_the_importance_weights():
    x = torch.randn(32, *EVENT)
    run = {"validation": x, "epochs": 2, "batch_size": 16, "progress": False}
    model = make_vae("normal-diagonal")
    result = aevb.fit(
        model, x, objective=objectives.Penalised(objectives.Rate(), [objectives.MSSSIM()]), **run
    )
    assert result.best_epoch is None and result.history[-1].validation is None
    assert (
        aevb.fit(model, x, objective=objectives.Rate(likelihood_weight=0.01), **run).best_epoch
        is not None
    )


# total correlation


def gaussian_posterior(kind, rows=5):
    """A posterior over two variables for each row."""
    loc, tril = torch.randn(rows, 2), torch.tensor([[0.5, 0.0], [0.3, 0.7]])
    return {
        "diagonal": lambda: Independent(Normal(loc, torch.rand(rows, 2) + 0.3), 1),
        "full": lambda: MultivariateNormal(loc, scale_tril=tril.expand(rows, 2, 2)),
        "low rank": lambda: LowRankMultivariateNormal(
            loc, torch.randn(rows, 2, 1), torch.rand(rows, 2) + 0.3
        ),
    }[kind]()


def single(q, row, variable=None):
    """The posterior of one row, or of one variable of it."""
    matrix = (
        torch.diag_embed(q.variance[row])
        if isinstance(q, Independent)
        else q.covariance_matrix[row]
    )
    if variable is None:
        return MultivariateNormal(q.mean[row], matrix)
    return Normal(q.mean[row, variable], matrix[variable, variable].sqrt())


@pytest.mark.parametrize("kind", ["diagonal", "full", "low rank"])
def test_weighted_parts_equal_their_sums_written_out(kind):
    """log 1/M sum_j q(z_i|x_j), row by row and variable by variable."""
    q = gaussian_posterior(kind)
    z = q.sample((3,))
    terms = terms_of(z, q, Batch(z[0], dataset_size=40))
    values = objectives.TotalCorrelation(estimator="weighted")(terms, None).values
    parts = torch.zeros(3)
    for k, i in itertools.product(range(3), range(5)):
        joint = sum(single(q, j).log_prob(z[k, i]).exp() for j in range(5)) / 5
        each = [
            sum(single(q, j, d).log_prob(z[k, i, d]).exp() for j in range(5)) / 5 for d in range(2)
        ]
        own, product = single(q, i).log_prob(z[k, i]), each[0].log() + each[1].log()
        parts += (
            torch.stack([own - joint.log(), joint.log() - product, product - terms.log_prior[k, i]])
            / 15
        )
    assert torch.allclose(torch.stack(values), parts, atol=1e-11)


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_stratified_weights_are_unbiased(batch):
    """Over all batches of M out of N rows that contain row 0, in every order, the mean estimate of
    q(z) is exactly 1/N sum_j q(z|x_j).
    """
    rows = 5
    q = gaussian_posterior("diagonal", rows)
    z = q.sample()[0]
    densities = torch.stack([single(q, j).log_prob(z).exp() for j in range(rows)])
    penalty, estimates = objectives.TotalCorrelation(), []
    for others in itertools.permutations(range(1, rows), batch - 1):
        for place in range(batch):
            order = [*others[:place], 0, *others[place:]]
            weight = penalty._log_row_weights(
                terms_of(
                    torch.zeros(1, batch, 2), batch=Batch(torch.zeros(batch, 2), dataset_size=rows)
                )
            ).exp()
            assert torch.allclose(
                weight.diagonal(), torch.full((batch,), 1 / rows)
            ) and torch.allclose(weight.sum(1), torch.ones(batch))
            estimates.append(weight[place] @ densities[order])
    assert torch.stack(estimates).mean().item() == pytest.approx(densities.mean().item(), abs=1e-14)


@pytest.mark.parametrize("estimator, limit", [("stratified", 400), ("weighted", 64)])
@pytest.mark.parametrize("apart", [0.0, 50.0])
def test_the_parts_stay_within_their_limits(estimator, limit, apart):
    """64 of 400 rows, equal or far apart, in three dimensions, of which all or none are informed.

    Equal rows have no information and no total correlation; rows apart have ``log N`` nats, of
    which an estimate sees at most the logarithm of the rows that it counts.
    """
    loc = apart * torch.arange(64.0)[:, None].expand(-1, 3)
    q = Independent(Normal(loc, torch.ones(64, 3)), 1)
    z = q.sample((20,))
    penalty = objectives.TotalCorrelation(estimator=estimator)
    information, correlation, _ = penalty(
        terms_of(z, q, Batch(z[0], dataset_size=400)), None
    ).values
    assert information.item() == pytest.approx(math.log(limit) if apart else 0.0, abs=1e-9)
    # log q(z) - sum_j log q(z_j) of rows apart: -log n + 3 log n for the n rows that count
    assert correlation.item() == pytest.approx(2 * math.log(limit) if apart else 0.0, abs=1e-9)


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_the_three_parts_add_up_to_the_divergence(estimator):
    model = make_vae("normal-full")
    penalty = objectives.TotalCorrelation(estimator=estimator)
    terms = estimate(model, objectives.ELBO(2), make_batch(model)).terms
    rate = (terms.log_posterior - terms.log_prior).mean()
    assert sum(penalty(terms, model).values).item() == pytest.approx(rate.item(), abs=1e-11)


def test_alpha_beta_and_gamma_weight_the_parts_of_the_divergence():
    """Around a sampled ELBO the loss is -log p(x|z) + alpha I + beta TC + gamma sum_j KL_j."""
    model = make_vae("normal-diagonal")
    objective = objectives.Penalised(
        objectives.ELBO(2, kl="sampled"),
        [objectives.TotalCorrelation(beta=6.0, alpha=0.0, gamma=2.5)],
    )
    result = estimate(model, objective, make_batch(model))
    information, correlation, each = result.objective_value.metric_values
    expected = (
        -result.terms.log_likelihood.mean() + 0.0 * information + 6.0 * correlation + 2.5 * each
    )
    assert result.loss.item() == pytest.approx(expected.item(), abs=1e-11)


def test_total_correlation_of_a_gaussian_with_correlation_four_fifths():
    """Means with covariance C - s^2 I and noise s make an aggregate posterior N(0, C): TC = -1/2
    log(1 - 0.8^2) = 0.5108256.
    """
    rows, noise = 1500, 0.19
    spread = torch.linalg.cholesky(torch.tensor([[1.0, 0.8], [0.8, 1.0]]) - noise * torch.eye(2))
    loc = torch.randn(rows, 2) @ spread.T
    q = Independent(Normal(loc, torch.full_like(loc, math.sqrt(noise))), 1)
    z = q.sample((1,))
    _, correlation, _ = objectives.TotalCorrelation()(
        terms_of(z, q, Batch(loc, dataset_size=rows)), None
    ).values
    truth = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]])).log_prob(
        z
    ) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert -0.5 * math.log(1 - 0.8**2) == pytest.approx(0.5108256237659907)
    # against the true log ratio at the same draws: 1500 kernels stand for their Gaussian, and each
    # density has a relative variance of
    # 0.003 over kernels; half of that is bias, and the noise that all draws share is about as large
    assert correlation.item() == pytest.approx(truth.mean().item(), abs=0.01)
    assert truth.mean().item() == pytest.approx(
        0.5108, abs=5 * truth.std().item() / math.sqrt(rows)
    )


def test_total_correlation_needs_the_number_of_rows():
    z = torch.zeros(1, 4, 2)
    q = Independent(Normal(z[0], torch.ones(4, 2)), 1)
    for penalty, rows in (
        (objectives.TotalCorrelation(), UNSET),
        (objectives.TotalCorrelation(rows=3), 3),
    ):
        with pytest.raises(DataError) as caught:
            penalty(terms_of(z, q), None)
        assert (caught.value.argument, caught.value.value) == ("rows", rows)


# moments


@pytest.mark.parametrize("kind", ["I", "II"])
def test_moments_equal_their_formula(kind):
    for name in ("normal-diagonal", "normal-full", "normal-low-rank"):
        model = make_vae(name)
        q = model.posterior(make_batch(model, 7).x)
        matrix = np.cov(q.mean.detach().numpy().T, bias=True)
        if kind == "II":
            matrix = (
                matrix
                + torch.stack([single(q, i).covariance_matrix for i in range(7)])
                .mean(0)
                .detach()
                .numpy()
            )
        off = sum(matrix[i, j] ** 2 for i in range(2) for j in range(2) if i != j)
        values = objectives.DIP(kind=kind)(terms_of(q.rsample((1,)), q), model).values
        assert values[0].item() == pytest.approx(off, abs=1e-12)
        assert values[1].item() == pytest.approx(((np.diag(matrix) - 1) ** 2).sum(), abs=1e-12)


def test_moments_of_known_covariance():
    """Four means at the ends of two axes have covariance I / 2; noise of variance 1/2 makes it I,
    which costs nothing.
    """
    loc = torch.tensor([[1.0, 0.0], [-1, 0], [0, 1], [0, -1]])
    q = Independent(Normal(loc, torch.full((4, 2), math.sqrt(0.5))), 1)
    terms = terms_of(loc[None], q)
    assert torch.allclose(
        torch.stack(objectives.DIP(kind="I")(terms, None).values),
        torch.tensor([0.0, 0.5]),
        atol=1e-15,
    )
    assert torch.allclose(
        torch.stack(objectives.DIP(kind="II")(terms, None).values), torch.zeros(2), atol=1e-15
    )
    turned = Independent(Normal(loc @ torch.tensor([[1.0, 1], [0, 1]]), torch.ones(4, 2)), 1)
    assert objectives.DIP(kind="I")(terms_of(loc[None], turned), None).values[0] == 2 * 0.5**2


def test_covariances_and_marginals_without_a_formula_are_none():
    bits = Independent(Bernoulli(torch.full((3, 2), 0.25)), 1)
    assert torch.allclose(covariance(bits), torch.eye(2).expand(3, 2, 2) * 0.1875)
    assert torch.equal(
        covariance(aevb.distributions.Dirac(torch.zeros(3, 2))), torch.zeros(3, 2, 2)
    )
    codes = Independent(torch.distributions.OneHotCategorical(torch.ones(3, 2, 4)), 1)
    assert covariance(codes) is None and marginals(codes) is codes.base_dist
    assert marginals(aevb.distributions.Dirac(torch.zeros(3, 2))) is None


# discrepancy


def kernel(name, a, b):
    apart = ((a - b) ** 2).sum().item() / (2 * len(a))
    return sum(1 / (1 + apart / s) if name == "imq" else math.exp(-apart / s) for s in MMD_SCALES)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_discrepancy_equals_its_double_sums(name, unbiased):
    model, z = make_vae("normal-diagonal"), 2 * torch.randn(2, 6, 2) + 1
    with seed_scope(4):
        value = objectives.MMD(kernel=name, unbiased=unbiased)(terms_of(z), model).values[0]
    with seed_scope(4):
        prior = model.prior().rsample((2, 6))
    total = 0.0
    for k, i, j in itertools.product(range(2), range(6), range(6)):
        if i != j or not unbiased:
            pairs = 6 * 5 if unbiased else 36
            total += (
                (kernel(name, z[k, i], z[k, j]) + kernel(name, prior[k, i], prior[k, j]))
                / pairs
                / 2
            )
        total -= 2 * kernel(name, z[k, i], prior[k, j]) / 36 / 2
    assert value.item() == pytest.approx(total, abs=1e-12)
    assert unbiased or value > 0


def test_discrepancy_has_mean_zero_only_for_equal_distributions():
    model, penalty = make_vae("normal-diagonal"), objectives.MMD()
    equal, moved = (
        torch.stack(
            [penalty(terms_of(torch.randn(1, 8, 2) + shift), model).values[0] for _ in range(1500)]
        )
        for shift in (0, 0.7)
    )
    assert abs(equal.mean()) < 5 * equal.std() / math.sqrt(1500)
    assert moved.mean() > 20 * moved.std() / math.sqrt(1500)


def test_a_learned_prior_receives_gradients_through_its_draws():
    """Priors with differentiable draws."""

    class Moved(priors.Normal.__base__):
        def __init__(self):
            super().__init__()
            self.loc = nn.Parameter(torch.zeros(2))

        def forward(self, input=None, context=None):
            return Independent(Normal(self.loc, torch.ones(2)), 1)

    model = VAE(
        Moved(),
        posteriors.Normal(networks.MLP(4, [5]), 2),
        likelihoods.Normal(networks.MLP(2, [5]), EVENT),
    )
    objective = objectives.Penalised(objectives.Reconstruction(), [objectives.MMD()])
    (slope,) = torch.autograd.grad(
        gradients.Pathwise()(model, objective, make_batch(model)).loss, [model.prior.loc]
    )
    assert slope.abs().max() > 1e-4


# regularised decoders


def test_code_norm_sums_over_latent_variables_and_averages_over_codes():
    z = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    assert objectives.LatentNorm()(terms_of(z), None).values[0] == (25 + 4) / 2 / 2


def test_decoder_norm_covers_only_the_networks_of_the_decoder():
    model = make_vae("dirac", "normal-shared")
    terms = model.draw_terms(make_batch(model), 1)
    value = objectives.DecoderNorm()(terms, model).values[0]
    own = [p for name, p in model.likelihood.named_parameters() if not name.endswith("raw")]
    assert len(own) == len(list(model.likelihood.parameters())) - 1
    assert value.item() == pytest.approx(sum((p**2).sum().item() for p in own), abs=1e-12)


def smooth_model(outputs):
    decoder = networks.MLP(2, [4], activation="tanh")
    return VAE(
        priors.Normal(2),
        posteriors.Dirac(networks.MLP(outputs), 2),
        likelihoods.Normal(decoder, (outputs,), scale=0.5),
    )


def test_decoder_gradient_is_the_jacobian_of_the_mean():
    """With one output every sign gives the same: 1/2 |dE[x|z] / dz|^2, whose own gradient is
    checked by differences.
    """
    model, decoder_gradient, x = smooth_model(1), objectives.DecoderGradient(), torch.randn(4, 1)

    def by_hand():
        codes = model.posterior(x).mean
        jacobians = [
            torch.autograd.functional.jacobian(
                lambda z: model.likelihood(z[None]).mean[0], code, create_graph=True
            )
            for code in codes
        ]
        return sum((jacobian**2).sum() for jacobian in jacobians) / 2 / 4

    def penalty():
        q = model.posterior(x)
        return decoder_gradient(model.terms(Batch(x), q.rsample((1,)), q), model).values[0]

    assert penalty().item() == pytest.approx(by_hand().item(), abs=1e-13)
    assert torch.allclose(slopes(model, penalty()), slopes(model, by_hand()), atol=1e-12)


def test_decoder_gradient_is_unbiased_and_includes_outputs_whose_sum_cancels():
    """x = (z, -z): the gradient of the sum of the outputs is 0, the Jacobian's squared norm is 2
    whatever z is.
    """
    model = linear_vae(torch.tensor([[1.0], [-1.0]]), torch.zeros(2), 1.0)
    q = model.posterior(torch.randn(500, 2))
    terms = model.terms(Batch(torch.randn(500, 2)), q.rsample((1,)), q)
    values = torch.stack([objectives.DecoderGradient()(terms, model).values[0] for _ in range(100)])
    assert abs(values.mean() - 1.0) < 5 * values.std() / 10  # 100 runs
    many = torch.stack(
        [objectives.DecoderGradient(probes=10)(terms, model).values[0] for _ in range(100)]
    )
    assert (
        many.var() < values.var() / 4
    )  # ten probes have a tenth of the variance; of 100 runs it is known to 30 %


def test_spectral_norm_of_every_layer_is_one_and_survives_loading(tmp_path):
    decoder = networks.SpectralNorm(networks.MLP(2, [16, 16]))
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(networks.MLP(4, [8]), 2),
        likelihoods.Normal(decoder, EVENT),
    )
    objective = objectives.Penalised(objectives.Reconstruction(), [objectives.LatentNorm()])
    aevb.fit(
        model, torch.randn(64, *EVENT), objective=objective, epochs=5, batch_size=16, progress=False
    )
    for layer in (0, 2):
        stretch = torch.linalg.matrix_norm(decoder.network.layers[layer].weight, ord=2).item()
        assert stretch == pytest.approx(
            1.0, abs=0.02
        )  # power iteration follows the weights, a step behind
    again = aevb.load(persistence.save(model, tmp_path))
    again.double()
    x = torch.randn(3, *EVENT)
    assert torch.allclose(
        model.eval().reconstruct(x), again.reconstruct(x), atol=1e-6
    )  # weights are kept in the model's own precision


# similarity of images


def pair(height, width):
    """The two images, defined by formula, on which the reference libraries were run."""
    i, j = torch.meshgrid(
        torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
    )
    x = 0.5 + 0.5 * torch.sin(i / 5) * torch.cos(j / 7)
    return x[None, None], (0.8 * x + 0.1 + 0.1 * torch.cos(i * j / 11))[None, None]


@pytest.mark.parametrize(
    "shape, value",
    [
        ((32, 48), 0.6603864619446433),
        ((28, 28), 0.6590946727456038),
        ((11, 11), 0.7407471451809114),
    ],
)
def test_ssim_equals_scikit_image(shape, value):
    """structural_similarity of 0.26 with gaussian_weights, sigma 1.5, no sample covariance and
    data_range 1.
    """
    assert ssim(*pair(*shape), data_range=1.0).item() == pytest.approx(value, abs=1e-12)


def test_ms_ssim_equals_its_reference():
    """pytorch-msssim 1.0.0 with the window in double precision."""
    assert ms_ssim(*pair(176, 192), data_range=1.0).item() == pytest.approx(
        0.9513469211235038, abs=1e-13
    )
    assert ms_ssim(*pair(192, 208), data_range=1.0).item() == pytest.approx(
        0.9521325936787856, abs=1e-13
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (3, 8, 8), (1, 28, 28), (2, 17, 40)])
def test_similarity_of_images_of_any_size(shape):
    """1 for equal images, the same either way round, below 1 for others, and known for constant
    ones.
    """
    x, y = torch.rand(2, *shape), torch.rand(2, *shape)
    for measure in (ssim, ms_ssim):
        assert torch.allclose(measure(x, x, 1.0), torch.ones(2), atol=1e-12)
        assert torch.allclose(measure(x, y, 1.0), measure(y, x, 1.0), atol=1e-14)
        assert (measure(x, y, 1.0) < 1).all()
        assert torch.allclose(measure(255 * x, 255 * y, 255.0), measure(x, y, 1.0), atol=1e-10)
    dark, bright = torch.full_like(x, 0.2), torch.full_like(x, 0.6)
    luminance = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert torch.allclose(ssim(dark, bright, 1.0), torch.full((2,), luminance), atol=1e-12)


def test_similarity_to_an_unrelated_image_has_a_gradient():
    """Powers of a factor at or below 0 would have none, or an infinite one."""
    x, y = torch.rand(4, 1, 16, 16), (1 - torch.rand(4, 1, 16, 16)).requires_grad_()
    (slope,) = torch.autograd.grad(ms_ssim(x, y, 1.0).sum(), y)
    (opposite,) = torch.autograd.grad(
        ms_ssim(x, negative := (1 - x).requires_grad_(), 1.0).sum(), negative
    )
    assert slope.isfinite().all() and slope.abs().max() > 1e-4
    assert opposite.isfinite().all()


def test_ms_ssim_penalty_uses_the_mean_of_the_likelihood():
    model = make_vae("normal-diagonal", "bernoulli")
    terms = model.draw_terms(make_batch(model), 3)
    means = terms.reconstruction.mean
    each = [
        1 - ms_ssim(terms.batch.x[i][None, None], means[k, i][None, None], 1.0)
        for k in range(3)
        for i in range(6)
    ]
    assert objectives.MSSSIM()(terms, model).values[0].item() == pytest.approx(
        torch.cat(each).mean().item(), abs=1e-12
    )


class Layers(nn.Module):
    """A network that returns the features of two layers, the first with a running mean."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)),
            nn.Tanh(),
        )

    def forward(self, x):
        first = self.first(x)
        return first, self.second(first)


def test_perceptual_is_the_feature_distance_of_a_frozen_network():
    model, network = make_vae("normal-diagonal"), Layers()
    objective = objectives.Penalised(
        objectives.Rate(), [objectives.Perceptual(network, weight=2.0)]
    )
    gradients.Pathwise().check(model, objective)
    batch = make_batch(model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = estimate(model, objective, batch)
    expected, actual = network(batch.x), network(result.terms.reconstruction.mean[0])
    expected = sum(((a - b) ** 2).mean() for a, b in zip(expected, actual, strict=True)) / 2
    assert result.objective_value.metric_values[0].item() == pytest.approx(
        expected.item(), abs=1e-12
    )
    assert not list(objective.parameters()) and not any(
        "frozen_network" in name for name in objective.state_dict()
    )
    aevb.fit(
        model, torch.randn(32, *EVENT), objective=objective, epochs=1, batch_size=16, progress=False
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# checks before training


class Function(likelihoods.Normal.__base__):
    """A likelihood without a network of the library."""

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)

    def forward(self, input, context=None) -> Distribution:
        return Independent(Normal(input, torch.ones(())), 1)


@pytest.mark.parametrize(
    "model, penalty, words",
    [
        (
            lambda: make_vae("bernoulli"),
            lambda: objectives.TotalCorrelation(),
            "`Independent` has none",
        ),
        (
            lambda: make_vae("categorical"),
            lambda: objectives.DIP(),
            r"objectives.DIP.*covariance.*posteriors.Normal\(",
        ),
        (scalar_vae, lambda: objectives.MSSSIM(), r"compares images.*shape \(1,\)"),
        (
            scalar_vae,
            lambda: objectives.Perceptual(nn.Linear(3, 2)),
            r"does not take data of shape \(1,\).*Put a module in front",
        ),
        (
            lambda: VAE(priors.Normal(2), posteriors.Dirac(nn.Identity(), 2), Function()),
            lambda: objectives.DecoderNorm(),
            "`likelihoods.Function` has no network",
        ),
    ],
)
def test_an_unsupported_penalty_is_refused_before_training(model, penalty, words):
    objective = objectives.Penalised(objectives.Reconstruction(), [penalty()])
    with pytest.raises(IncompatibleError, match=words):
        objective.check(model())


@pytest.mark.parametrize(
    "rule", [gradients.ScoreFunction(), gradients.LeaveOneOut(), gradients.DoublyReparameterised()]
)
def test_gradients_that_treat_each_datum_separately_are_refused(rule):
    objective = objectives.Penalised(objectives.ELBO(2, kl="sampled"), [objectives.MMD()])
    with pytest.raises(IncompatibleError, match=r"gradients.Pathwise\(\)"):
        rule.check(make_vae("normal-diagonal"), objective)


REFUSED = {
    "no penalties": lambda: objectives.Penalised(objectives.ELBO(), []),
    "beta below 0": lambda: objectives.TotalCorrelation(beta=-1.0),
    "alpha that is no number": lambda: objectives.TotalCorrelation(alpha=math.nan),
    "gamma that ends below 0": lambda: objectives.TotalCorrelation(gamma=Linear(1.0, -1.0)),
    "unknown estimator": lambda: objectives.TotalCorrelation(estimator="mws"),
    "no rows": lambda: objectives.TotalCorrelation(rows=0),
    "diagonal below 0": lambda: objectives.DIP(diagonal=-1.0),
    "third kind": lambda: objectives.DIP(kind="III"),
    "mmd below 0": lambda: objectives.MMD(-1.0),
    "unknown kernel": lambda: objectives.MMD(kernel="linear"),
    "no scales": lambda: objectives.MMD(scales=[]),
    "scale of 0": lambda: objectives.MMD(scales=[0.0]),
    "codes below 0": lambda: objectives.LatentNorm(-1.0),
    "decoder below 0": lambda: objectives.DecoderNorm(-1.0),
    "gradient below 0": lambda: objectives.DecoderGradient(-1.0),
    "no probes": lambda: objectives.DecoderGradient(probes=0),
    "no range": lambda: objectives.MSSSIM(data_range=0.0),
    "likeness below 0": lambda: objectives.MSSSIM(-1.0),
    "perceptual below 0": lambda: objectives.Perceptual(nn.Flatten(), -1.0),
    "likelihood below 0": lambda: objectives.Rate(likelihood_weight=-1.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with pytest.raises(ArgumentError) as caught:
        REFUSED[name]()
    assert caught.value.argument is not None


def test_an_objective_with_two_targets_is_refused():
    with pytest.raises(IncompatibleError, match=r"objectives.MIWAE\(\)"):
        objectives.Penalised(objectives.PIWAE(2, 2), [objectives.MMD()])


# presets

METHODS = [
    "beta_tcvae",
    "dip_vae",
    "info_vae",
    "wae_mmd",
    "factor_vae",
    "adversarial_ae",
    "vae_gan",
    "rae_l2",
    "rae_gp",
    "msssim_vae",
]
KINDS = {
    "digits": lambda: aevb.data.load("digits"),
    "table": lambda: aevb.data.load(
        np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 10.0, 0.1]
    ),
    "colours": lambda: aevb.data.load(
        np.random.default_rng(0).integers(0, 256, (20, 3, 12, 12), dtype=np.uint8), network="conv"
    ),
    "bits": lambda: aevb.data.load(np.random.default_rng(0).integers(0, 2, (40, 5))),
}


NO_IMAGES = [("msssim_vae", "table"), ("msssim_vae", "bits")]


@pytest.mark.parametrize(
    "name, kind", [pair for pair in itertools.product(METHODS, KINDS) if pair not in NO_IMAGES]
)
def test_methods_suit_every_kind_of_data(name, kind):
    torch.set_default_dtype(torch.float32)  # the default of users; the fixture restores it
    data = KINDS[kind]()
    recipe = presets.preset(name, data.spec, latent=2, hidden=[4])
    recipe.gradient.check(recipe.model, recipe.objective)
    x = torch.as_tensor(data.train[:16]).float()
    result = recipe.gradient(recipe.model, recipe.objective, Batch(x, dataset_size=len(data.train)))
    weights = [*recipe.model.parameters(), *recipe.objective.parameters()]
    assert result.loss.isfinite() and all(
        slope is None or slope.isfinite().all()
        for slope in torch.autograd.grad(result.loss, weights, allow_unused=True)
    )
    assert "foreign" not in json.dumps(persistence.to_config(recipe.objective))


def test_structural_similarity_is_for_images_whose_range_is_known():
    with pytest.raises(ArgumentError) as caught:
        presets.preset("msssim_vae", KINDS["table"]().spec)
    assert caught.value.argument == "data_range"
    recipe = presets.preset("msssim_vae", KINDS["bits"]().spec, latent=2, hidden=[4])
    with pytest.raises(IncompatibleError, match="compares images"):
        recipe.gradient.check(recipe.model, recipe.objective)
    ranges = [
        presets.preset("msssim_vae", KINDS[kind]().spec).objective.penalties[0].data_range
        for kind in ("digits", "colours")
    ]
    assert ranges == [16.0, 255.0]


def test_info_vae_weights_the_divergence_by_one_minus_alpha():
    spec = aevb.data.load("digits").spec
    objective = presets.preset("info_vae", spec, latent=2, alpha=0.25, lam=4.0).objective
    assert objective.objective.beta == 0.75 and objective.penalties[0].mmd == 3.25
    for argument, value, options in (
        ("alpha", 1.5, {}),
        ("alpha", -0.1, {}),
        ("lam", 0.5, {"alpha": 0.0}),
    ):
        with pytest.raises(ArgumentError) as caught:
            presets.preset("info_vae", spec, **{argument: value}, **options)
        assert (caught.value.argument, caught.value.value) == (argument, value)
