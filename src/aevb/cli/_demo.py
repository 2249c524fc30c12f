"""``aevb demo``: the whole story on handwritten digits."""

from __future__ import annotations

from ._console import ConsoleOutput
from ._evaluation import evaluate_model, write_run_report
from ._fit import completion_sentence, run_doctor, train_run
from ._formatting import evaluation_table
from ._likelihood_options import DEFAULT_IMPORTANCE_SAMPLES
from ._options import CommonOptions, ModelOptions, TrainingOptions
from ._run_folder import next_run_folder
from ._run_settings import RunSettings

DEMO_MODEL, DEMO_TRAINING = ModelOptions(latent=2), TrainingOptions(epochs=200)


def demo(*, common: CommonOptions = CommonOptions()) -> int:
    """Train on scikit-learn's handwritten digits, measure on rows that were held out, and write the report: about one minute."""
    screen = ConsoleOutput(common.quiet)
    done = train_run(
        RunSettings("digits", model=DEMO_MODEL, training=DEMO_TRAINING, common=common),
        screen,
        next_run_folder("demo"),
    )
    screen.print_paragraph("Done", completion_sentence(done.result))
    if done.result.stop_reason == "interrupted":
        return 130
    numbers = evaluate_model(
        done.result.model,
        done.data.test,
        done.data.spec,
        DEFAULT_IMPORTANCE_SAMPLES,
        common.seed,
        screen,
    )
    path = write_run_report(
        done.folder, done.data, screen, common, diagnosis=run_doctor(done, screen, common.seed)
    )
    screen.print_result("")
    screen.print_table(evaluation_table(numbers))
    screen.print_result("")
    screen.print_result(
        f"Held-out log-likelihood: {numbers.log_likelihood}, over {numbers.n:,} images."
    )
    if path is not None:
        screen.print_result(f"Report: {path}")
    return 0
