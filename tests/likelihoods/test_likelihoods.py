"""Likelihoods against other formulas, with missing cells, and their checks in ``fit``."""

import copy
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from tests.refusals import refused, refused_by_name
from torch import nn
from torch.distributions import MultivariateNormal

import aevb
from aevb import (
    VAE,
    Batch,
    distributions,
    gradients,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb.distributions import (
    DiscretisedLogistic,
    PartiallyObserved,
    StudentT,
    VonMises,
    ZeroInflated,
    ordinal,
)
from aevb.distributions._student_t import GAMMA_SERIES_THRESHOLD, log_gamma_ratio
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.training._optimisers import adam

Z = torch.tensor([[0.3, -1.2], [0.0, 0.0], [2.0, 0.7]], dtype=torch.float64)


def linear_likelihood(name, *arguments, event=(3,), **options):
    """A likelihood on a linear network, in float64, whose heads exist."""
    with aevb._random.seed_scope(3):
        likelihood = getattr(likelihoods, name)(
            networks.MLP(2), event, *arguments, **options
        ).double()
        likelihood(Z)
    return likelihood


def cells(likelihood):
    """The distribution of each cell, and one draw of it."""
    with aevb._random.seed_scope(5):
        p = likelihood(Z).base_dist
        return p, p.sample()


def array(value):
    return value.detach().numpy()


# name -> the density in scipy of x under the distribution of a cell
SCIPY = {
    "StudentT": lambda p, x: scipy.stats.t.logpdf(x, array(p.dof), array(p.loc), array(p.scale)),
    "Poisson": lambda p, x: scipy.stats.poisson.logpmf(x, array(p.mean)),
    # variance m + m^2 / c; the probability of a success is c / (c + m)
    "NegativeBinomial": lambda p, x: scipy.stats.nbinom.logpmf(
        x, (c := array(p.mean) ** 2 / (array(p.variance) - array(p.mean))), c / (c + array(p.mean))
    ),
    "Gamma": lambda p, x: scipy.stats.gamma.logpdf(
        x, (c := array(p.mean**2 / p.variance)), scale=array(p.mean) / c
    ),
    "LogNormal": lambda p, x: scipy.stats.lognorm.logpdf(
        x, array(p.base.scale), scale=np.exp(array(p.base.loc))
    ),
    "Beta": lambda p, x: scipy.stats.beta.logpdf(
        x,
        array(p.mean) * (c := array(p.mean * (1 - p.mean) / p.variance) - 1),
        (1 - array(p.mean)) * c,
    ),
    "VonMises": lambda p, x: scipy.stats.vonmises.logpdf(
        x, np.hypot(array(p.a), array(p.b)), array(p.mean)
    ),
}


@pytest.mark.parametrize("name", SCIPY)
def test_density_equals_scipy(name):
    p, x = cells(linear_likelihood(name))
    # parameters are taken from mean and variance, which costs some digits
    np.testing.assert_allclose(array(p.log_prob(x)), SCIPY[name](p, array(x)), rtol=1e-8, atol=1e-8)


class TestStudentT:
    @pytest.mark.parametrize(
        "a", [0.1, 1.0, GAMMA_SERIES_THRESHOLD - 1e-6, GAMMA_SERIES_THRESHOLD, 50.0, 1700.0]
    )
    def test_quotient_of_gamma_functions(self, a):
        exact = scipy.special.gammaln(a + 0.5) - scipy.special.gammaln(a)
        # the difference of two logarithms of size 1e4 is known to 1e-12; the series to 1e-12 at 20
        assert log_gamma_ratio(torch.tensor(a, dtype=torch.float64)).item() == pytest.approx(
            exact, abs=3e-12
        )

    def test_many_degrees_of_freedom_keep_their_digits_in_single_precision(self):
        """A difference of ``lgamma`` of size 1e4 would be off by 1e-3 for each cell."""
        one = torch.ones(())
        value = StudentT(0 * one, one, 3000 * one).log_prob(one).item()
        assert value == pytest.approx(scipy.stats.t.logpdf(1.0, 3000), abs=1e-6)

    def test_an_outlier_pulls_less_the_further_it_is(self):
        """A Normal's gradient grows with distance; here it is ``(dof + 1) y / (dof + y^2)``."""
        loc = torch.zeros((), dtype=torch.float64, requires_grad=True)
        p = StudentT(loc, torch.ones(()).double(), torch.tensor(4.0).double())
        slopes = [
            torch.autograd.grad(p.log_prob(torch.tensor(y).double()), loc)[0].item()
            for y in (2.0, 100.0)
        ]
        assert slopes == pytest.approx([5 * 2 / 8, 500 / 10004], abs=1e-12)

    def test_degrees_of_freedom_are_learned(self):
        """The gradient of the likelihood moves them from 10 towards the value of the data."""
        likelihood = linear_likelihood("StudentT", scale=1.0)
        optimizer = torch.optim.Adam([likelihood.dof_raw], 0.1)
        with aevb._random.seed_scope(0):
            x = torch.distributions.StudentT(torch.tensor(3.0).double()).sample((1000, 3))
        nn.init.zeros_(likelihood.noise.heads.head.weight)
        for _ in range(50):
            optimizer.zero_grad()
            (-likelihood(torch.zeros(1, 2).double()).log_prob(x).mean()).backward()
            optimizer.step()
        # 3,000 values: the degrees of freedom have a standard error of about 0.2
        assert likelihood.dof.item() == pytest.approx(3.0, abs=1.0)


class TestCounts:
    def test_additional_zeros(self):
        p = ZeroInflated(
            torch.distributions.Poisson(torch.tensor(2.0).double()), torch.tensor(-1.0).double()
        )
        x, empty = np.arange(5), 1 / (1 + math.e)
        expected = (1 - empty) * scipy.stats.poisson.pmf(x, 2) + empty * (x == 0)
        np.testing.assert_allclose(
            array(p.log_prob(torch.tensor(x).double()).exp()), expected, rtol=1e-12
        )

    def test_additional_zeros_never_underflow(self):
        p = ZeroInflated(
            torch.distributions.Poisson(torch.tensor(1e4)), torch.tensor(-1e4, requires_grad=True)
        )
        value = p.log_prob(torch.tensor(0.0))
        assert value.item() == pytest.approx(-1e4 + math.log(2), rel=1e-6)
        value.backward()
        assert p.logits.grad.isfinite()

    def test_the_network_begins_at_the_unit(self):
        for name in ("Poisson", "NegativeBinomial", "Gamma"):
            likelihood = linear_likelihood(name, unit=50.0)
            assert torch.allclose(
                likelihood(torch.zeros(1, 2).double()).mean, torch.tensor(50.0).double()
            )

    def test_a_large_concentration_is_nearly_a_poisson(self):
        spread, plain = linear_likelihood("NegativeBinomial", 1e9), linear_likelihood("Poisson")
        x = torch.tensor([[0.0, 1.0, 4.0]]).double()
        # sqrt(m) / c of difference, and lgamma(1e9) is known to 1e-6
        assert torch.allclose(spread(Z).log_prob(x), plain(Z).log_prob(x), atol=1e-5)


class TestVonMises:
    @pytest.mark.parametrize("kappa", [0.0, 0.5, 50.0, 500.0, 1e4])
    def test_normaliser(self, kappa):
        """``log I_0`` from its scaled form: ``I_0(500)`` itself would be 1e215."""
        p = VonMises(torch.tensor(0.6 * kappa).double(), torch.tensor(0.8 * kappa).double())
        x = torch.linspace(-math.pi, math.pi, 7).double()
        expected = kappa * (np.cos(array(x) - math.atan2(0.8, 0.6)) - 1) - np.log(
            2 * np.pi * scipy.special.i0e(kappa)
        )
        # 1e4 times rounding of a cosine; a length of 1e-6 in the place of 0
        np.testing.assert_allclose(array(p.log_prob(x)), expected, atol=1e-11)

    def test_density_is_periodic(self):
        p = VonMises(torch.tensor(-3.0).double(), torch.tensor(0.1).double())
        ends = p.log_prob(torch.tensor([-math.pi, math.pi], dtype=torch.float64))
        assert ends[0].item() == pytest.approx(ends[1].item(), abs=1e-14)
        assert p.support.check(VonMises(torch.tensor(-3.0), torch.tensor(0.0)).sample((500,))).all()


class TestOrdinal:
    def test_levels_are_differences_of_logistic_functions(self):
        first, gaps = torch.tensor([-1.5]).double(), torch.tensor([0.5, 2.0]).double()
        p = ordinal(torch.tensor([0.3, -0.4]).double(), first, gaps)
        below = torch.sigmoid(
            torch.tensor([-1.5, -1.0, 1.0]).double() - torch.tensor([[0.3], [-0.4]]).double()
        )
        edges = torch.cat([torch.zeros(2, 1), below, torch.ones(2, 1)], -1)
        assert torch.allclose(p.logits.exp(), edges.diff(dim=-1), atol=1e-14)

    def test_far_levels_do_not_underflow(self):
        p = ordinal(torch.tensor(500.0), torch.tensor([-1.0]), torch.tensor([2.0]))
        assert p.log_prob(torch.tensor(0.0)).item() == pytest.approx(-501, rel=1e-6)

    def test_two_levels_are_a_bernoulli(self):
        likelihood = linear_likelihood("Ordinal", 2)
        location = likelihood.heads(Z)[0]
        x = torch.tensor([0.0, 1.0, 1.0]).double()
        assert torch.allclose(
            likelihood(Z).log_prob(x),
            torch.distributions.Bernoulli(logits=location).log_prob(x).sum(-1),
            atol=1e-13,
        )


class TestLogisticMixture:
    def test_is_a_weighted_sum_of_discretised_logistics(self):
        likelihood = linear_likelihood("LogisticMixture", levels=17, components=3)
        logits, loc, raw = (part.movedim(1, -1) for part in likelihood.heads(Z))
        x = torch.tensor([0.0, 7.0, 16.0]).double()
        parts = DiscretisedLogistic(
            16 * (torch.tensor([1, 3, 5]) / 6 + loc), 1.6 * aevb.distributions.to_scale(raw), 17
        )
        expected = (logits.softmax(-1) * parts.log_prob(x[:, None]).exp()).sum(-1).log().sum(-1)
        assert torch.allclose(
            likelihood(Z).log_prob(x), expected, atol=1e-6
        )  # the offsets have single precision

    def test_images_come_from_convolutions(self):
        likelihood = likelihoods.LogisticMixture(
            networks.ConvDecoder(2, (3, 6, 4), [4, 4]), (3, 6, 4), levels=256, components=2
        )
        assert likelihood(torch.zeros(5, 2)).sample().shape == (5, 3, 6, 4) and isinstance(
            likelihood.heads.head, nn.Conv2d
        )


# empty cells

HOLES = torch.tensor(
    [[math.nan, 1.0, 2.0], [0.0, math.nan, math.nan], [math.nan] * 3], dtype=torch.float64
)
ALL = [
    "Bernoulli",
    "ContinuousBernoulli",
    "Normal",
    "Laplace",
    *SCIPY,
    "ZeroInflatedNegativeBinomial",
]


class TestMissing:
    @pytest.mark.parametrize("name", ALL)
    def test_value_and_gradient_equal_those_of_observed_cells(self, name):
        inner = linear_likelihood(name)
        _, x = cells(inner)
        holes = torch.where(HOLES.isnan(), HOLES, x)
        results = []
        for score in (
            lambda: likelihoods.Missing(inner)(Z).log_prob(holes),
            lambda: torch.stack(
                [inner(Z).base_dist.log_prob(x)[i][~HOLES[i].isnan()].sum() for i in range(3)]
            ),
        ):
            inner.zero_grad()
            value = score()
            value.sum().backward()
            results.append([value.detach(), *(p.grad.clone() for p in inner.parameters())])
        assert results[0][0][2] == 0
        # the same sums in another order
        assert all(
            torch.allclose(a, b, rtol=1e-12, atol=1e-13) for a, b in zip(*results, strict=True)
        )

    def test_levels(self):
        for likelihood in (
            linear_likelihood("Categorical", 4),
            linear_likelihood("Ordinal", 4),
            linear_likelihood("LogisticMixture", 17),
            linear_likelihood("DiscretisedLogistic", 17),
        ):
            value = likelihoods.Missing(likelihood)(Z).log_prob(HOLES)
            assert value.isfinite().all() and value[2] == 0

    def test_units_count_for_observed_cells(self):
        inner = likelihoods.Scaled(
            linear_likelihood("Normal", 1.0), [1.0, 2.0, 3.0], [10.0, 100.0, 1000.0]
        )
        expected = inner(Z)
        value = likelihoods.Missing(inner)(Z).log_prob(HOLES)
        cell = torch.distributions.Normal(expected.mean, expected.stddev).log_prob(
            HOLES.nan_to_num()
        )
        assert torch.allclose(value, (cell * ~HOLES.isnan()).sum(-1), atol=1e-12)

    def test_complete_data_have_the_inner_density(self):
        inner = linear_likelihood("Normal")
        x = torch.randn(3, 3).double()
        # the same sums, maybe in another order
        assert torch.allclose(
            likelihoods.Missing(inner)(Z).log_prob(x), inner(Z).log_prob(x), rtol=1e-12, atol=1e-13
        )

    def test_optimal_noise_uses_observed_cells_only(self):
        likelihood = likelihoods.Missing(linear_likelihood("Normal", "optimal"))
        p = likelihood(Z)
        likelihood.update_state(p, HOLES)
        error = (HOLES - p.mean).square().nanmean().item()
        assert likelihood.likelihood.noise.running_error.item() == pytest.approx(
            0.99 + 0.01 * error, rel=1e-12
        )

    def test_dependent_cells_are_refused(self):
        inner = likelihoods.Normal(networks.MLP(2), (3,))
        with refused(IncompatibleError, "likelihood", "Bayesian(likelihood=likelihoods.Missing"):
            likelihoods.Missing(likelihoods.Bayesian(inner))
        with refused(IncompatibleError, "likelihood", "Missing(likelihood=likelihoods.Scaled"):
            likelihoods.Scaled(likelihoods.Missing(inner), [0.0], [2.0])
        assert likelihoods.Bayesian(likelihoods.Missing(inner)).allows_missing

    def test_support(self):
        p = PartiallyObserved(linear_likelihood("Poisson")(Z))
        assert p.support.check(HOLES).all() and p.support.check(-1 - HOLES).tolist() == [
            False,
            False,
            True,
        ]


def holed(encoder, inner=None):
    likelihood = likelihoods.Missing(
        inner or likelihoods.Normal(networks.MLP(1, [8]), (3,), "per_element")
    )
    return VAE(priors.Normal(1), posteriors.Normal(encoder, 1), likelihood)


def line(rows=600):
    """Points near a line in three dimensions, and the same with a third of the cells empty."""
    with aevb._random.seed_scope(2):
        x = torch.randn(rows, 1) * torch.tensor([1.0, -2.0, 0.5]) + 0.1 * torch.randn(rows, 3)
        return x, torch.where(torch.rand(rows, 3) < 1 / 3, torch.nan, x)


class TestDoor:
    def test_missing_cells_are_imputed(self):
        whole, x = line()
        with aevb._random.seed_scope(0):
            model = holed(networks.FillMissing(networks.MLP(6, [16])))
        result = aevb.fit(model, x, epochs=60, batch_size=50, optimizer=adam(1e-2), progress=False)
        assert result.history[-1].skipped_steps == 0
        filled = result.model.reconstruct(x)
        known = x.isnan() & ~x.isnan().all(1, keepdim=True)
        error = (filled - whole)[known].square().mean() / whole[known].square().mean()
        # the mean of each column would leave all of it; what cannot be known is about 2 %
        assert error < 0.2

    def test_networks_without_missing_values_are_refused(self):
        with pytest.raises(DataError, match=r"networks\.FillMissing"):
            aevb.fit(holed(networks.MLP(3, [8])), line()[1], epochs=1, progress=False)

    def test_likelihoods_without_missing_values_are_refused(self):
        model = VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(3), 1),
            likelihoods.Normal(networks.MLP(1), (3,)),
        )
        with pytest.raises(DataError, match=r"holds NaN.*likelihoods\.Missing"):
            aevb.fit(model, line()[1], epochs=1, progress=False)

    def test_infinity_is_not_missing(self):
        with pytest.raises(DataError, match="infinity"):
            aevb.fit(holed(networks.MLP(3)), torch.full((8, 3), math.inf), epochs=1, progress=False)

    @pytest.mark.parametrize(
        "name, value, instead",
        [
            ("Poisson", -1.0, "Normal"),
            ("NegativeBinomial", 1.5, "Normal"),
            ("Gamma", 0.0, ""),
            ("Beta", 1.0, ""),
            ("VonMises", 4.0, ""),
            ("Bernoulli", 300.0, "NegativeBinomial"),
        ],
    )
    def test_values_outside_the_support_are_refused(self, name, value, instead):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(3), 2),
            getattr(likelihoods, name)(networks.MLP(2), (3,)),
        )
        x = torch.tensor([0.5, 0.25, value]) if name == "Beta" else torch.tensor([1.0, 1.0, value])
        with pytest.raises(
            DataError, match=f"row 0 of `data` holds {value:g}, outside .*{instead}"
        ):
            aevb.fit(model, x.expand(8, 3), epochs=1, progress=False)

    @pytest.mark.parametrize(
        "build",
        [
            lambda net: likelihoods.StudentT(net, (3,), dof=2.0),
            lambda net: likelihoods.StudentT(net, (3,), dof="many"),
            lambda net: likelihoods.StudentT(net, (3,), scale="optimal"),
            lambda net: likelihoods.Poisson(net, (3,), unit=0.0),
            lambda net: likelihoods.NegativeBinomial(net, (3,), concentration=-1.0),
            lambda net: likelihoods.Gamma(net, (3,), concentration="wide"),
            lambda net: likelihoods.Ordinal(net, (3,), levels=1),
            lambda net: likelihoods.Ordinal(net, (3,), 3, cuts="none"),
            lambda net: likelihoods.LogisticMixture(net, (3,), components=0),
        ],
        ids=[
            "dof of 2",
            "unknown dof",
            "optimal",
            "unit of 0",
            "below 0",
            "unknown kind",
            "one level",
            "unknown cuts",
            "no component",
        ],
    )
    def test_invalid_arguments_are_refused_by_name(self, build):
        with refused_by_name(ArgumentError):
            build(networks.MLP(2))


class TestChoice:
    def counts(self):
        with aevb._random.seed_scope(1):
            return torch.poisson(torch.full((200, 4), 300.0)).numpy()

    def test_counts_above_255_are_accepted_on_request(self):
        spec = aevb.data.load(self.counts(), likelihood="negative_binomial").spec
        assert (
            spec.measure == "probability"
            and spec.scale[0] == pytest.approx(300, rel=0.02)
            and any(note.code == "decoder_start" for note in spec.notes)
        )
        model = aevb.presets.preset("vae", spec, latent=2, hidden=(4,)).model
        assert (
            isinstance(model.likelihood, likelihoods.NegativeBinomial)
            and model.likelihood.unit == spec.scale[0]
        )

    @pytest.mark.parametrize("wrong", [-1.0, 0.5])
    def test_values_that_are_not_counts_are_refused(self, wrong):
        x = self.counts()
        x[7, 2] = wrong
        with pytest.raises(DataError, match=f"whole numbers.*{wrong:g}"):
            aevb.data.load(x, likelihood="poisson")

    def test_presets_refuse_other_data(self):
        with refused(ArgumentError, "likelihood", "student_t"):
            aevb.presets.preset("student_vae", aevb.data.load("digits").spec)
        with refused(ArgumentError, "likelihood", "negative_binomial"):
            aevb.presets.preset("count_vae", aevb.data.load(self.counts() + 0.5).spec)


def test_sequences_of_several_lengths():
    """Padding with NaN: what follows the end changes neither the bound nor a gradient."""
    with aevb._random.seed_scope(0):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.Embed(networks.GRU(4, 8), vocabulary=5, width=4), 2),
            likelihoods.Missing(likelihoods.Categorical(networks.MLP(2, [8]), (6,), categories=5)),
        )
        x = torch.randint(0, 5, (9, 6)).float()
    x[:3, 4:] = torch.nan
    estimate = gradients.Pathwise()(model, objectives.ELBO(), Batch(x))
    estimate.loss.backward()
    assert estimate.objective_value.bound.isfinite().all() and all(
        p.grad.isfinite().all() for p in model.parameters()
    )
    # six tokens against four
    assert estimate.terms.log_likelihood[0, :3].mean() > estimate.terms.log_likelihood[0, 3:].mean()


class TestCells:
    def test_dependent_cells_are_refused(self):
        z, x = torch.zeros(2, 3), torch.zeros(2, 4)
        for likelihood in (
            likelihoods.Autoregressive(nn.Identity(), (4,)),
            likelihoods.Bayesian(likelihoods.Normal(networks.MLP(3, [4]), (4,))),
        ):
            with pytest.raises(IncompatibleError):
                likelihood.cells(z, x)

    def test_correlated_cells_have_no_parts(self):
        correlated = MultivariateNormal(torch.zeros(2), torch.eye(2))
        one = torch.ones(())
        for p in (correlated, distributions.Affine(correlated, 0 * one, one)):
            assert distributions.cell_log_prob(p, torch.zeros(2)) is None

    def test_constant_cells_have_no_part(self):
        inner = likelihoods.Scaled(likelihoods.Normal(nn.Identity(), (2,), scale=1.0), [0.0], [3.0])
        constant = likelihoods.Missing(likelihoods.ConstantCells(inner, [None, 7.0]))
        z = torch.zeros(1, 3)
        cells = constant.cells(z, torch.tensor([[1.0, 7.0], [torch.nan, 7.0]])[:, None])
        assert cells.shape == (2, 1, 2) and not cells[..., 1].any() and not cells[1].any()
        assert torch.allclose(cells[0, 0, 0], constant(z).log_prob(torch.tensor([[1.0, 7.0]])))


class TestProduct:
    def parts(self):
        scaled = likelihoods.Scaled(
            likelihoods.Normal(nn.Identity(), (2,), "optimal"), [1.0], [3.0]
        )
        image = likelihoods.Categorical(nn.Identity(), (2, 2), 3)
        return likelihoods.ConstantCells(scaled, [None, 7.0]), image

    def test_density_is_the_sum_and_cells_keep_their_order(self):
        table, image = self.parts()
        both = likelihoods.Product([table, image])
        z = torch.randn(5, 3)
        x = both(z).sample()
        pieces = x[:, :2], x[:, 2:].reshape(5, 2, 2)
        log_prob = table(z).log_prob(pieces[0]) + image(z).log_prob(pieces[1])
        assert torch.allclose(both(z).log_prob(x), log_prob, atol=1e-6)
        assert torch.equal(both.cells(z, x)[:, 2:], image.cells(z, pieces[1]).flatten(1))
        assert both.constant_values[1] == 7 and both.constant_values[[0, 2, 3, 4, 5]].isnan().all()

    def test_traits_are_those_of_the_parts(self):
        table, image = self.parts()
        both = likelihoods.Product([table, image])
        assert both.measure == "mixed" and not both.allows_missing and both.factorises
        assert both.cell_kinds == ("numbers",) * 2 + ("names",) * 4
        same = likelihoods.Product([image, likelihoods.Categorical(nn.Identity(), (1,), 2)])
        assert (same.measure, same.cell_kinds, same.event_shape) == ("probability", "names", (5,))
        pixels = likelihoods.Autoregressive(nn.Identity(), (4,))
        assert not likelihoods.Product([table, pixels]).factorises

    def test_each_part_is_updated_from_its_own_data(self):
        table, image = self.parts()
        both, z = likelihoods.Product([table, image]), torch.randn(1, 5, 3)
        x = torch.cat([torch.full((5, 1), 4.0), torch.full((5, 1), 7.0), torch.zeros(5, 4)], 1)
        distribution, alone = both(z), copy.deepcopy(table)
        before = table.likelihood.likelihood(z).variance
        both.update_state(distribution, x)
        alone.update_state(alone(z), x[:, :2])
        after, expected = (each.likelihood.likelihood(z).variance for each in (table, alone))
        assert torch.equal(after, expected) and not torch.equal(after, before)

    def test_wrapped_products_and_offsets_are_refused(self):
        both = likelihoods.Product(self.parts())
        offset = likelihoods.Scaled(likelihoods.Normal(nn.Identity(), (2,)), [0.0], [1.0], [1e9])
        for build in (
            lambda: likelihoods.Missing(both),
            lambda: likelihoods.ConstantCells(both, [None] * 6),
            lambda: likelihoods.Product([offset]),
        ):
            with pytest.raises(IncompatibleError):
                build()
        with pytest.raises(ArgumentError):
            likelihoods.Product([])

    def test_a_model_of_a_product_is_saved_and_fills_missing_cells(self, tmp_path):
        parts = [
            likelihoods.Missing(likelihoods.Normal(networks.MLP(2), (2,))),
            likelihoods.Missing(likelihoods.Bernoulli(networks.MLP(2), (3,))),
        ]
        encoder = networks.FillMissing(networks.MLP(10))
        model = VAE(priors.Normal(2), posteriors.Normal(encoder, 2), likelihoods.Product(parts))
        model.infer(Batch(torch.zeros(1, 5)))
        model.likelihood(torch.zeros(1, 2))
        again = aevb.load(aevb.save(model, tmp_path / "run"))
        z = torch.randn(4, 2)
        assert torch.equal(model.eval().likelihood(z).mean, again.likelihood(z).mean)
        x = torch.tensor([[0.5, torch.nan, 1.0, torch.nan, 0.0]])
        filled = aevb.inference.impute(again, x, 50, draws=4)
        assert filled.x.isfinite().all() and set(filled.draws[:, 0, 3].tolist()) <= {0.0, 1.0}
