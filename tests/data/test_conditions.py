"""Conditions on columns as text: which encoded cells meet them, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from aevb.data import Column, Schema, parse_conditions
from aevb.data._conditions import restrict_pooled_levels
from aevb.data._encode_column import to_cells
from aevb.errors import ArgumentError

AGE = Column("age", "integer", "discretised_logistic", shift=40.3, scale=12.0, step=1.0)
PRICE = Column("price", "positive", "log_normal", shift=3.0, scale=0.5)
SHARE = Column("share", "bounded", "beta", low=-1.0, high=4.0)
HEIGHT = Column("height", "continuous", "normal", shift=170.0, scale=9.0)
CHILDREN = Column("children", "count", "negative_binomial", scale=2.0)
TENTHS = Column("tenths", "integer", "discretised_logistic", shift=0.25, scale=0.3, step=0.1)
HOURS = Column("hours", "spiky", "spiky", shift=40.0, scale=12.0, atoms=(40.0,), edges=(0.0, 99.0))
DAY = Column(
    "day", "date", "discretised_logistic", shift=12000.0, scale=100.0, step=1.0, unit="day"
)
TIME = Column("time", "date", "normal", shift=1e9, scale=1e6, unit="second", format="%d/%m/%Y")
NUMBERS = [AGE, PRICE, SHARE, HEIGHT, CHILDREN, TENTHS, HOURS]
SEX = Column("sex", "binary", "bernoulli", levels=("Female", "Male"))
GRADE = Column("grade", "ordinal", "ordinal", levels=("low", "mid", "high"))
CLASS = Column("class", "ordinal", "ordinal", levels=(1, 2, 3))
ALIVE = Column("alive", "binary", "bernoulli", levels=(False, True))
INCOME = Column("income", "categorical", "categorical", levels=("<=50K", ">50K", "a=b"))
LAND = Column(
    "land", "categorical", "categorical", levels=("US", "UK", "other"),
    pooled=("Peru", "Cuba", "Laos"), pooled_counts=(3, 2, 1),
)  # fmt: skip
LONG = Column("age group", "ordinal", "ordinal", levels=("young", "old"))
FIXED = Column("planet", "constant", levels=("Earth",))
NAME = Column("name", "identifier")
SCHEMA = Schema(
    (*NUMBERS, DAY, TIME, SEX, GRADE, CLASS, ALIVE, INCOME, LAND, FIXED, NAME, LONG), 100
)
COMPARE = {
    "=": np.equal,
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
}


def intervals(*texts):
    (found,) = parse_conditions(SCHEMA, list(texts))
    return found.intervals


def inside(found, y):
    return np.any([(y >= low) & (y <= high) for low, high in found], 0)


@pytest.mark.parametrize("operator", COMPARE)
@pytest.mark.parametrize("column", NUMBERS, ids=lambda column: column.name)
def test_encoded_cells_meet_a_condition_where_their_values_do(column, operator):
    step = 0.1 if column is TENTHS else 1.0 if column in (AGE, CHILDREN) else 0.25
    x = np.arange(1, 60) * step / (20 if column is SHARE else 1)
    value = float(x[20])
    found = intervals(f"{column.name}{operator}{value!r}")
    assert (inside(found, to_cells(column, x)) == COMPARE[operator](x, value)).all()


@pytest.mark.parametrize("operator, first", [(">", 61), (">=", 61), ("<", 61), ("<=", 61)])
def test_a_bound_between_whole_numbers(operator, first):
    x = np.arange(50.0, 70.0)
    found = inside(intervals(f"age {operator} 60.5"), to_cells(AGE, x))
    assert (found == (x >= first if ">" in operator else x < first)).all()


def test_levels_are_compared_in_their_order():
    assert intervals("grade>=mid") == ((1, 1), (2, 2)) and intervals("grade!=mid") == (
        (0, 0),
        (2, 2),
    )
    assert intervals("class<=2") == ((0, 0), (1, 1)) == intervals("class<=2.0")
    assert intervals("alive=true") == intervals("alive=1") == intervals("alive>False") == ((1, 1),)
    assert intervals("class>1.5") == ((1, 1), (2, 2)) and intervals("class<9") == (
        (0, 0), (1, 1), (2, 2),
    )  # fmt: skip
    assert intervals("sex=Female") == ((0, 0),)


def test_names_and_levels_may_hold_operators_and_blanks():
    assert intervals("income!=>50K") == ((0, 0), (2, 2)) and intervals("income=<=50K") == ((0, 0),)
    assert intervals("income=a=b") == ((2, 2),)
    (found,) = parse_conditions(SCHEMA, " age group = old ")
    assert SCHEMA.modelled[found.cell] is LONG and found.intervals == ((1, 1),)


def test_dates_are_iso_text_or_in_the_format_of_the_column():
    x = np.array([12417.0, 12418.0])  # 2003-12-31 and the day after
    assert inside(intervals("day>2003-12-31"), to_cells(DAY, x)).tolist() == [False, True]
    assert intervals("time=2001-09-09") == intervals("time=09/09/2001")
    assert intervals("time=2001-09-09 01:46:40")[0][0] == 0  # 1e9 seconds


def test_conditions_of_a_column_hold_together():
    assert (
        inside(intervals("age>30", "age<=40", "age!=35"), to_cells(AGE, np.arange(30.0, 42))).sum()
        == 9
    )
    (found,) = parse_conditions(SCHEMA, ["age>59", "age=60"])
    assert found.value == to_cells(AGE, np.array([60.0]))[0] and found.text == "age>59 and age=60"
    assert parse_conditions(SCHEMA, {"sex": "Male", "age": 60})[1].text == "sex=Male"
    assert parse_conditions(SCHEMA, "planet=Earth") == ()


def test_bounds_beyond_the_possible_values():
    for text in ("price>-1", "share>=-1", "share<9", "height!=1e300", "age!=0.5"):
        x = to_cells(PRICE if "price" in text else HEIGHT, np.array([1e-9, 1.0, 1e6]))
        assert inside(intervals(text), x).all(), text


def test_rare_levels_share_a_code_and_are_decoded_apart():
    assert intervals("land=Peru") == ((2, 2),) and intervals("land!=Peru") == (
        (0, 0), (1, 1), (2, 2),
    )  # fmt: skip
    for text, expected in (("land=Peru", {"Peru"}), ("land!=Peru", {"Cuba", "Laos"})):
        schema = restrict_pooled_levels(Schema((LAND,), 9), text)
        assert set(schema.decode([[2.0]] * 60)["land"].to_list()) == expected


@pytest.mark.parametrize("spelling", ["3", "3.0", "3.00", "+3", "3e0"])
def test_every_spelling_of_a_rare_number_is_honoured(spelling):
    rooms = replace(LAND, name="rooms", levels=(1, 2, "rare"), pooled=(3, 4, 5))
    schema = Schema((rooms,), 9)
    for operator, expected in (("=", {3}), ("!=", {4, 5})):
        condition = f"rooms{operator}{spelling}"
        (found,) = parse_conditions(schema, condition)
        assert inside(found.intervals, 2)
        restricted = restrict_pooled_levels(schema, condition)
        assert set(restricted.columns[0].pooled) == expected


@pytest.mark.parametrize("level", [" Female", "=a", "> 1", "a and b", "Female"])
def test_values_of_a_dict_are_compared_as_they_are(level):
    column = replace(SEX, levels=("other", level))
    (found,) = parse_conditions(Schema((column,), 9), {"sex": level})
    assert found.value == 1
    assert restrict_pooled_levels(
        Schema((replace(LAND, pooled=("x", level, "y")),), 9), {"land": level}
    ).columns[0].pooled == (level,)


def test_values_of_a_dict_are_numbers_dates_and_texts():
    values = {"age": 60.0, "day": "2002-11-09", "class": 2, "alive": True, "sex": " Male "}
    texts = ["age=60", "day=2002-11-09", "class=2", "alive=True", "sex=Male"]
    assert parse_conditions(SCHEMA, values) == parse_conditions(SCHEMA, texts)


@pytest.mark.parametrize(
    "where",
    [
        "class<1.2.3",
        "class<inf",
        "class<nan",
        "class>.",
        {"agee": 60},
        {"age": None},
        {"age": ">60"},
        {"sex": "female"},
        {"planet": "Mars"},
        "age",
        "age>",
        ">60",
        "",
        "agee>60",
        "weight=3",
        "sex=female",
        "sex>Female",
        "land<US",
        "class=1.5",
        "class>3",
        "class>300",
        "class>abc",
        "age=abc",
        "age=60.5",
        "age=>60",
        "age>nan",
        "children=-1",
        "children<0",
        "price=-3",
        "price<0",
        "share=7",
        "height=1e300",
        "height>1e300",
        "share>=4",
        "day>yesterday",
        "planet=Mars",
        "planet>Earth",
        "name=Ann",
        ["age>60", "age<50"],
        "age>60 and age<50",
        ["age>60", "age<61"],
        ["sex=Male", "sex=Female"],
        ["height=3", "height!=3"],
    ],
    ids=str,
)
def test_conditions_without_a_meaning_are_refused(where):
    with pytest.raises(ArgumentError) as caught:
        parse_conditions(SCHEMA, where)
    assert caught.value.argument == "where"


def test_a_text_may_hold_several_conditions():
    assert intervals("age>60 and age<80") == intervals("age>60", "age<80")
    spices = Column("spice", "binary", "bernoulli", levels=("salt", "salt and pepper"))
    (found,) = parse_conditions(Schema((spices,), 9), "spice=salt and pepper")
    assert found.value == 1


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("column", [HEIGHT, HOURS, TENTHS], ids=lambda column: column.name)
def test_numbers_of_one_sign_never_have_the_other(column, sign):
    """Rows are decoded to legal values: a condition on others is met by none of them."""
    ends = {"low": 0.0, "high": 9.0} if sign == 1 else {"low": -9.0, "high": 0.0}
    schema = Schema((replace(column, name="x", **ends),), 9)
    below, least = ("<", "<=") if sign == 1 else (">", ">=")
    assert parse_conditions(schema, f"x{least}0") and parse_conditions(schema, f"x{below}{sign}")
    for condition in (f"x{below}0", f"x{least}{-sign}", f"x={-sign}", f"x=={-sign}"):
        with pytest.raises(ArgumentError):
            parse_conditions(schema, condition)


def test_the_nearest_name_is_suggested():
    for text, word in (("agee>60", "age"), ("sex=female", "Female")):
        with pytest.raises(ArgumentError) as caught:
            parse_conditions(SCHEMA, text)
        assert word in str(caught.value.suggestions[0])


AGES = np.arange(17, 60)
DERIVED = Schema(
    (
        replace(AGE, low=17.0, high=59.0),
        Column(
            "decade", "derived", levels=(1, 2, 3, 4, 5), source="age",
            source_levels=tuple(AGES.tolist()), codes=tuple((AGES // 10 - 1).tolist()),
        ),
        Column("born", "derived", low=1940.0, high=2000.0, shift=2000.0, scale=-1.0, source="age"),
        LAND,
        Column(
            "code", "derived", levels=("cu", "la", "pe", "uk", "us"), source="land",
            source_levels=("US", "UK", "Peru", "Cuba", "Laos"), codes=(4, 3, 2, 0, 1),
        ),
    ),
    100,
)  # fmt: skip


@pytest.mark.parametrize("operator", COMPARE)
@pytest.mark.parametrize("name, value", [("decade", 3), ("born", 1960)])
def test_a_condition_on_a_function_of_numbers_is_one_on_its_source(name, value, operator):
    (found,) = parse_conditions(DERIVED, f"{name}{operator}{value}")
    ages = np.arange(10, 80)
    first = {"decade": np.clip(ages, 17, 59) // 10, "born": 2000 - ages}[name]
    met = inside(found.intervals, to_cells(AGE, ages.astype(float)))
    assert (found.cell, found.text) == (0, f"{name}{operator}{value}")
    assert (met == COMPARE[operator](first, value)).all()


@pytest.mark.parametrize(
    "where, codes, pooled",
    [
        ("code=us", [0.0], ("Peru", "Cuba", "Laos")),
        ("code=pe", [2.0], ("Peru",)),
        ("code!=pe", [0.0, 1.0, 2.0], ("Cuba", "Laos")),
        (["code!=us", "land!=UK"], [2.0], ("Peru", "Cuba", "Laos")),
    ],
)
def test_a_condition_on_a_function_of_levels_is_one_on_its_source(where, codes, pooled):
    (found,) = parse_conditions(DERIVED, where)
    assert found.cell == 1 and [low for low, _ in found.intervals] == codes
    restricted = restrict_pooled_levels(DERIVED, where).columns[3].pooled
    assert restricted == pooled or (codes == [0.0])


@pytest.mark.parametrize(
    "where",
    ["code=fr", "code>us", ["code=us", "land=UK"], "decade>5", "decade=9", "born=1960.5", "born=x"],
    ids=str,
)
def test_conditions_that_no_function_meets_are_refused(where):
    with pytest.raises(ArgumentError) as caught:
        parse_conditions(DERIVED, where)
    assert caught.value.argument == "where"
