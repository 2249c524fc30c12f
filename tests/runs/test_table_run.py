"""A run of a table of mixed columns: every method takes the table that was fitted."""

import numpy as np
import pytest

import aevb
from aevb.errors import IncompatibleError
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings

pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")


def people(n=240):
    rng = np.random.default_rng(0)
    sex = rng.integers(0, 2, n)
    age = rng.integers(18, 80, n).tolist()
    age[::7] = [None] * len(age[::7])
    return pl.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "sex": np.array(["f", "m"])[sex],
            "age": age,
            "height": rng.normal(165 + 13 * sex, 7).round(3),
            "visits": rng.negative_binomial(2, 0.3, n),
            "city": rng.choice(["Bern", "Oslo", "Rome"], n),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    people().write_csv(folder / "people.csv")
    settings = RunSettings(
        str(folder / "people.csv"),
        DataSettings(kinds=("visits=count",)),
        ModelSettings(hidden=(8,)),
        TrainingSettings(epochs=2),
    )
    settings.fit(folder / "run", device="cpu", progress=False)
    return Run.open(folder / "run", device="cpu")


def test_the_default_preset_is_that_of_tables(run):
    assert (run.config["preset"], run.config["latent"]) == ("table_vae", 5)
    assert run.config["kinds"] == ["visits=count"]
    assert run.schema.columns[4].kind == "count" and run.schema == run.spec.schema
    assert run.data().spec == run.spec  # read again from the file


def check_legal(frame):
    assert set(frame["sex"]) <= {"f", "m"} and set(frame["city"]) <= {"Bern", "Oslo", "Rome"}
    for name in ("age", "visits"):
        assert frame[name].dtype == pl.Int64
    assert frame["visits"].min() >= 0 and frame.null_count().drop("id", strict=False).row(0) == (
        (0,) * 5
    )


def test_outputs_are_frames_of_legal_values(run):
    check_legal(run.sample(50, seed=1))
    check_legal(run.decode(run.encode()))
    check_legal(run.reconstruct(people()))
    native = run.reconstruct(pd.DataFrame(people().to_dict(as_series=False)))
    assert isinstance(native, pd.DataFrame) and len(native) == 240
    of_file = run.reconstruct(run.config["source"])
    assert of_file["id"].to_list() == people()["id"].to_list()


def test_every_method_takes_the_table_that_was_fitted(run):
    source = run.config["source"]
    assert run.encode(source).shape == (240, 5)
    evaluation = run.evaluate(source, samples=5, max_rows=20)
    number = evaluation["log_likelihood"]
    assert number.measure == "mixed" and np.isfinite(number.value)
    assert evaluation["bits_per_dimension"].value is None
    assert evaluation["baselines.independent"].value < 0
    note = next(each for each in evaluation.notes if each.code == "mixed_measure")
    assert note.data["densities"] == ["height"]
    codes = {each.code for each in run.diagnose().findings}
    assert not codes & {"density_unbounded", "few_values", "counts", "columns_set_aside"}
    quality = run.quality()
    assert quality.generated is not None and 0 < quality.reconstruction.squared_error.value < 5
    assert run.fit_prior(components=2).sample(3).height == 3


def test_conditions_are_no_columns(tmp_path):
    people().write_csv(tmp_path / "people.csv")
    settings = RunSettings(
        str(tmp_path / "people.csv"),
        DataSettings(labels="city"),
        ModelSettings(preset="cvae", hidden=(8,)),
        TrainingSettings(epochs=1),
    )
    run = settings.fit(device="cpu", progress=False)
    assert run.spec.columns == ("sex", "age", "height", "visits")
    assert run.sample(4, label="Oslo").height == 4
    assert len(run.encode(people())) == 240


@pytest.mark.parametrize(
    "preset, likelihood",
    [("count_vae", "negative_binomial"), ("student_vae", "student_t"), ("sigma_vae", "normal")],
)
def test_presets_with_one_likelihood_read_numbers(preset, likelihood, tmp_path):
    people().select("age", "visits", "sex").write_csv(tmp_path / "t.csv")
    settings = RunSettings(str(tmp_path / "t.csv"), model=ModelSettings(preset=preset))
    loaded = settings.load_data()
    assert (loaded.spec.likelihood, loaded.spec.columns) == (likelihood, ("age", "visits"))
    assert settings.recipe(loaded.spec).model.event_shape == (2,)


@pytest.mark.parametrize("columns, usual", [(["height", "sex"], "table_vae"), (["height"], "vae")])
def test_a_preset_whose_likelihood_is_not_for_the_data_names_one_that_is(columns, usual, tmp_path):
    frame = people().select(*columns).with_columns(other=1.7 * people()["height"] + 0.03)
    frame.drop_nulls().write_csv(tmp_path / "t.csv")
    settings = RunSettings(str(tmp_path / "t.csv"), model=ModelSettings(preset="count_vae"))
    with pytest.raises(aevb.errors.ArgumentError) as caught:
        settings.load_data()
    assert (caught.value.argument, caught.value.value) == ("preset", "count_vae")
    assert usual in str(caught.value.suggestions)
    RunSettings(settings.source, model=ModelSettings(preset=usual)).load_data()


def test_presets_that_cannot_take_a_table_are_refused():
    spec = aevb.data.load(people()).spec
    for name in ("vamp_vae", "mnist", "count_vae", "student_vae", "sigma_vae", "pixel_vae"):
        with pytest.raises((aevb.errors.ArgumentError, IncompatibleError)) as caught:
            aevb.presets.preset(name, spec)
        assert caught.value.suggestions and caught.value.argument != "prior"
    for name in ("vae", "iwae", "ladder_vae", "table_synthesis", "vq_vae"):
        assert aevb.presets.preset(name, spec, latent=2).model.event_shape == (5,)
