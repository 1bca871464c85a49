"""The study: Optuna's trials in an SQLite file, so that a killed search can be resumed.

Optuna is imported when a study is opened.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from halfbert.system import storage
from halfbert.system.errors import ArtefactError, InputError
from halfbert.training.identity import differences
from halfbert.tuning.space import Setting, Space

DATABASE, ANSWERS = "study.db", "answers"
RUNGS = 4  # of a fit, at whose ends trials are compared: fits of different numbers of epochs have these in common
FIRST_TO_FINISH = 4  # trials that are not pruned, being what others are compared with
RANDOM_TRIALS = 10  # before the sampler learns from them
MOST_SKIPPED = 30  # points in a row that are known or too slow: then nothing else is left to try
DEPENDS_ON, SECONDS, DEFAULT, ENDED = "depends_on", "seconds", "default", "ended"
STATES = {"finished": "COMPLETE", "pruned": "PRUNED"}  # Optuna's, of what a trial came to; of the others it is FAIL

Ended = dict[str, Any]
"""What is kept of a trial that came to an end: number, setting, outcome, reason, epochs, seconds …; plain JSON."""


@dataclass
class Begun:
    """A trial that is to be run; `rung` is the last one at whose end it was compared."""

    trial: Any  # Optuna's
    setting: Setting
    is_default: bool
    rung: int = 0

    @property
    def number(self) -> int:
        return self.trial.number


class Study:
    """The trials of one search.

    Parameters
    ----------
    folder: of the database, and of the answers of finished trials to the validation rows.
    seed: of the sampler.
    at_a_time: how many trials run side by side.
    depends_on: what the scores depend on, in plain JSON by name. Raises InputError where an earlier study in the folder differs
        in it, ArtefactError where its database cannot be read.
    """

    def __init__(self, folder: Path, space: Space, depends_on: dict[str, Any], seed: int = 0, at_a_time: int = 1):
        import optuna
        import sqlalchemy.exc

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        self.folder, self.space = folder, space
        (folder / ANSWERS).mkdir(parents=True, exist_ok=True)
        file = folder / DATABASE
        try:
            database = optuna.storages.RDBStorage(f"sqlite:///{quote(str(file))}")
            self._study = optuna.create_study(
                storage=database,
                study_name="halfbert",
                load_if_exists=True,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(FIRST_TO_FINISH, n_warmup_steps=0),
            )
            earlier = self._study.user_attrs.get(DEPENDS_ON)
            begun = len(self._study.get_trials(deepcopy=False))
        except (sqlalchemy.exc.SQLAlchemyError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ArtefactError(f"{file}: no study that can be read ({reason}); --overwrite starts over") from error
        # Another seed when it goes on: the same one would draw the same points once more.
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=(seed + begun) % 2**32, constant_liar=at_a_time > 1
        )
        if earlier is not None:
            _check_same(file, earlier, depends_on)
        self._study.set_user_attr(DEPENDS_ON, depends_on)
        trials = self._study.get_trials(deepcopy=False)
        self.ended: list[Ended] = [trial.user_attrs[ENDED] for trial in trials if ENDED in trial.user_attrs]
        self._settle_interrupted()

    def _settle_interrupted(self) -> None:
        """Have the trials that a killed search was running begun once more, the default settings first of all."""
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.name == "RUNNING":
                self._tell(trial.number, "FAIL")
                if trial.params and not trial.user_attrs.get(DEFAULT):
                    self._study.enqueue_trial(trial.params)
        if not any(trial.user_attrs.get(DEFAULT) and trial.state.name != "RUNNING" for trial in trials):
            self._study.enqueue_trial(self.space.default, user_attrs={DEFAULT: True})

    def begin(self) -> Begun:
        """The next trial: the default settings at first, then what the sampler takes. It has to be ended or skipped."""
        trial = self._study.ask()
        return Begun(trial, self.space.suggest(trial), bool(trial.user_attrs.get(DEFAULT)))

    def is_known(self, setting: Setting) -> bool:
        """Whether a trial with the same settings has ended: it would end alike."""
        return any(trial["setting"] == setting for trial in self.ended)

    def skip(self, begun: Begun) -> None:
        """End a trial that was not run."""
        self._tell(begun.number, "FAIL")

    def report(self, begun: Begun, share: float, score: float) -> bool:
        """Keep the score after this share of a fit's epochs; whether the trial is worse than the median of others there."""
        rung = int(RUNGS * share + 1e-9)
        if not begun.rung < rung < RUNGS:
            return False
        begun.rung = rung
        begun.trial.report(score, rung)
        return begun.trial.should_prune()

    def end(self, begun: Begun, outcome: str, score: float | None = None, **more: Any) -> None:
        """Keep what a trial came to: "finished", "pruned", "failed", or "stopped" at the end of the time."""
        known = {"number": begun.number, "default": begun.is_default, "setting": begun.setting}
        ended = {**known, "outcome": outcome, "score": score, **more}
        begun.trial.set_user_attr(ENDED, ended)
        self._tell(begun.number, STATES.get(outcome, "FAIL"), score if outcome == "finished" else None)
        self.ended.append(ended)

    def _tell(self, number: int, state: str, score: float | None = None) -> None:
        from optuna.trial import TrialState

        self._study.tell(number, score, state=TrialState[state])

    @property
    def seconds(self) -> float:
        """How long the search has taken, in all its runs."""
        return float(self._study.user_attrs.get(SECONDS, 0.0))

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._study.set_user_attr(SECONDS, value)

    def keep_answers(self, number: int, answers: np.ndarray) -> None:
        """Write a trial's (validation rows, labels) probabilities."""
        with storage.atomic_file(self.folder / ANSWERS / f"{number}.npy") as stream:
            np.save(stream, answers)

    def answers(self, number: int) -> np.ndarray:
        """What `keep_answers` wrote. Raises ArtefactError where it is damaged or not there."""
        file = self.folder / ANSWERS / f"{number}.npy"
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{file}: no answers of a trial ({error}); --overwrite starts over") from error

    def importance(self) -> dict[str, float] | None:
        """The share of each setting in the differences between scores (fANOVA); None where too few trials finished."""
        finished = [trial for trial in self.ended if trial["outcome"] == "finished"]
        if len(finished) < RANDOM_TRIALS:
            return None
        import optuna

        try:
            found = optuna.importance.get_param_importances(self._study)
        except (RuntimeError, ValueError, ImportError):  # all scores equal
            return None
        return {name: float(share) for name, share in found.items()}


def _check_same(file: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise InputError, which names what differs, where a study was begun with something else."""
    before, after = ({name.replace("_", " "): value for name, value in each.items()} for each in (earlier, now))
    if differing := differences(before, after):
        raise InputError(
            f"{file}: the search was begun otherwise ({'; '.join(differing)}); --overwrite starts over, or choose another "
            "--results"
        )
