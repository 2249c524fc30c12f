"""Numbers in hand-written pages are those of the records."""

import json
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load_record(name):
    """A record of benchmarks/results/."""
    return json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )


def page_text(page):
    """A page on one line."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


def bracket():
    """Cost and width of annealed bounds."""
    found = load_record("bracket")
    at = {(row["start"], row["temperatures"]): row for row in found["linear_gaussian"]}
    few, many, prior = at["posterior", 300], at["posterior", 1000], at["prior", 1000]
    side = lambda row, name: f"{abs(row[name]['mean']):.4f} ± {row[name]['standard_error']:.4f}"  # noqa: E731
    priced = [f"{found['priced']['posterior'][k]['mean']:.2f}" for k in ("1", "2", "5")]
    digits = found["digits"]
    trained = [f"{digits['priced']['posterior'][k]['mean']:.2f}" for k in ("1", "2", "5")]
    wide = digits["bracket"]["1000"]["gap"]
    return [
        f"{side(few, 'lower')} below and {side(few, 'upper')} above it with 300",
        f"{side(many, 'lower')} and {side(many, 'upper')} with 1,000",
        f"a bracket of {many['width']['mean']:.3f} nats for {many['slopes']:,} gradients per datum",
        f"Started at the prior it is {prior['width']['mean']:.3f} nats wide",
        f"leave {priced[0]} and {priced[1]} nats, few with five {priced[2]}",
        f"{trained[0]} and {trained[1]} against {trained[2]}",
        f"10,000 importance samples say {digits['importance']['10000']['estimate']['mean']:.2f}",
        f"Pareto k {digits['importance']['10000']['pareto_k']:.2f}",
        f"lower bound is {digits['annealed']['300']['lower']['mean']:.2f} with 300 temperatures",
        f"and {digits['annealed']['1000']['lower']['mean']:.2f} with 1,000",
        f"{wide['mean']:.2f} ± {wide['standard_error']:.2f} nats wide",
    ]


def calibration():
    """Coverage of the intervals."""
    found = {row["samples"]: row for row in load_record("calibration")["table"]}
    return [f"in {100 * found[16]['coverage']:.1f} %", f"in {100 * found[1]['coverage']:.1f} %"]


def shards():
    """Memory and speed of rows in many files."""
    found = load_record("shards")
    rows = [
        f"| {each['rows']:,} | {each['load_seconds']} | {each['peak_mib']} |"
        for each in found["sizes"]
    ]
    return [*rows, f"are {found['speed_ratio']:.2f} times those of the same rows"]


def imputation():
    """Errors of imputed cells beside those of classical imputers, means over the seeds."""
    by_case = {}
    for each in load_record("imputation")["records"]:
        case = (each["data"], each["share"], each["iterative_imputer"])
        by_case.setdefault(case, []).append(each)
    rows = []
    for (data, share, other), seeds in by_case.items():
        mean = lambda name: sum(each[name] for each in seeds) / len(seeds)  # noqa: B023, E731
        names = f"{mean('wrong'):.3f}, {mean('wrong_frequent'):.3f}" if "wrong" in seeds[0] else "-"
        rows.append(
            f"| {data} | {share:.0%} | {other} | {len(seeds)} | {mean('mse'):.3f} | "
            f"{mean('mse_classical'):.3f} | {mean('coverage'):.1%} | {names} |"
        )
    return rows


def density():
    """Log p(x) of the default above classical densities."""
    rows = []
    for each in load_record("density")["records"]:
        own = each["splits"]
        mean = lambda name: sum(split[name] for split in own) / len(own)  # noqa: B023, E731
        above = [mean_and_error([split[f"above_{name}"] for split in own]) for name in CLASSICAL]
        rows.append(
            f"| {each['data']} | {each['rows']:,} | {each['columns']} | {above[0]} | {above[1]} | "
            f"{mean('high_k'):.0%} | {mean('seconds'):.0f} |"
        )
    return rows


CLASSICAL = ("gaussian", "mixture")


def mean_and_error(values):
    """Mean and standard error over splits."""
    mean = statistics.fmean(values)
    return f"{mean:+.2f} ± {statistics.stdev(values) / len(values) ** 0.5:.2f}"


def binary():
    """Log p(x) of binary tables beside that of classical models."""
    rows = []
    for each in load_record("binary")["records"]:
        others = [
            f"{each[name]['mean']:.2f} | "
            f"{each[name]['difference']:+.3f} ± {each[name]['standard_error']:.3f}"
            for name in ("mixture", "tree")
        ]
        rows.append(
            f"| {each['data']} | {each['rows']:,} | {each['columns']} | {each['mean']:.2f} | "
            f"{' | '.join(others)} | {each['share_pareto_above_0.7']:.0%} |"
        )
    return rows


def synthesis():
    """Synthetic rows of Adult, means over seeds."""
    records = load_record("synthesis")["records"]
    names = ("real", "copula", "mixture", "table_synthesis")
    rows = []
    for name in names:
        own = [each for each in records if each["model"] == name]
        means = [sum(each[key] for each in own) / len(own) for key in SYNTHESIS]
        rows.append(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    return rows


def mean_area(records, **where):
    """The mean area under the curve, to one decimal, of the records with these fields."""
    own = [each["auroc"] for each in records if where.items() <= each.items()]
    return f"{sum(own) / len(own):.1f}"


def anomalies():
    """Areas under the curves of anomaly detectors: of each set, and their means."""
    records, longer = load_record("anomalies"), load_record("anomalies_clean")
    detectors = dict.fromkeys(each["detector"] for each in records)
    rows = []
    for name in [*sorted({each["set"] for each in records}), None]:
        where = {} if name is None else {"set": name}
        cells = [
            " / ".join(
                mean_area(records, detector=detector, mode=mode, **where)
                for mode in ("semi", "unsupervised")
            )
            for detector in detectors
        ]
        rows.append(f"| {name or 'mean'} | {' | '.join(cells)} |")
    clean = {
        name: mean_area(longer, detector="aevb, log_prob", **({"set": name} if name else {}))
        for name in ("optdigits", "vowels", None)
    }
    sentence = "gives {optdigits} on optdigits, {vowels} on vowels and a mean of {None}"
    return [*rows, sentence.format(**{str(name): area for name, area in clean.items()})]


SYNTHESIS = ("f1", "boosting", "logistic", "copies")


def minutes():
    """Time and result of the commands for binarized MNIST."""
    short, long = load_record("minutes")["runs"]
    clock = lambda seconds: f"{round(seconds) // 60} min {round(seconds) % 60} s"  # noqa: E731
    value = lambda run: f"{run['mean']:.2f} ± {run['standard_error']:.2f}"  # noqa: E731
    return [
        f"took {clock(long['seconds'])}",
        f"{value(long)} nats",
        f"with `--epochs 20` it was {clock(short['seconds'])} and {value(short)}",
    ]


@pytest.mark.parametrize(
    "figures, page",
    [
        (bracket, "docs/choose/log_likelihood.md"),
        (calibration, "docs/choose/log_likelihood.md"),
        (imputation, "docs/tables.md"),
        (shards, "docs/scaling.md"),
        (density, "docs/tables.md"),
        (binary, "docs/tables.md"),
        (synthesis, "docs/tables.md"),
        (anomalies, "docs/estimators.md"),
        (minutes, "docs/python.md"),
    ],
    ids=[
        "bracket",
        "calibration",
        "imputation",
        "shards",
        "density",
        "binary",
        "synthesis",
        "anomalies",
        "minutes",
    ],
)
def test_pages_show_the_numbers_of_the_records(figures, page):
    assert [figure for figure in figures() if figure not in page_text(page)] == []


def test_every_contender_of_small_data_ran_with_every_seed():
    """The page shows three ways to train, over three seeds."""
    found = load_record("mcem")
    assert {name: sorted(seeds) for name, seeds in found.items()} == {
        name: ["0", "1", "2"] for name in found
    } and len(found) == 3
