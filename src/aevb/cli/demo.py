"""``aevb demo``: the whole story on handwritten digits."""

from __future__ import annotations

from .figures import as_table
from .fit import examined, finished, train
from .measure import evaluate_model, write_report
from .options import Common, Model, Training
from .plan import Plan
from .runs import next_run
from .screen import Screen
from .weighing import SAMPLES

MODEL, TRAINING = Model(latent=2), Training(epochs=200)


def demo(*, common: Common = Common()) -> int:
    """Train on scikit-learn's handwritten digits, measure on rows that were held out, and write the report: about one minute."""
    screen = Screen(common.quiet)
    done = train(Plan("digits", model=MODEL, training=TRAINING, common=common), screen, next_run("demo"))
    screen.tell("Done", finished(done.result))
    if done.result.stopped == "interrupted":
        return 130
    numbers = evaluate_model(done.result.model, done.data.test, done.data.spec, SAMPLES, common.seed, screen)
    path = write_report(done.run, done.data, screen, common, diagnosis=examined(done, screen, common.seed))
    screen.result("")
    screen.table(as_table(numbers))
    screen.result("")
    screen.result(f"Held-out log-likelihood: {numbers.log_likelihood}, over {numbers.n:,} images.")
    if path is not None:
        screen.result(f"Report: {path}")
    return 0
