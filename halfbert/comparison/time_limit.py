"""How many training rows are likely to be done within a time limit, judged by short runs."""

from halfbert.comparison.parts import Experiment
from halfbert.output.record import Record
from halfbert.output.words import significant
from halfbert.system.errors import InputError

CURVE = (0.25, 0.5)  # of the training rows, for the learning curve
PILOT_ROWS, PILOT_TEST_ROWS = 512, 256
USABLE = 0.9  # of the time limit, since estimates err
SPEED_SECONDS = 120  # a predictor, for timing its engines; for the estimate only


def apply(experiment: Experiment) -> None:
    """If there is a time limit, fit short runs and set `experiment.rows` to what is likely to be done in it."""
    limit, available = experiment.options.time_limit, len(experiment.data.train)
    if limit is None:
        return
    option, rows = f"--time-limit {significant(limit)}", max(PILOT_ROWS, 2 * len(experiment.data.labels))
    if rows >= available:
        experiment.notes.add(f"{option}: no timed runs for only {available:,} training rows; all are used")
        return
    names, seed = experiment.contestants, experiment.options.seed
    pilots = {name: experiment.finish(name, seed, rows, PILOT_TEST_ROWS) for name in names}
    spent = sum(pilot.seconds for pilot in pilots.values())
    fixed, per_row = spent + SPEED_SECONDS * len(experiment.checkpoints), 0.0
    for name, pilot in pilots.items():
        fixed_once, per_row_once = cost(pilot.record, pilot.seconds, len(experiment.data.test))
        curve = CURVE if experiment.options.learning_curve else ()
        fixed += fixed_once * (experiment.fits(name) + len(curve))
        per_row += per_row_once * (experiment.fits(name) + sum(curve))
    usable = 60 * USABLE * limit - fixed
    if usable < rows * per_row:
        raise InputError(
            f"{option}: the fits would take about {(fixed + rows * per_row) / 60 / USABLE:.0f} minutes even on {rows:,} rows; "
            f"give more time, or fewer --seeds or --contestants"
        )
    possible = available if usable >= available * per_row else int(usable / per_row)
    which = f"all {available:,} training rows" if possible == available else f"{possible:,} of {available:,} training rows"
    if possible < available:
        experiment.rows = possible
        which += " (a stratified sample)"
    experiment.notes.add(
        f"{option}: short runs on {rows:,} rows took {spent:,.0f} s; training on {which} is likely to fit; every test row is "
        f"used"
    )


def cost(record: Record, seconds: float, test_rows: int) -> tuple[float, float]:
    """(seconds independent of the rows, seconds per training row) of a fit, judged by a short run that took `seconds`.

    The rate is the steady one if the run was long enough to have one; else start-up counts as if it grew with the rows, so
    the estimate errs on the long side.
    """
    timing, rows = record.timing, record.data.rows
    steady, fit_seconds = timing.steady_rows_per_second, timing.fit_seconds or 0.0
    per_row = len(record.epochs) / steady if steady else fit_seconds / max(rows.train, 1)
    evaluation = (timing.evaluate_seconds or 0.0) / max(rows.test, 1)
    return seconds - rows.train * per_row + (test_rows - rows.test) * evaluation, per_row
