"""A search without fits."""

import json
from types import SimpleNamespace

import pytest
from scripted_trials import LABELS, Clock, Stage

from halfbert.models.checkpoints import Checkpoint
from halfbert.options import TuneOptions
from halfbert.tuning import search, space
from halfbert.tuning.study import Study


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(search, "time", found)
    monkeypatch.setattr(search, "MOST_SKIPPED", 8)
    return found


@pytest.fixture
def checkpoint(tiny_distilbert):
    return Checkpoint("tiny", tiny_distilbert, "distilbert", "0" * 64)


@pytest.fixture
def stage(tmp_path, clock, checkpoint):
    """Run a search with trials that `play` makes up; returns the trials, and what there was."""

    def run(play, seconds=1000.0, most_trials=8, depends_on=None, slots=1, **options):
        laid_out = space.build(TuneOptions(**options), {"distilbert": checkpoint}, 2000, 40)
        study = Study(tmp_path / "study", laid_out, depends_on or {"table": "a"}, at_a_time=slots)
        place = Stage(play, slots)
        budget = search.Budget(seconds, study.seconds)
        found = search.Search(
            study, place, budget, lambda setting: json.dumps(setting).encode(), "macro F1", LABELS, most_trials
        )
        run.last = SimpleNamespace(study=study, place=place, budget=budget, space=laid_out)
        return found.run()

    return run
