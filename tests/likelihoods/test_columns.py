"""Rows of mixed tables: laws cell by cell, other formulas, the marginals, and refusals."""

import json
import math

import numpy as np
import pytest
import scipy.stats
import torch
from tests import catalogue
from tests.catalogue import COLUMNS, LATENT, make_likelihood
from torch import nn

import aevb
from aevb import _persistence as persistence
from aevb import likelihoods, networks, posteriors, priors, testing
from aevb.errors import ArgumentError, IncompatibleError
from aevb.likelihoods import LikelihoodRegistration
from aevb.networks import Column

TABLES = [name for name in catalogue.LIKELIHOODS if name.startswith("columns")]
ALL = [column for columns in COLUMNS.values() for column in columns]


def table(columns, outputs=0.3, **options):
    """A likelihood in float64 with these outputs of its network for every row."""
    likelihood = likelihoods.Columns(nn.Identity(), columns, **options).double()
    likelihood(torch.zeros(1, 1).double())
    nn.init.zeros_(likelihood.heads.head.weight)
    nn.init.constant_(likelihood.heads.head.bias, outputs)
    return likelihood


def rows(likelihood, n=1):
    return likelihood(torch.zeros(n, 1).double())


@pytest.mark.parametrize("name", TABLES)
def test_cells_obey_every_law(name):
    checked = testing.check_columns(make_likelihood(name), torch.randn(4, LATENT))
    assert not checked.skipped_laws


def test_laws_notice_a_wrong_unit():
    """The law fails for a likelihood whose density is that of the encoded cell."""
    likelihood = make_likelihood("columns-densities")
    likelihood.groups[0].exact["log_unit"].zero_()
    for law in ("cell_mass", "cell_units"):
        with pytest.raises(aevb.errors.LawError):
            testing.check_columns(likelihood, torch.randn(4, LATENT), laws=[law])


# the density of the data x of a column, whose network has the output 0.3 and all other
# parameters 0, by formulas of others
X = np.array([0.5, 1.0, 3.0])
MEAN = 10 * math.tanh(0.03)
LOGISTIC = math.sqrt(3) / math.pi
OTHERS = {
    "normal": (
        Column("a", "continuous", "normal", shift=3.0, scale=2.0),
        scipy.stats.norm(3.6, 2.0).logpdf(X),
    ),
    "log_normal": (
        Column("a", "positive", "log_normal", shift=1.0, scale=0.5),
        scipy.stats.lognorm(0.5, scale=math.exp(1.15)).logpdf(X),
    ),
    "student_t": (
        Column("a", "continuous", "student_t", shift=3.0, scale=2.0),
        scipy.stats.t(10, 3.6, 2.0).logpdf(X),
    ),
    "beta": (
        Column("a", "bounded", "beta", low=-1.0, high=4.0),
        scipy.stats.beta(
            8 / (1 + math.exp(-MEAN)), 8 / (1 + math.exp(MEAN)), loc=-1.0, scale=5.0
        ).logpdf(X),
    ),
    "negative_binomial": (
        Column("a", "count", "negative_binomial", scale=3.0),
        scipy.stats.nbinom(1, 1 / (1 + 3 * math.exp(15 * math.tanh(0.02)))).logpmf(X.round()),
    ),
    "discretised_logistic": (
        Column("a", "integer", "discretised_logistic", shift=1.0, scale=4.0, step=0.5),
        np.log(
            scipy.stats.logistic(2.2, 4 * LOGISTIC).cdf(X + 0.25)
            - scipy.stats.logistic(2.2, 4 * LOGISTIC).cdf(X - 0.25)
        ),
    ),
}


@pytest.mark.parametrize("family", OTHERS)
def test_density_of_the_data_equals_scipy(family):
    column, expected = OTHERS[family]
    x = torch.tensor(X.round() if family == "negative_binomial" else X)
    y = {
        "negative_binomial": x,
        "beta": (x + 1) / 5,
        "log_normal": (x.log() - column.shift) / column.scale,
    }.get(family, (x - column.shift) / column.scale)
    found = rows(table([column])).log_prob(y[:, None])
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-10)


def test_atoms_and_bins():
    """Equal logits: atoms have 1/5 each, bins 1/5 over their width, or over their values."""
    column = Column("a", "spiky", "spiky", scale=2.0, atoms=(0.0, 4.0), edges=(0.0, 2.0, 6.0, 8.0))
    x = torch.tensor([0.0, 4.0, 1.0, 3.0, 7.0], dtype=torch.float64)
    expected = math.log(0.2) + torch.tensor(
        [0.0, 0.0, -math.log(2) - 0.5, -math.log(4), -math.log(2) - 0.5], dtype=torch.float64
    )
    found = rows(table([column])).log_prob((x / 2)[:, None])
    assert torch.allclose(found, expected, atol=1e-12)
    whole = Column("a", "spiky", "spiky", step=1.0, atoms=(3.0,), edges=(0.0, 2.0, 6.0, 8.0))
    x = torch.tensor([3.0, 2.0, 5.0, 1.0, 0.0, 6.0], dtype=torch.float64)
    first = math.log(-math.expm1(-0.5))  # of a geometric tail of two values
    expected = math.log(0.25) + torch.tensor(
        [0.0, -math.log(3), -math.log(3), first, first - 0.5, first], dtype=torch.float64
    )
    assert torch.allclose(rows(table([whole])).log_prob(x[:, None]), expected, atol=1e-12)


def test_point_values():
    """Means of numbers, modes of levels, and an atom with more than half of the mass."""
    spiky = Column("d", "spiky", "spiky", atoms=(7.0,), edges=(-2.0, -1.0, 1.0, 2.0))
    columns = [
        Column("a", "continuous", "normal", shift=3.0, scale=2.0),
        Column("b", "categorical", "categorical", levels=tuple("xyz")),
        Column("c", "binary", "bernoulli", levels=(0, 1)),
        spiky,
    ]
    likelihood = table(columns)
    parts = likelihood.heads.head.bias.data.split([part.outputs for part in likelihood.groups])
    parts[2][:] = torch.tensor([0.0, 2.0, 1.0])
    assert rows(likelihood).mean[0, :3].tolist() == pytest.approx([0.3, 1.0, 1.0])
    assert rows(likelihood).mean[0, 3].item() == pytest.approx(7 / 4)  # the bins average 0
    parts[3][0] = 3.0
    assert rows(likelihood).mean[0, 3].item() == 7.0


def test_a_model_begins_at_the_marginals():
    """The mean log-density of a column is its negative entropy, where a family can have it."""
    columns = [COLUMNS["probabilities"][3], *COLUMNS["levels"], *COLUMNS["spiky"][:2]]
    likelihood = table(columns, outputs=0.0)
    shares = torch.linspace(0.2, 0.8, len(columns)).double()
    x = (torch.rand(4000, len(columns)).double() < shares).double()
    x[:, -2:] = torch.tensor([column.atoms[0] for column in columns[-2:]]).double()
    x[:, -2:] = ((x[:, -2:] - torch.tensor([38.0, 10.0])) / torch.tensor([11.0, 30.0])).float()
    x[::7, 2] = torch.nan
    likelihood.initialise_from_data(x)
    found = rows(likelihood).cell_log_prob(x).sum(0) / (~x.isnan()).sum(0)
    mean = x.nanmean(0)[:5]
    entropy = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean))
    assert torch.allclose(found[:5], -entropy, atol=2e-3)  # half a count for levels without one
    assert (found[5:].abs() < 5e-3).all()
    likelihood.heads.head.bias.data += 1.0
    before = likelihood.heads.head.bias.clone()
    likelihood.initialise_from_data(x)  # a trained model stays as it is
    assert torch.equal(before, likelihood.heads.head.bias)


def test_wide_and_narrow_columns_are_evaluated_apart():
    """200 columns of 3 levels beside one of 900 are not padded to 900, and cells stay in place."""
    narrow = Column("a", "categorical", "categorical", levels=(1, 2, 3))
    wide = Column("b", "categorical", "categorical", levels=tuple(range(900)))
    columns = [*[narrow] * 100, wide, *[narrow] * 100]
    p = rows(table(columns))
    assert sum(math.prod(group.log_probs.shape) for group in p.groups) == 200 * 3 + 900
    x = torch.zeros(1, 201).double()
    x[0, 100] = 899
    cells = p.cell_log_prob(x)[0]
    assert cells[100].item() == pytest.approx(-math.log(900))
    assert cells[:100].exp().sum().item() == pytest.approx(100 / 3)
    assert p.support.check(x).all() and not p.support.check(x + 1).any()


def test_kinds_and_measures():
    likelihood = table([*COLUMNS["probabilities"], COLUMNS["spiky"][0]])
    assert likelihood.cell_kinds == ("names", "numbers", "numbers", "names", "numbers")
    assert likelihood.measure == "probability" and likelihood.unbounded
    for name, measure in [("densities", "density"), ("levels", "probability"), ("spiky", "mixed")]:
        assert table(COLUMNS[name]).measure == measure
    assert not table(COLUMNS["levels"]).unbounded


def test_support_of_each_cell():
    p = rows(table(ALL))
    x = p.sample((50,))
    x[..., 3] = torch.nan
    inside = p.support.base_constraint.check(x)
    assert inside.all() and inside.shape == x.shape
    for place, column in enumerate(ALL):
        outside = x[0].clone()
        outside[0, place] = {"normal": math.inf, "student_t": math.inf}.get(
            column.likelihood, math.inf if column.likelihood == "log_normal" else -0.03
        )
        if column.likelihood != "spiky" or column.step:
            found = p.support.base_constraint.check(outside)[0]
            assert not found[place] and found.sum() == len(ALL) - 1, column.name


def test_shared_columns_are_written_once_and_read_again(tmp_path):
    width = networks.Columns.width(ALL)
    model = aevb.VAE(
        priors.Normal(2),
        posteriors.Normal(networks.Columns(networks.MLP(width, [5]), ALL), 2),
        likelihoods.Columns(networks.MLP(2, [5]), ALL, scale="predicted"),
    ).eval()
    text = json.dumps(persistence.to_config(model))
    assert text.count('networks.Column"') == len(ALL)
    again = aevb.load(persistence.save(model, tmp_path / "run"))
    x = model.sample(3)
    x[0, 0] = torch.nan
    batch = aevb.Batch(x)
    assert torch.equal(model.infer(batch).mean, again.infer(batch).mean)
    z = torch.zeros(3, 2)
    assert torch.equal(model.likelihood(z).log_prob(x), again.likelihood(z).log_prob(x))


def test_models_of_tables_are_stacked():
    """Runs of one architecture train side by side, with missing cells."""
    columns = [*COLUMNS["levels"][1:3], *COLUMNS["spiky"][:3]]
    width = networks.Columns.width(columns)
    x = rows(table(columns), 64).sample().float()
    x[::5, 1] = torch.nan

    def build():
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.Columns(networks.MLP(width, [5]), columns), 2),
            likelihoods.Columns(networks.MLP(2, [5]), columns),
        )

    fitted = aevb.fit_many([build(), build()], x, epochs=1, batch_size=32, compile=False)
    assert [note.code for note in fitted[0].notes] == ["stacked"]
    assert all(parameter.isfinite().all() for run in fitted for parameter in run.model.parameters())


@pytest.mark.parametrize(
    "columns, options, argument",
    [
        ([], {}, "columns"),
        ([Column("id", "identifier")], {}, "columns"),
        ([Column("a", "categorical", "categorical", levels=("x",))], {}, "columns"),
        ([Column("a", "binary", "bernoulli", levels=(1, 2, 3))], {}, "columns"),
        ([Column("a", "bounded", "beta", low=1.0, high=1.0)], {}, "columns"),
        ([Column("a", "bounded", "beta")], {}, "columns"),
        ([Column("a", "integer", "discretised_logistic")], {}, "columns"),
        ([Column("a", "continuous", "normal", scale=0.0)], {}, "columns"),
        ([Column("a", "continuous", "normal", scale=math.nan)], {}, "columns"),
        (ALL, {"scale": "shared"}, "scale"),
    ],
)
def test_columns_without_a_family_are_refused(columns, options, argument):
    with pytest.raises(ArgumentError) as error:
        likelihoods.Columns(nn.Identity(), columns, **options)
    assert error.value.argument == argument


def test_is_not_built_by_name():
    with pytest.raises(IncompatibleError) as error:
        LikelihoodRegistration.find("columns").from_network(nn.Identity(), (3,))
    assert error.value.argument == "likelihood" and error.value.suggestions


def test_rows_score_alike_beside_rows_with_gaps():
    """Complete batches are scored by direction, which takes no factorisation for each row."""
    columns = [Column(f"x{i}", "continuous", "normal", scale=2.0) for i in range(3)]
    likelihood = table([*columns, Column("s", "continuous", "student_t")], whiten=True).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, generator=generator).double()
    x[:, 1] += x[:, 0]
    likelihood.initialise_from_data(x)
    for group in likelihood.groups:
        if hasattr(group, "whitening"):
            group.whitening.fit(x[:, :3])
    p = rows(likelihood, 50)
    assert p.groups[0].rows.matrix.tril(-1).any()  # correlated
    torch.testing.assert_close(p.log_prob(x), p.cell_log_prob(x).sum(-1), rtol=1e-9, atol=1e-9)
    gaps = torch.cat([x[:1], x[1:].masked_fill(x[1:] > 1, torch.nan)])
    torch.testing.assert_close(p.log_prob(gaps)[0], p.log_prob(x)[0], rtol=1e-9, atol=1e-9)
