"""Every published method in the table can be built, is what its line says, and takes a step."""

import functools
import runpy
from pathlib import Path

import polars
import pytest
import torch

import aevb
from aevb import Batch, networks
from aevb._random import seed_scope
from aevb.errors import AevbError, ArgumentError
from aevb.notes import Argument
from aevb.presets import PRESETS, build_likelihood, default_preset, find_preset, preset

READING = {  # methods for data of one kind
    "sigma_vae": {"likelihood": "normal"},
    "student_vae": {"likelihood": "student_t"},
    "mnist": {"binarise": "fixed"},
}
# A density of repeated values has no limit, and the tail of a Student t leaves its centre free to
# become one: its data are uniform over each grey level, where a density is at most a probability.
DEQUANTISED = {"student_vae"}
OWN_LIKELIHOOD = {"count_vae": "negative_binomial"}  # instead of the usual one for the data
PAGES = Path(__file__).resolve().parents[2]


@functools.cache
def rows_for(name):
    if name == "not_miwae":
        return numbers_with_holes()
    labels = find_preset(name).label_requirement
    data = aevb.data.load(
        dequantised_digits() if name in DEQUANTISED else "digits",
        **READING.get(name, {}),
        **({"condition": "label"} if labels else {}),
    )
    return aevb.data.mask_labels(data) if labels == "few" else data


@functools.cache
def numbers_with_holes():
    """Real numbers, of which two columns lack all high values."""
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0)).cumsum(1)
    x[:, :2] = torch.where(x[:, :2] > 0.5, torch.nan, x[:, :2])
    return aevb.data.load(polars.DataFrame(x.numpy(), schema=[*"abcd"]))


@functools.cache
def dequantised_digits():
    """Images of real numbers: each grey level from 0 to 16 plus a number in [0, 1)."""
    data = aevb.data.load("digits")
    levels = torch.cat([part.tensor() for part in (data.train, data.validation, data.test)])
    noise = torch.rand(levels.shape, generator=torch.Generator().manual_seed(0))
    return (levels + noise).numpy()


@functools.cache
def small(name):
    """The recipe on the digits, as narrow as it can be."""
    options = {"latent": 2, "hidden": (8,), "rows": len(rows_for(name).train)}
    with seed_scope(0):
        return preset(
            name,
            rows_for(name).spec,
            **{key: value for key, value in options.items() if key in find_preset(name).options},
        )


@pytest.mark.parametrize("name", PRESETS)
def test_its_line_says_what_it_is(name):
    entry, recipe = PRESETS[name], small(name)
    recipe.gradient.check(recipe.model, recipe.objective)
    assert entry.kind == recipe.gradient.bound_kind(recipe.objective)
    assert type(recipe.gradient).__name__ in entry.components
    assert entry.paper[-4:].isdigit() and entry.use_when
    assert entry.build.__name__ == name and entry.build is getattr(aevb.presets, name)


@pytest.mark.parametrize("page", ["docs/presets.md", "docs/choose/preset.md"])
def test_every_preset_has_its_line(page):
    """A row of a table whose first cells name it."""
    lines = [
        line
        for line in (PAGES / page).read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    assert [name for name in PRESETS if not any(f"`{name}`" in line for line in lines)] == []


def test_the_page_is_that_of_the_table():
    module = runpy.run_path(str(PAGES / "examples" / "common" / "presets.py"))
    assert module["render_page"]() == (PAGES / "docs" / "presets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PRESETS)
def test_it_takes_a_step(name):
    with seed_scope(1):
        recipe = small(name)
        rows = rows_for(name).train
        before = torch.cat([p.detach().flatten().clone() for p in recipe.model.parameters()])
        needs_all = "rows" in find_preset(name).options  # one set of parameters per row
        result = aevb.fit(
            recipe,
            rows if needs_all else rows.subset(slice(256)),
            epochs=1,
            batch_size=256,
            progress=False,
        )
    after = torch.cat([p.detach().flatten() for p in recipe.model.parameters()])
    assert after.isfinite().all() and not torch.equal(before, after)
    assert result.history[0].skipped_steps == 0


NOT_MAXIMISED = [
    "vae_gan",
    "msssim_vae",
]  # they report the ELBO, and train their decoder by something else
MADE_FOR_OTHER_DATA = [
    "not_miwae",  # tables with missing cells
    "mnist",
    # on 8 x 8 digits binarised at random (27.5 nats without latents, 13.5 of them noise) it gains
    # 4.2 nats
]
BOUNDS = [
    name
    for name in PRESETS
    if PRESETS[name].kind == "lower bound" and name not in (*NOT_MAXIMISED, *MADE_FOR_OTHER_DATA)
]


@pytest.mark.parametrize("name", NOT_MAXIMISED)
def test_a_bound_that_is_not_maximised_weighs_its_likelihood(name):
    """Their objective weighs the log-likelihood by a hundredth."""
    assert small(name).objective.objective.likelihood_weight == 0.01


@functools.cache
def factorised_log_likelihood(likelihood, binarise, scale, dequantised):
    """Held-out nats of the best factorised distribution of the same family, without a latent."""
    source = dequantised_digits() if dequantised else "digits"
    data = aevb.data.load(source, likelihood=likelihood, binarise=binarise)
    with seed_scope(0):
        model = build_likelihood(data.spec, networks.MLP(1), 1, scale)
        nothing = torch.ones(1, 1)
        model(nothing)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(600):  # some hundred free numbers: long since flat
            optimizer.zero_grad()
            p = model(nothing)
            (-p.log_prob(data.train.tensor()).mean()).backward()
            optimizer.step()
            model.update_state(p, data.train.tensor())
    with torch.no_grad():
        return model.eval()(nothing).log_prob(data.test.tensor()).mean().item()


@pytest.mark.slow  # up to a minute each on one core
@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_beats_a_model_without_latent_variables(name):
    """The ELBO of held-out digits, 5 nats above the best factorised distribution of the same
    likelihood.
    """
    data, entry = rows_for(name), find_preset(name)
    options = {"latent": 8, "hidden": (100,), "rows": len(data.train), "warmup": 100}
    with seed_scope(0):
        recipe = preset(
            name,
            data.spec,
            **{key: value for key, value in options.items() if key in entry.options},
        )
    model = aevb.fit(recipe, data, epochs=200, progress=False).model
    if (
        model.posterior.n_rows is not None
    ):  # latents of its training rows only: refinement finds those of others
        model = aevb.inference.refine(model, data.test.tensor(), steps=200).model
    reading = READING.get(name, {})
    baseline = factorised_log_likelihood(
        OWN_LIKELIHOOD.get(name, reading.get("likelihood")),
        reading.get("binarise"),
        "optimal" if name == "sigma_vae" else None,
        name in DEQUANTISED,
    )
    batch = Batch(
        data.test.tensor(),
        data.test.context,
        index=torch.arange(len(data.test)),
        dataset_size=len(data.test),
    )
    with seed_scope(0), torch.no_grad():
        terms = model.eval().draw_terms(batch, 8)
        rate = terms.kl if terms.kl is not None else (terms.log_posterior - terms.log_prior).mean(0)
        elbo = (terms.log_likelihood.mean(0) - rate).mean().item()
    assert elbo > baseline + 5


@functools.cache
def digits_spec():
    return aevb.data.load("digits").spec


@pytest.mark.parametrize(
    "name, families, prior, posterior",
    [
        ("vae", {"prior": "vamp", "prior_options": {"components": 3}}, "Vamp", "Normal"),
        ("vae", {"posterior": "iaf"}, "Normal", "Flow"),
        ("vae", {"posterior": "gamma"}, "Gamma", "Gamma"),
        ("iwae", {"prior": "mixture", "posterior": "planar"}, "Mixture", "Planar"),
        ("factor_vae", {"posterior": "full_covariance"}, "Normal", "Normal"),
    ],
)
def test_presets_take_priors_and_posteriors_by_name(name, families, prior, posterior):
    recipe = preset(name, digits_spec(), latent=2, hidden=(8,), **families)
    recipe.gradient.check(recipe.model, recipe.objective)
    model = recipe.model
    assert (type(model.prior).__name__, type(model.posterior).__name__) == (prior, posterior)


@pytest.mark.parametrize(
    "likelihood, expected", [("categorical", "Categorical"), ("poisson", "Poisson")]
)
def test_presets_take_a_likelihood_of_the_same_kind_of_data(likelihood, expected):
    model = preset("vae", digits_spec(), latent=2, hidden=(8,), likelihood=likelihood).model
    assert type(model.likelihood).__name__ == expected


@pytest.mark.parametrize(
    "name, families, argument, value",
    [
        ("vae", {"prior": "sphere", "posterior": "iaf"}, "posterior", "iaf"),
        ("vae", {"posterior": "vector_quantised"}, "posterior", "vector_quantised"),
        ("vamp_vae", {"prior": "mixture"}, "prior", "mixture"),
        ("vamp_vae", {"posterior": "iaf"}, "posterior", "iaf"),
        ("vae", {"likelihood": "normal"}, "likelihood", "normal"),
        ("vae", {"prior": "vampp"}, "prior", "vampp"),
        ("vaee", {}, "preset", "vaee"),
    ],
)
def test_families_that_do_not_fit_are_refused_by_argument(name, families, argument, value):
    with pytest.raises(AevbError) as caught:
        preset(name, digits_spec(), latent=2, hidden=(8,), **families)
    assert (caught.value.argument, caught.value.value) == (argument, value)
    assert caught.value.suggestions


@pytest.mark.parametrize("name", PRESETS)
def test_every_argument_of_a_preset_is_documented(name):
    text = PRESETS[name].build.__doc__
    assert all(f"    {argument}: " in text for argument in ("spec", *PRESETS[name].options))


def test_matching_the_prior_is_an_attribute_of_the_objective():
    matching = [name for name in PRESETS if small(name).objective.matches_prior]
    assert matching == ["info_vae", "wae_mmd", "adversarial_ae"]


def dropouts(part) -> int:
    return sum(
        isinstance(module, torch.nn.Dropout) and module.p == 0.3 for module in part.modules()
    )


@pytest.mark.parametrize("name", PRESETS)
def test_dropout_reaches_encoder_and_decoder(name):
    data, options = rows_for(name), {"latent": 2, "hidden": (8,), "rows": 8}
    own = {key: value for key, value in options.items() if key in find_preset(name).options}
    with seed_scope(0):
        model = preset(name, data.spec, dropout=0.3, **own).model
    encodes = model.posterior.n_rows is None
    assert bool(dropouts(model.posterior)) == encodes and dropouts(model.likelihood)
    assert not dropouts(small(name).model)


def test_dropout_of_networks_of_series_and_images():
    """Half of the units are dropped in training, none in evaluation; a whole network is refused."""
    x, z = torch.rand(64, 8, 8), torch.rand(64, 3)
    for build, inputs in (
        (functools.partial(networks.MLP, 64, [8]), x),
        (functools.partial(networks.ConvEncoder, (8, 8), [4]), x),
        (functools.partial(networks.ConvDecoder, 3, (8, 8), [4]), z),
        (functools.partial(networks.GRU, 8, 6, 2), x),
        (functools.partial(networks.SequenceConv, 8, [4]), x),
        (functools.partial(networks.Pyramid, (8, 8), [4]), x),
    ):
        network, plain = build(dropout=0.5, seed=0), build(seed=0)
        with torch.no_grad():
            for module in (*network.modules(), *plain.modules()):
                if isinstance(module, torch.nn.Conv2d):
                    module.weight.fill_(0.1)  # a residual branch starts at 0
            first, second = network(inputs), network(inputs)
            assert not torch.equal(first[0], second[0])
            found, again, expected = network.eval()(inputs), network(inputs), plain(inputs)
        for a, b, c in zip(found, again, expected, strict=True):
            assert torch.equal(a, b) and torch.equal(a, c)
        for impossible in (-0.1, 1.0):
            with pytest.raises(AevbError) as caught:
                build(dropout=impossible)
            assert (caught.value.argument, caught.value.value) == ("dropout", impossible)


@pytest.mark.parametrize(
    "event_shape, support, name",
    [((20,), "binary", "table_vae"), ((28, 28), "binary", "vae"), ((20,), "real", "vae")],
)
def test_the_default_preset_of_data(event_shape, support, name):
    spec = aevb.data.Spec("x", event_shape, support, "bernoulli", "mlp")
    assert default_preset(spec) == name


@pytest.mark.parametrize("name", ["vamp_vae", "mnist", "vae"])
def test_presets_that_overfit_few_rows_say_so(name):
    from aevb.runs import ModelSettings, RunSettings

    settings, limit = RunSettings("digits", model=ModelSettings(preset=name)), 10_000
    assert find_preset(name).min_rows == (0 if name == "vae" else limit)
    notes = settings.size_notes(limit - 1)
    assert [note.data for note in notes] == (
        [] if name == "vae" else [{"preset": name, "rows": limit - 1, "min_rows": limit}]
    )
    assert settings.size_notes(limit) == ()


BITS = ("vae", "beta_vae", "iwae", "darn", "vq_vae", "gumbel_vae", "vamp_vae")


@pytest.mark.parametrize("name", BITS)
def test_presets_take_bits_that_exclude_each_other(name):
    spec = aevb.data.load(torch.eye(4).repeat(100, 1).numpy()).spec
    assert spec.likelihood == "bernoulli_tree"
    drawn = preset(name, spec, latent=2, hidden=(8,)).model.sample(3)
    assert drawn.shape == (3, 4) and ((drawn == 0) | (drawn == 1)).all()


def test_the_advice_for_a_table_of_bits_is_accepted():
    bits = torch.arange(40)[:, None] // 2 ** torch.arange(4) % 2
    frame = polars.DataFrame(bits.numpy(), schema=list("abcd"))
    with pytest.raises(ArgumentError) as caught:
        aevb.presets.darn(aevb.data.load(frame).spec)
    assert caught.value.argument == "likelihood"
    advice = [a for s in caught.value.suggestions for a in getattr(s, "references", {}).values()]
    assert Argument("likelihood", "bernoulli") in advice
    spec = aevb.data.load(frame, likelihood="bernoulli").spec
    assert aevb.presets.darn(spec).model.likelihood.event_shape == (4,)
