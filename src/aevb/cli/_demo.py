"""``aevb demo``: training, evaluation and report on handwritten digits."""

from __future__ import annotations

from ..runs import ModelSettings, RunSettings, TrainingSettings
from ._console import ConsoleOutput
from ._evaluate import print_evaluation
from ._fit import diagnose, interrupt_exit_code, train_run, write_report
from ._options import CommonOptions

DEMO_MODEL, DEMO_TRAINING = ModelSettings(latent=2), TrainingSettings(epochs=200)


def demo(*, common: CommonOptions = CommonOptions()) -> int:
    """Train on scikit-learn's digits, evaluate held-out rows, and write the report: one minute."""
    from ..runs import next_run_folder

    console = ConsoleOutput(common.quiet)
    settings = RunSettings("digits", model=DEMO_MODEL, training=DEMO_TRAINING, seed=common.seed)
    run = train_run(settings, console, common, next_run_folder("demo"))
    if run.result is not None and run.result.stop_reason == "interrupted":
        return interrupt_exit_code(run.result)
    with console.progress_bar("log p(x)", len(run.data().evaluation_rows) * 100) as advance:
        result = run.evaluate(method="importance", seed=common.seed, on_progress=advance)
    path = write_report(run, console, common.seed, diagnose(run, console, common.seed))
    console.print_result("")
    print_evaluation(result, console)
    console.print_result("")
    console.print_result(
        f"Held-out log-likelihood: {result.log_likelihood}, over {result.n:,} images."
    )
    if path is not None:
        console.print_result(f"Report: {path}")
    return 0
