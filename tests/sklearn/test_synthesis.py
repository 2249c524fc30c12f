"""The synthesizer: counts, conditions, seeds."""

import pytest

pytest.importorskip("sklearn")
from tests.sklearn.tables import TINY, people

from aevb.errors import AevbError
from aevb.presets import find_preset
from aevb.sklearn import VAE, VAESynthesizer


@pytest.fixture(scope="module")
def synthesizer():
    return VAESynthesizer(**TINY).fit(people())


def test_the_preset_is_that_of_synthesis(synthesizer):
    assert synthesizer.run_.config["preset"] == find_preset("table_synthesis").name
    assert VAESynthesizer(preset="table_vae", **TINY).fit(people()).run_.config["preset"] == (
        "table_vae"
    )


def test_equal_seeds_give_equal_rows(synthesizer):
    first = synthesizer.sample(30)
    assert synthesizer.sample(30).equals(first)
    assert synthesizer.sample(30, random_state=0).equals(first)
    assert not synthesizer.sample(30, random_state=1).equals(first)
    free = VAE(**(TINY | {"random_state": None})).fit(people())
    assert not free.sample(30).equals(free.sample(30))


@pytest.mark.parametrize(
    "where", [["city=Ulm", "age>40"], {"city": "Ulm", "visits": 2}, "city=Ulm and age>40"]
)
def test_rows_fulfil_conditions(synthesizer, where):
    rows = synthesizer.sample(20, where=where)
    assert len(rows) == 20 and (rows["city"] == "Ulm").all()
    assert (rows["visits"] == 2).all() if isinstance(where, dict) else (rows["age"] > 40).all()
    assert rows.dtypes.equals(people().dtypes)


@pytest.mark.parametrize(
    "arguments, argument",
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 2.5}, "n_samples"),
        ({"where": "town=Ulm"}, "where"),
        ({"where": "city=Berlin"}, "where"),
        ({"where": ["age>40", "age<30"]}, "where"),
        ({"where": "age>100000"}, "where"),
    ],
)
def test_what_no_row_can_fulfil_is_named(synthesizer, arguments, argument):
    with pytest.raises(AevbError) as found:
        synthesizer.sample(**arguments)
    assert found.value.argument == argument
