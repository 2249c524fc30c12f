"""Models with a context, complete or partly known: data, networks, training and draws."""

import json
import math

import numpy as np
import pytest
import torch
from tests.refusals import refused
from torch.distributions import MultivariateNormal

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    inference,
    likelihoods,
    metrics,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb._persistence import from_config, to_config
from aevb.cli import main
from aevb.data import Rows, load, load_as, mask_labels
from aevb.data._masked_labels import labelled_row_index
from aevb.data._spec import Spec
from aevb.distributions import ClassConditional, analytic_kl
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.networks import Condition, ConditionedNetwork, Covariate, Labels, WithoutContext
from aevb.training import adam

CLASSES = 3
EVENT, LATENT = 4, 2


def condition(known=1.0):
    return Condition([Labels("kind", ["a", "b", "c"], known)])


def both():
    return Condition([Labels("sex", ["f", "m"]), Covariate("age", shift=40.0, scale=10.0)])


def conditional(class_condition=None, prior=None, hidden=(8,)):
    """A small model of real numbers whose two networks take the class as context."""
    class_condition = class_condition or condition()
    encoder = ConditionedNetwork(
        networks.MLP(EVENT, hidden, context=class_condition.width), class_condition
    )
    decoder = ConditionedNetwork(
        networks.MLP(LATENT, hidden, context=class_condition.width), class_condition
    )
    likelihood = likelihoods.Normal(decoder, (EVENT,), scale=1.0)
    return VAE(prior or priors.Normal(LATENT), posteriors.Normal(encoder, LATENT), likelihood)


def table(n=60, seed=0):
    """A frame of two columns of data, a class and a number."""
    import polars

    rng = np.random.default_rng(seed)
    sex, age = rng.integers(0, 2, n), rng.normal(40, 12, n).round(1)
    columns = {
        "height": 160 + 12 * sex + rng.normal(0, 5, n),
        "weight": 50 + 15 * sex + 0.3 * age + rng.normal(0, 6, n),
    }
    return polars.DataFrame({**columns, "sex": np.array(["f", "m"])[sex], "age": age})


class TestCoding:
    def test_classes_are_one_hot_and_unknown_classes_nan(self):
        coded = Labels("kind", ["a", "b"]).to_context(torch.tensor([1.0, math.nan]))
        assert coded[0].tolist() == [0, 1] and coded[1].isnan().all()

    def test_classes_are_names_or_numbers(self):
        for value in ("7", 7, 7.0, np.int64(7), torch.tensor(7), np.array(7)):
            assert Condition([Labels("digit", range(10))]).to_context(value, 1).argmax() == 7

    def test_labels_for_all_rows_or_each_row(self):
        assert condition().to_context("b", 2).tolist() == [[0, 1, 0]] * 2
        assert condition().to_context(["b", "a"], 2).tolist() == [[0, 1, 0], [1, 0, 0]]
        assert both().to_context({"age": [30, 50], "sex": "m"}, 2).tolist() == [
            [0, 1, -1],
            [0, 1, 1],
        ]

    def test_unknown_classes_are_refused_with_the_known_classes(self):
        with pytest.raises(
            ArgumentError, match=r"the classes of kind in the training data are a, b, c\.$"
        ):
            conditional().sample(2, label="d")

    @pytest.mark.parametrize(
        "label", ["m", {"sex": "m"}, {"sex": "m", "age": 3, "shoe": 1}, {"sex": "m", "age": "old"}]
    )
    def test_incomplete_labels_are_refused(self, label):
        with pytest.raises(ArgumentError, match=r"sex|age"):
            both().to_context(label, 1)

    def test_lists_of_another_length_are_refused(self):
        with pytest.raises(ArgumentError, match="3 values of kind for 2 rows"):
            condition().to_context(["a", "b", "c"], 2)

    def test_invalid_variables_are_refused(self):
        for bad in (
            lambda: Labels("x", []),
            lambda: Labels("x", ["a", "a"]),
            lambda: Labels("x", ["a"], labelled_fraction=0.0),
            lambda: Covariate("x", scale=0.0),
            lambda: Condition([]),
            lambda: Condition([Covariate("x"), Covariate("x")]),
        ):
            with pytest.raises(ArgumentError, match="give"):
                bad()

    def test_conditions_are_saved_and_loaded(self):
        assert from_config(json.loads(json.dumps(to_config(both())))).variables == both().variables


class TestModel:
    def test_missing_context_is_refused_with_the_argument_to_write(self):
        model, x = conditional(), torch.zeros(2, EVENT)
        for call in (
            lambda: model.sample(3),
            lambda: model.encode(x),
            lambda: model.decode(torch.zeros(2, LATENT)),
            lambda: model.reconstruct(x),
        ):
            with pytest.raises(IncompatibleError, match='Write label="a"'):
                call()
        with pytest.raises(IncompatibleError, match='condition="kind"'):
            metrics.rate_distortion(model, x)
        with pytest.raises(IncompatibleError, match='condition="kind"'):
            aevb.fit(model, x, epochs=1)

    def test_context_for_an_unconditional_model_is_refused(self):
        plain = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(4), 2),
            likelihoods.Normal(networks.MLP(2), (4,), scale=1.0),
        )
        with refused(IncompatibleError, "label", '"a"'):
            plain.sample(2, label="a")
        rows = Rows.from_array(torch.randn(8, EVENT)).with_label(condition(), "a")
        with refused(IncompatibleError, "context", "context=3", "networks.ConditionedNetwork"):
            aevb.fit(plain, [rows.batch(torch.arange(8))], epochs=1)

    def test_networks_refuse_contexts_of_another_size(self):
        with pytest.raises(ArgumentError, match="context=3"):
            networks.MLP(4, [5])(torch.zeros(2, 4), torch.zeros(2, 3))
        with pytest.raises(ArgumentError, match="takes 3 context values, and received 0"):
            networks.MLP(4, [5], context=3)(torch.zeros(2, 4))

    def test_parts_with_different_conditions_are_refused(self):
        other = Condition([Labels("other", ["a", "b", "c"])])
        decoder = ConditionedNetwork(networks.MLP(LATENT, context=3), other)
        with refused(IncompatibleError, "condition", "kind", "other"):
            VAE(
                priors.Normal(LATENT),
                conditional().posterior,
                likelihoods.Normal(decoder, (EVENT,)),
            )

    def test_user_networks_take_input_and_context(self):
        class Own(torch.nn.Module):
            def forward(self, x, context):
                return torch.cat([x, context], -1)

        likelihood = likelihoods.Normal(ConditionedNetwork(Own(), condition()), (EVENT,), scale=1.0)
        model = VAE(
            priors.Normal(LATENT),
            posteriors.Normal(WithoutContext(networks.MLP(EVENT)), LATENT),
            likelihood,
        )
        assert model.sample(5, label="c").shape == (5, EVENT)

    @pytest.mark.parametrize("network", ["mlp", "conv"])
    def test_every_network_uses_its_context(self, network):
        spec = Spec(
            "x", (6, 5), "unit", "continuous_bernoulli", network, condition=condition().variables
        )
        torch.manual_seed(0)
        model = aevb.presets.vae(spec, latent=2, hidden=[16]).model.eval()
        x, z = torch.rand(1, 6, 5), torch.randn(1, 2)
        codes = [model.encode(x, label=kind) for kind in "abc"]
        means = [model.decode(z, label=kind) for kind in "abc"]
        for outputs in (codes, means):
            assert not torch.equal(outputs[0], outputs[1]) and not torch.equal(
                outputs[1], outputs[2]
            )

    def test_all_parts_use_the_context(self):
        class_condition = condition()
        prior = priors.ConditionalPrior(
            posteriors.Normal(networks.MLP(3, [4]), LATENT), class_condition
        )
        model, x = conditional(class_condition, prior), torch.randn(5, EVENT)
        a, b = (
            model.draw_terms(Batch(x, class_condition.to_context(kind, 5).float()), 64)
            for kind in "ab"
        )
        for name in ("log_prior", "log_likelihood", "log_posterior"):
            assert (getattr(a, name).mean() - getattr(b, name).mean()).abs() > 1e-4
        assert a.kl is not None and a.kl.shape == (5,)
        with pytest.raises(IncompatibleError, match="the context is missing"):
            prior()

    def test_batches_mix_classes(self):
        """The context of a row does not affect other rows."""
        model, x = conditional(), torch.randn(3, EVENT)
        together = model.encode(x, label=["a", "b", "c"])
        for row, kind in enumerate("abc"):
            assert torch.allclose(
                together[row], model.encode(x[row : row + 1], label=kind)[0], atol=1e-6
            )  # float32 rounding

    def test_several_draws_per_row_are_decoded(self):
        model = conditional()
        z = torch.randn(7, 3, LATENT)
        many = model.decode(z, label=["a", "b", "c"])
        assert torch.allclose(
            many[4, 1], model.decode(z[4, 1], label="b"), atol=1e-6
        )  # float32 rounding

    def test_paths_lead_from_one_class_to_another(self):
        model, x = conditional(), torch.randn(2, EVENT)
        walk = inference.interpolate(model, x[0], x[1], 5, label=["a", "c"])
        ends = model.reconstruct(x, label=["a", "c"])
        assert torch.allclose(walk.x[[0, -1]], ends, atol=1e-6)  # float32 rounding
        assert inference.traverse(model, torch.zeros(LATENT), 1, [0.0, 1.0], label="b").x.shape == (
            2,
            EVENT,
        )

    def test_models_are_saved_with_class_names(self, tmp_path):
        model = conditional(both())
        aevb.save(model, tmp_path)
        again = aevb.load(tmp_path)
        assert again.condition.variables == both().variables
        label, x = {"sex": "m", "age": 33}, torch.randn(3, EVENT)
        assert torch.equal(again.encode(x, label=label), model.eval().encode(x, label=label))

    def test_refined_posteriors_use_the_context(self):
        model, rows = (
            conditional(),
            Rows.from_array(torch.randn(6, EVENT)).with_label(condition(), ["a", "b", "c"] * 2),
        )
        refined = inference.refine(model, rows.tensor(), 5, context=rows.context)
        assert metrics.log_likelihood(refined.model, rows, 8).per_datum.shape == (6,)
        assert metrics.inference_gaps(model, rows, steps=2, samples=4).inference_gap.mean > -5


class TestExact:
    """A linear-Gaussian model conditioned on a class has a known evidence."""

    def test_the_joint_given_the_class_integrates_to_its_evidence(self, float64):
        torch.manual_seed(0)
        class_condition = condition()
        model = conditional(class_condition, hidden=()).double().eval()
        x = torch.randn(3, EVENT)
        evidence = integrated(model, Batch(x, class_condition.to_context(["a", "b", "c"], 3)), GRID)
        z = torch.cat([torch.zeros(1, LATENT), torch.eye(LATENT)])
        for row, kind in enumerate("abc"):
            mean = model.decode(z, label=kind)
            weight = (mean[1:] - mean[0]).T
            exact = MultivariateNormal(mean[0], weight @ weight.T + torch.eye(EVENT)).log_prob(
                x[row]
            )
            assert evidence[row].item() == pytest.approx(
                exact.item(), abs=1e-8
            )  # the rectangle rule, 9 deviations out


STEP = 0.15
LINE = torch.arange(-9, 9 + STEP, STEP, dtype=torch.float64)
GRID = torch.cartesian_prod(LINE, LINE)  # of codes, for integrals


@torch.no_grad()
def integrated(model, batch, codes):
    """``log p(x)`` ``[B]`` by the rectangle rule over all codes ``[G, D]``."""
    z = codes[:, None].expand(-1, len(batch.x), -1)
    return model.log_joint(batch, z).logsumexp(0) + 2 * math.log(STEP)


class TestData:
    def test_data_sets_provide_their_labels(self):
        data = load("digits", condition="label")
        assert torch.equal(data.train.context.argmax(1), data.train.labels)
        assert torch.equal(
            data.test.batch(torch.tensor([3])).context.argmax(1), data.test.labels[3:4]
        )
        assert torch.equal(load_as("digits", data.spec).context, data.test.context)
        assert Spec.from_dict(json.loads(json.dumps(data.spec.to_dict()))) == data.spec

    def test_condition_columns_are_not_data(self):
        data = load(table(), condition=["sex", "age"])
        assert data.spec.columns == ("height", "weight") and data.spec.class_names == ("f", "m")
        sex, age = data.spec.condition
        assert sex == Labels("sex", ("f", "m")) and 35 < age.shift < 45
        numbers = data.train.context[:, 2]
        assert (
            numbers.mean().abs() < 1e-5 and (numbers.std(correction=0) - 1).abs() < 1e-5
        )  # float32 rounding

    def test_context_stays_with_its_row(self):
        data = load(table(), condition=["sex", "age"])
        rows = data.train.subset([5, 1])
        assert torch.equal(rows.context, data.train.context[[5, 1]])
        assert torch.equal(data.to("cpu").train.context, data.train.context)

    def test_other_data_are_encoded_as_training_data(self):
        data = load(table(), condition=["sex", "age"])
        other = table(8, seed=1)
        rows = load_as(other, data.spec)
        age = data.spec.condition[1]
        assert torch.allclose(
            rows.context[:, 2].double(),
            torch.tensor((other["age"].to_numpy() - age.shift) / age.scale),
            atol=1e-6,
        )
        assert torch.equal(
            load_as(
                Rows.from_array(rows.tensor()).with_label(
                    Condition(data.spec.condition), {"sex": "m", "age": 40}
                ),
                data.spec,
            ).context[:, 1],
            torch.ones(8),
        )

    def test_a_column_that_is_missing_is_named(self):
        data = load(table(), condition=["sex", "age"])
        with pytest.raises(
            DataError, match="the frame has no such column; it has height, weight, sex"
        ) as caught:
            load_as(table().drop("age"), data.spec)
        assert (caught.value.argument, caught.value.value) == ("condition", "age")
        with pytest.raises(DataError, match='sex "x" is not among the known classes f, m'):
            load_as(table().with_columns(sex=np.array(["x"] * 60)), data.spec)
        with pytest.raises(DataError, match="the array has no such column, and no labels"):
            load(np.zeros((9, 2)), condition="label")
        with pytest.raises(DataError, match='Write condition="label"'):
            load("digits", condition="colour")

    def test_few_whole_numbers_are_classes_and_others_covariates(self):
        x = np.random.default_rng(0).normal(size=(40, 2))
        few, many = load(x, condition=np.arange(40) % 3), load(x, condition=np.arange(40))
        assert (
            few.spec.condition[0].class_names == ("0", "1", "2")
            and many.spec.condition[0].class_names is None
        )
        frame = table().with_columns(grade=np.arange(60) % 3, group=np.arange(60) // 2)
        data = load(frame, condition=["grade:number", "group:label"])
        assert data.spec.condition[0].class_names is None and data.spec.condition[1].width > 12

    def test_context_from_an_array(self):
        x, y = np.random.default_rng(0).normal(size=(40, 2)), np.array(["a", "b"] * 20)
        data = load(x, condition=y)
        assert data.spec.condition[0].name == "condition" and data.train.context.shape == (32, 2)
        assert load_as(x[:4], data.spec, condition=y[:4]).context.tolist() == [[1, 0], [0, 1]] * 2
        with pytest.raises(DataError, match="3 values, but the array has 40 rows"):
            load(x, condition=y[:3])

    def test_empty_cells_are_dropped_unless_classes_may_be_unknown(self):
        frame = table().with_columns(
            sex=np.array([None if i % 4 else "fm"[i // 4 % 2] for i in range(60)], dtype=object)
        )
        assert len(load(frame, condition="sex").train) == 11  # of 15 with a class
        data = load(frame, condition="sex", allow_missing_labels=True)
        assert len(data.train) == 48 and data.spec.condition[0].labelled_fraction == pytest.approx(
            len(labelled_row_index(data.train)) / 48
        )
        assert data.test.context.isnan().all()  # held-out rows have no labels
        assert (
            set(data.train.labels[labelled_row_index(data.train)].tolist()) == {0, 1}
            and (data.train.labels < 0).any()
        )

    def test_masked_labels_include_every_class(self):
        data = mask_labels(load("digits"), 43)
        known_labels = data.train.labels[labelled_row_index(data.train)]
        assert (
            len(known_labels) == 43
            and known_labels.bincount().min() >= 4
            and known_labels.bincount().max() <= 5
        )
        assert torch.equal(
            data.train.context[labelled_row_index(data.train)].argmax(1), known_labels
        )
        assert len(labelled_row_index(data.validation)) == 0 and torch.equal(
            data.test.labels, load("digits").test.labels
        )
        with pytest.raises(ArgumentError, match="for each of 10 classes") as caught:
            mask_labels(load("digits"), 9)
        assert (caught.value.argument, caught.value.value) == ("n_labels", 9)
        with pytest.raises(DataError, match="has no labels"):
            mask_labels(load(np.zeros((9, 2)) + np.arange(9)[:, None]))


CLOUDS = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0]])


def clouds(n=300, seed=0):
    """Three separated classes, each with its own centre."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    return CLOUDS[labels] + 0.3 * torch.randn(n, 2, generator=generator), labels


class TestTraining:
    def test_samples_are_of_the_requested_class(self):
        """Sample a single class, a frequent need in table synthesis."""
        x, labels = clouds()
        data = load(x, labels=labels, condition="label")
        torch.manual_seed(0)
        recipe = aevb.presets.cvae(data.spec, latent=1, hidden=[16])
        result = aevb.fit(
            recipe, data, optimizer=adam(0.02), epochs=30, batch_size=48, progress=False
        )
        for place, centre in enumerate(CLOUDS):
            drawn = result.model.sample(500, label=str(place))
            assert (torch.cdist(drawn, CLOUDS).argmin(1) == place).float().mean() > 0.99
            # five standard errors of a mean of 500 draws with a deviation below 1, and half of it
            # for errors of training
            assert (drawn.mean(0) - centre).abs().max() < 7.5 / math.sqrt(500)

    def test_conditional_priors_learn_the_position_of_each_class(self):
        x, labels = clouds()
        data = load(x, labels=labels, condition="label")
        torch.manual_seed(0)
        recipe = aevb.presets.cvae(data.spec, latent=1, hidden=[16], prior="learned")
        model = aevb.fit(recipe, data, epochs=5, progress=False).model
        assert (
            isinstance(model.prior, priors.ConditionalPrior)
            and model.prior.needs_context
            and model.exact_kl
        )
        assert model.sample(4, label="2").shape == (4, 2)

    def test_resumed_runs_use_the_same_context(self, tmp_path):
        x, labels = clouds(64)
        data = load(x, labels=labels, condition="label")

        def make():
            torch.manual_seed(0)
            return aevb.presets.cvae(data.spec, latent=1, hidden=[8])

        def stop(epoch, model):
            return epoch.epoch == 2

        options = {"epochs": 4, "batch_size": 16, "progress": False}
        whole = aevb.fit(make(), data, **options)
        aevb.fit(make(), data, out=tmp_path / "run", callbacks=[stop], **options)
        again = aevb.fit(make(), data, out=tmp_path / "run", resume=True, **options)
        assert [epoch.to_reproducible_dict() for epoch in again.history] == [
            epoch.to_reproducible_dict() for epoch in whole.history
        ]
        other = load(x, labels=labels.flip(0), name=data.spec.name)
        with pytest.raises(aevb.AevbError, match=r"context is missing|told|begun"):
            aevb.fit(make(), other, out=tmp_path / "run", resume=True, **options)

    def test_stacked_models_use_the_context_as_single_models(self):
        x, labels = clouds(64)
        data = load(x, labels=labels, condition="label")

        def make(seed):
            torch.manual_seed(seed)
            return aevb.presets.cvae(data.spec, latent=1, hidden=[8])

        options = {"epochs": 1, "batch_size": 16, "progress": False}
        both = aevb.fit_many([make(0), make(1)], data, seed=[0, 1], **options)
        alone = [aevb.fit(make(seed), data, seed=seed, **options) for seed in (0, 1)]
        for one, other in zip(both, alone, strict=True):
            # float32 rounding over 6 steps
            assert one.history[-1].validation == pytest.approx(
                other.history[-1].validation, rel=1e-4
            )

    @pytest.mark.parametrize(
        "name",
        [
            "beta_vae",
            "iwae",
            "gumbel_softmax_vae",
            "rae_gp",
            "vae_gan",
            "iaf_vae",
            "bayesian_vae",
            "adversarial_ae",
        ],
    )
    def test_presets_accept_a_condition(self, name):
        data = load(np.random.default_rng(0).normal(size=(40, 6)), condition=np.arange(40) % 2)
        torch.manual_seed(0)
        model = aevb.fit(
            aevb.presets.preset(name, data.spec, latent=2, hidden=[8]),
            data,
            epochs=1,
            progress=False,
        ).model
        assert (
            model.condition.variables == data.spec.condition
            and model.decode(model.encode(data.test.tensor(), data.test.context), label=1)
            is not None
        )

    def test_presets_without_conditions_refuse_them(self):
        spec = load(np.random.default_rng(0).normal(size=(40, 6)), condition=np.arange(40) % 2).spec
        with refused(IncompatibleError, "prior", "priors.Vamp", "priors.ConditionalPrior"):
            aevb.presets.preset("vamp_vae", spec, latent=2, hidden=[8])
        with refused(ArgumentError, None, "mnist", "cvae"):
            aevb.presets.preset("mnist", spec, latent=2)
        with refused(ArgumentError, None, 'condition="label"'):
            aevb.presets.cvae(load(np.zeros((9, 2)) + np.arange(9)[:, None]).spec)

    def test_partly_unknown_labels_are_refused_where_each_is_needed(self):
        spec = mask_labels(load("digits")).spec
        with pytest.raises(ArgumentError, match="semi_supervised_vae"):
            aevb.presets.cvae(spec)
        x = Batch(torch.zeros(2, EVENT), torch.full((2, 3), math.nan))
        with refused(DataError, "context", "row 0", "kind", 'preset="semi_supervised_vae"'):
            aevb.fit(conditional(), [x], epochs=1, progress=False)


def semi(hidden=(6,), known=0.5, latent=LATENT):
    """A small model that infers the class."""
    class_condition = condition(known)
    encoder = posteriors.Normal(networks.MLP(EVENT, hidden, context=CLASSES), latent)
    decoder = WithoutContext(networks.MLP(CLASSES + latent, hidden))
    return VAE(
        priors.Labelled(priors.Normal(latent), class_condition, learned=True),
        posteriors.Labelled(networks.MLP(EVENT, hidden), encoder, class_condition),
        likelihoods.Normal(decoder, (EVENT,), scale=1.0),
    )


def evidence(model, x):
    """``log p(x, y)`` ``[B, C]`` of a model with a linear decoder: a Gaussian for each class."""
    log_joint = []
    for place in range(CLASSES):
        z = torch.cat([torch.zeros(1, LATENT), torch.eye(LATENT)])
        y = torch.eye(CLASSES)[place].expand(LATENT + 1, -1)
        mean = model.likelihood(torch.cat([y, z], -1)).mean
        weight = (mean[1:] - mean[0]).T
        log_joint.append(
            MultivariateNormal(mean[0], weight @ weight.T + torch.eye(EVENT)).log_prob(x)
        )
    return torch.stack(log_joint, 1) + torch.log_softmax(model.prior.logits, 0)


@pytest.mark.usefixtures("float64")
class TestSemiSupervised:
    def bound(self, model, batch, samples=1):
        return gradients.EnumerateLabels()(model, objectives.ELBO(samples), batch)

    def test_the_bound_of_a_row_without_a_label_is_the_sum_over_all(self):
        """``U(x) = sum_y q(y|x) L(x, y) + H(q(y|x))`` with terms of a model with known classes."""
        torch.manual_seed(0)
        model, x = semi(), torch.randn(5, EVENT)
        torch.manual_seed(1)
        bound = self.bound(model, Batch(x)).objective_value.bound
        torch.manual_seed(1)
        q, rest = model.infer(Batch(x)), torch.zeros(5)
        z = q.latent.rsample((1,)).unflatten(1, (CLASSES, 5))[0]
        for place in range(CLASSES):
            y = torch.eye(CLASSES)[place].expand(5, -1)
            code = model.posterior.posterior(x, y)
            labelled = (
                model.likelihood(torch.cat([y, z[place]], -1)).log_prob(x)
                - analytic_kl(code, model.prior.prior())
                + torch.log_softmax(model.prior.logits, 0)[place]
            )
            weight = q.class_log_probs[:, place].exp()
            rest = rest + weight * (labelled - q.class_log_probs[:, place])
        assert torch.allclose(bound, rest, atol=1e-12)

    def test_the_bound_of_a_row_with_a_label_is_that_of_its_class_alone(self):
        torch.manual_seed(0)
        model, x = semi(), torch.randn(5, EVENT)
        torch.nn.init.normal_(model.prior.logits)
        label = condition(0.5).to_context(["a", "b", "c", "a", "b"], 5)
        torch.manual_seed(1)
        terms = self.bound(model, Batch(x, label)).terms
        torch.manual_seed(1)
        z = model.infer(Batch(x)).latent.rsample((1,)).unflatten(1, (CLASSES, 5))[0]
        own = z[label.argmax(1), torch.arange(5)]
        code = model.posterior.posterior(x, label)
        expected = (
            model.likelihood(torch.cat([label, own], -1)).log_prob(x)
            + torch.log_softmax(model.prior.logits, 0)[label.argmax(1)]
            - analytic_kl(code, model.prior.prior())
        )
        bound = objectives.ELBO()(terms, model).bound
        assert torch.allclose(bound, expected, atol=1e-12)

    @pytest.mark.parametrize("kl", ["exact", "sampled"])
    @pytest.mark.parametrize(
        "gradient",
        [gradients.EnumerateLabels(), gradients.LeaveOneOut(), gradients.ScoreFunction()],
    )
    def test_labels_train_the_probabilities_of_the_classes(self, gradient, kl):
        """The gradient of ``-log p(y)`` in the logits is ``p(y) - y`` for every row."""
        torch.manual_seed(0)
        model, x = semi(), torch.randn(8, EVENT)
        batch = Batch(x, condition(0.5).to_context("a", 8))
        loss = gradient(model, objectives.ELBO(2, kl=kl), batch).loss
        (slope,) = torch.autograd.grad(loss, model.prior.logits)
        assert torch.allclose(slope, torch.tensor([-2.0, 1.0, 1.0]) / 3, atol=1e-12)

    def test_the_likelihood_of_a_row_with_a_label_contains_its_class(self):
        torch.manual_seed(0)
        model, x = semi(hidden=()), torch.randn(3, EVENT)
        torch.nn.init.normal_(model.prior.logits)
        batch = Batch(x, condition(0.5).to_context(["a", "b", "c"], 3))
        expected = evidence(model, x).diagonal()  # log p(x, y) of each row's class
        classes = torch.eye(CLASSES).repeat_interleave(len(GRID), 0)
        codes = torch.cat([classes, GRID.repeat(CLASSES, 1)], 1)
        assert torch.allclose(integrated(model, batch, codes), expected, atol=1e-8)
        for defensive in (0.0, 0.5):
            weights = inference.importance_weights(model, batch, 4000, defensive=defensive)
            error = (4000 / weights.effective_sample_size - 1).sqrt() / math.sqrt(4000)
            assert ((weights.log_mean - expected).abs() < 5 * error).all()  # five standard errors

    def test_the_bound_lies_below_the_evidence_and_meets_it_at_the_true_posterior(self):
        torch.manual_seed(0)
        model, x = semi(hidden=()), torch.randn(6, EVENT)
        joint = evidence(model, x)
        bound = torch.stack(
            [self.bound(model, Batch(x), 64).objective_value.bound.detach() for _ in range(64)]
        )
        # five standard errors of the mean over 4,096 draws
        assert (bound.mean(0) < joint.logsumexp(1) + 5 * bound.std(0) / 8).all()
        classes = torch.eye(CLASSES).repeat_interleave(len(GRID), 0)
        codes = torch.cat([classes, GRID.repeat(CLASSES, 1)], 1)
        # the rectangle rule, 9 deviations out
        assert torch.allclose(integrated(model, Batch(x), codes), joint.logsumexp(1), atol=1e-8)

    def test_the_bound_meets_the_evidence_at_the_true_posterior(self):
        """The decoder depends on the class alone, so that the true posterior is known.

        The true ``q(z|x, y)`` is the prior and the true ``q(y|x)`` a softmax of a linear map.
        """
        torch.manual_seed(0)
        model, x = semi(hidden=()), torch.randn(6, EVENT)
        with torch.no_grad():
            head = model.likelihood.noise.heads.head
            head.weight[:, CLASSES:] = 0
            code = model.posterior.posterior.heads.head
            code.weight.zero_()
            code.bias.zero_()
            centres = head.weight[:, :CLASSES].T + head.bias
            prior = torch.log_softmax(model.prior.logits, 0)
            model.posterior.heads.head.weight.copy_(centres)
            model.posterior.heads.head.bias.copy_(prior - centres.square().sum(1) / 2)
            assert torch.allclose(model.infer(Batch(x)).latent.variance, torch.ones(()), atol=1e-12)
        bound = self.bound(model, Batch(x)).objective_value.bound
        assert torch.allclose(bound, evidence(model, x).logsumexp(1), atol=1e-12)

    def test_a_label_of_one_class_cannot_be_lost(self):
        """A known label has all mass in draws, means and densities."""
        model, x = semi(), torch.randn(4, EVENT)
        q = model.infer(Batch(x, condition(0.5).to_context("b", 4)))
        assert (q.sample((50,))[..., 1] == 1).all() and torch.equal(q.mean[:, 1], torch.ones(4))
        assert model.prior(None, condition(0.5).to_context("c", 4)).sample()[:, 2].eq(1).all()

    def test_densities_sum_and_integrate_to_one(self):
        torch.manual_seed(0)
        q = semi(latent=1).infer(Batch(torch.randn(2, EVENT)))
        line = torch.linspace(-12, 12, 4001)
        total = torch.zeros(2)
        for place in range(CLASSES):
            z = torch.cat(
                [
                    torch.eye(CLASSES)[place].expand(len(line), 2, -1),
                    line[:, None, None].expand(-1, 2, 1),
                ],
                -1,
            )
            total = total + torch.trapezoid(q.log_prob(z).exp(), line, dim=0)
        assert torch.allclose(
            total, torch.ones(2), atol=1e-8
        )  # the trapezoid rule, 12 deviations out

    def test_points_of_one_row_are_scored_for_all(self):
        torch.manual_seed(0)
        q = semi().infer(Batch(torch.randn(3, EVENT)))
        z = q.sample()
        crossed = q.log_prob(z[:, None])
        assert crossed.shape == (3, 3) and torch.allclose(
            crossed.diagonal(), q.log_prob(z), atol=1e-12
        )

    def test_moments_agree_with_draws(self):
        torch.manual_seed(0)
        for p in (semi().infer(Batch(torch.randn(2, EVENT))), semi().prior()):
            z = p.sample((40_000,))
            assert (
                (z.mean(0) - p.mean).abs() < 5 * p.stddev / 200 + 1e-12
            ).all()  # five standard errors
            assert torch.allclose(z.var(0), p.variance, atol=0.1 * p.variance.max().item())

    def test_the_closed_form_divergence_agrees_with_draws(self):
        torch.manual_seed(0)
        model = semi()
        q, p = model.infer(Batch(torch.randn(3, EVENT))), model.prior()
        z = q.sample((20_000,))
        ratio = q.log_prob(z) - p.log_prob(z)
        assert (
            (ratio.mean(0) - analytic_kl(q, p)).abs() < 5 * ratio.std(0) / math.sqrt(20_000)
        ).all()  # five standard errors

    def test_the_gradient_is_that_of_the_expectation(self):
        """Finite differences of the bound with fixed noise of the codes."""
        torch.manual_seed(0)
        model, x = semi(), torch.randn(3, EVENT)
        batch = Batch(x, torch.tensor([[1.0, 0, 0], [math.nan] * 3, [math.nan] * 3]))
        objective = objectives.Penalised(
            objectives.ELBO(), [objectives.Classification(0.7, labelled_fraction=0.5)]
        )

        def loss():
            torch.manual_seed(3)
            return gradients.EnumerateLabels()(model, objective, batch).loss

        for weight in (
            model.posterior.heads.head.weight,
            model.posterior.posterior.heads.head.weight,
            model.likelihood.noise.heads.head.weight,
        ):
            (slope,) = torch.autograd.grad(loss(), weight)
            with torch.no_grad():
                weight[0, 0] += 1e-5
                above = loss()
                weight[0, 0] -= 2e-5
                below = loss()
                weight[0, 0] += 1e-5
            assert slope[0, 0].item() == pytest.approx(
                ((above - below) / 2e-5).item(), rel=1e-5, abs=1e-8
            )

    def test_only_labels_that_are_known_train_the_classifier_directly(self):
        torch.manual_seed(0)
        model, x = semi(), torch.randn(4, EVENT)
        label = condition(0.5).to_context("b", 4)
        label[2:] = math.nan
        terms = self.bound(model, Batch(x, label)).terms
        value = objectives.Classification(labelled_fraction=0.5)(terms, model).values[0]
        expected = -model.infer(Batch(x)).class_log_probs[:2, 1].mean()
        assert value.item() == pytest.approx(expected.item(), abs=1e-12)
        assert objectives.Classification()(self.bound(model, Batch(x)).terms, model).values[0] == 0

    def test_incompatible_parts_are_refused(self):
        model = conditional()
        with pytest.raises(IncompatibleError, match=r"posteriors\.Labelled"):
            gradients.EnumerateLabels().check(model, objectives.ELBO())
        with pytest.raises(IncompatibleError, match=r"posteriors\.Labelled"):
            objectives.Classification().check(model)
        with pytest.raises(IncompatibleError, match=r"posteriors\.Labelled"):
            inference.classify(model, torch.zeros(2, EVENT))
        with pytest.raises(IncompatibleError, match="log p\\(x\\) itself"):
            gradients.EnumerateLabels().check(semi(), objectives.IWAE(4))
        for bad in (
            lambda: objectives.Classification(-1.0),
            lambda: objectives.Classification(labelled_fraction=0.0),
        ):
            with pytest.raises(ArgumentError, match="give"):
                bad()
        assert isinstance(semi().probe()[1], ClassConditional)


class TestInferring:
    def test_a_few_labels_are_enough_where_classes_are_apart(self, tmp_path):
        x, labels = clouds()
        data = mask_labels(load(x, labels=labels), 6)
        torch.manual_seed(0)
        recipe = aevb.presets.semi_supervised_vae(data.spec, latent=1, hidden=[16])
        model = aevb.fit(
            recipe, data, optimizer=adam(0.02), epochs=30, batch_size=48, progress=False
        ).model
        accuracy = metrics.accuracy(model, data.test, data.train)
        assert (
            accuracy.value.mean > 0.95
            and accuracy.n_labels == 6
            and accuracy.n_rows == len(data.test)
        )
        drawn = model.sample(200, label="2", mean=True)
        assert (torch.cdist(drawn, CLOUDS).argmin(1) == 2).float().mean() > 0.9
        aevb.save(model, tmp_path, spec=data.spec)
        again = inference.classify(aevb.load(tmp_path), data.test)
        assert again.class_names == ("0", "1", "2") and torch.equal(
            again.probabilities, inference.classify(model, data.test).probabilities
        )
        assert again.predicted_names[0] == again.class_names[again.class_indices[0]]

    def test_accuracy_needs_labelled_rows(self):
        data = mask_labels(load(*[clouds(60)[0]], labels=clouds(60)[1]), 6)
        model = aevb.presets.semi_supervised_vae(data.spec, latent=1, hidden=[4]).model
        with pytest.raises(DataError, match="has no labels"):
            metrics.accuracy(model, Rows.from_array(data.test.tensor()))
        with pytest.raises(ArgumentError, match="mask_labels"):
            aevb.presets.semi_supervised_vae(load("digits", condition="label").spec)


class TestCommand:
    def test_the_command_trains_on_a_table_and_samples_one_class(self, tmp_path, capsys):
        import polars

        table(200).write_csv(tmp_path / "t.csv")
        table(200).drop("age").write_csv(tmp_path / "other.csv")
        run = str(tmp_path / "run")
        fit = [
            "fit",
            str(tmp_path / "t.csv"),
            "--condition",
            "sex,age",
            "--epochs",
            "2",
            "--hidden",
            "8",
            "--no-report",
            "--out",
            run,
        ]
        assert main(fit) == 0
        assert "sex, one of 2 classes (f, m); age, a number" in capsys.readouterr().out
        assert (
            main(
                [
                    "sample",
                    run,
                    "-n",
                    "5",
                    "--label",
                    "sex=m",
                    "--label",
                    "age=60",
                    "--out",
                    str(tmp_path / "m.csv"),
                ]
            )
            == 0
        )
        assert polars.read_csv(tmp_path / "m.csv").columns == ["height", "weight"]
        assert main(["encode", run, str(tmp_path / "t.csv"), "--out", str(tmp_path / "z.csv")]) == 0
        assert (
            main(
                [
                    "decode",
                    run,
                    str(tmp_path / "z.csv"),
                    "--label",
                    "sex=f",
                    "--label",
                    "age=20",
                    "--out",
                    str(tmp_path / "d.csv"),
                ]
            )
            == 0
        )
        assert (
            main(["reconstruct", run, str(tmp_path / "t.csv"), "--out", str(tmp_path / "r.csv")])
            == 0
        )
        assert main(["evaluate", run, "--samples", "2"]) == 0
        assert "given sex, age" in capsys.readouterr().out
        for wrong, message in {
            ("sample", run, "--out", str(tmp_path / "n.csv")): "the context is missing",
            (
                "sample",
                run,
                "--label",
                "m",
                "--out",
                str(tmp_path / "n.csv"),
            ): "--label sex=f --label age=",
            (
                "sample",
                run,
                "--label",
                "sex=x",
                "--label",
                "age=3",
                "--out",
                str(tmp_path / "n.csv"),
            ): "the classes of sex in the training data are f, m",
            ("evaluate", run, str(tmp_path / "other.csv")): "other.csv",
            (
                "fit",
                str(tmp_path / "t.csv"),
                "--condition",
                "colour",
            ): "has no such column; it has height, weight, sex, age",
        }.items():
            assert main(list(wrong)) == 2
            assert message in capsys.readouterr().err

    def test_labels_are_inferred_from_a_few(self, tmp_path, capsys):
        run, short = str(tmp_path / "run"), ["--epochs", "1", "--hidden", "8", "--latent", "2"]
        assert (
            main(
                [
                    "fit",
                    "digits",
                    "--preset",
                    "semi_supervised_vae",
                    *short,
                    "--set",
                    "labels=50",
                    "--json",
                    "--out",
                    run,
                ]
            )
            == 0
        )
        record = json.loads(capsys.readouterr().out)
        assert (
            0 <= record["accuracy"]["mean"] <= 1
            and record["labelled_rows"] == 50
            and record["nearest_neighbour_accuracy"]["mean"] > 0.6
        )
        assert main(["predict", run, "digits", "--out", str(tmp_path / "labels.csv")]) == 0
        assert (tmp_path / "labels.csv").read_text().startswith("p_0,")
        capsys.readouterr()
        assert main(["evaluate", run, "--samples", "2", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["accuracy"]["mean"] == pytest.approx(
            record["accuracy"]["mean"]
        )
        assert "infers" in (tmp_path / "run" / "report.html").read_text()
