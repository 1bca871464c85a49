"""The search: the default first, bad trials ended early, the time kept, failures reported, and gone on with after a kill."""

import pytest
from scripted_trials import Scripted

from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.tuning import study as studies
from halfbert.tuning.search import Search


def outcomes(trials):
    return [trial["outcome"] for trial in trials]


def steady(clock, score=0.5, seconds=1.0):
    return lambda setting, number: Scripted(clock, [score + 0.001 * number] * setting["epochs"], seconds)


def test_the_default_settings_are_the_first_trial_and_all_that_finish_keep_their_answers(stage, clock):
    trials = stage(steady(clock), most_trials=3)
    assert outcomes(trials) == ["finished"] * 3 and [trial["default"] for trial in trials] == [True, False, False]
    found = stage.last
    assert trials[0]["setting"] == found.space.setting(found.space.default)
    assert trials[0]["setting"]["maxlen"] is None and trials[0]["setting"]["keep"] is None
    assert found.study.answers(2).shape == (40, 3)
    assert [trial["score"] for trial in trials] == pytest.approx([0.5, 0.501, 0.502])


def test_a_trial_below_the_median_at_its_point_of_the_fit_is_ended(stage, clock):
    def play(setting, number):
        return Scripted(clock, [0.1 if number == 6 else 0.5 + 0.01 * number] * setting["epochs"])

    trials = stage(play, most_trials=8, epochs=4)
    assert outcomes(trials)[:7] == ["finished"] * 6 + ["pruned"]
    pruned, process = trials[6], stage.last.place.started[6]
    assert process.stopped and (pruned["epochs"], pruned["score"]) == (1, 0.1) and "median" in pruned["reason"]


def test_nothing_is_begun_that_would_end_after_the_time_and_the_last_fits_are_left_time(stage, clock, capsys):
    trials = stage(steady(clock, seconds=2.0), seconds=70.0, most_trials=None, epochs=5, lr=1e-4)
    last = stage.last
    assert set(outcomes(trials)) == {"finished"} and len(trials) > 3
    # The default and the best once more, of about 10 seconds each.
    assert 20 <= last.budget.left < 60
    assert "no other settings are likely to be done" in capsys.readouterr().out


def test_a_trial_that_runs_when_the_time_is_up_is_ended(stage, clock):
    def play(setting, number):
        return Scripted(clock, [0.5] * setting["epochs"], 2.0 if number == 0 else 30.0)

    trials = stage(play, seconds=60.0, most_trials=None, epochs=4, batch_size=16, keep=2)
    assert outcomes(trials) == ["finished", "stopped"] and trials[1]["reason"] == "the time was up"
    assert stage.last.place.started[1].stopped and stage.last.budget.left > 8


@pytest.mark.parametrize("epochs", [8, 1])
def test_too_little_time_for_the_default_settings_is_an_error_with_what_would_do(stage, clock, epochs):
    with pytest.raises(InputError, match=r"--minutes 0.5: not enough for one trial of the default settings"):
        stage(steady(clock, seconds=45.0 / epochs), seconds=30.0, epochs=epochs)
    assert clock.now < 31 and stage.last.place.started[0].stopped


def test_a_failed_trial_keeps_its_reason_and_the_search_goes_on(stage, clock):
    def play(setting, number):
        if number in (1, 2):
            return Scripted(clock, [], code=4, reported=["a line", "error: out of memory; try a smaller --batch-size"])
        return Scripted(clock, [0.5] * setting["epochs"])

    trials = stage(play, most_trials=5)
    assert outcomes(trials) == ["finished", "failed", "failed", "finished", "finished"]
    assert trials[1]["reason"] == "out of memory; try a smaller --batch-size"


def test_three_failures_alike_before_anything_else_end_the_search(stage, clock):
    with pytest.raises(ResourceError, match="the first 3 trials failed alike; trial 2: the loss became nan"):
        stage(lambda *_: Scripted(clock, [], code=4, reported=["error: the loss became nan"]))
    assert len(stage.last.place.started) == 3


def test_a_mistake_of_the_user_ends_the_search_at_once(stage, clock):
    with pytest.raises(InputError, match="trial 0: no such column"):
        stage(lambda *_: Scripted(clock, [], code=2, reported=["error: no such column"]))
    assert len(stage.last.place.started) == 1


def test_a_search_that_was_killed_begins_its_running_trial_once_more(stage, clock, monkeypatch):
    with monkeypatch.context() as patch:  # as if the process had died: nothing is settled at the end
        patch.setattr(Search, "_look_at", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            stage(steady(clock))
    assert outcomes(stage(steady(clock), most_trials=3)) == ["finished"] * 3
    number = stage.last.study.ended[0]["number"]
    assert stage.last.study.ended[0]["default"] and number == 1  # number 0 was killed

    spent = stage.last.study.seconds
    trials = stage(steady(clock), most_trials=5)
    assert len(trials) == 5 and len(stage.last.place.started) == 2 and stage.last.study.seconds > spent
    settings = [str(trial["setting"]) for trial in trials]
    assert len(set(settings)) == 5


def test_time_of_earlier_runs_counts(stage, clock):
    stage(steady(clock, seconds=2.0), seconds=100.0, most_trials=2, epochs=5)
    assert len(stage(steady(clock, seconds=2.0), seconds=30.0, most_trials=None, epochs=5)) == 2


def test_a_study_of_something_else_is_refused_by_name(stage, clock, tmp_path):
    stage(steady(clock), most_trials=1, depends_on={"table": "a", "weight_decay": 0.1})
    with pytest.raises(InputError, match=r"otherwise \(weight decay was 0.1, is 0.2; epochs was not given, is 3\); --over"):
        stage(steady(clock), depends_on={"table": "a", "weight_decay": 0.2, "epochs": 3})
    (tmp_path / "study" / studies.DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(ArtefactError, match="no study that can be read"):
        stage(steady(clock))


def test_points_that_are_known_are_not_run_twice(stage, clock, capsys):
    trials = stage(steady(clock), most_trials=None, search=["head", "keep"])
    assert len({str(trial["setting"]) for trial in trials}) == len(trials) == 4
    assert "no other settings" in capsys.readouterr().out


def test_several_at_a_time(stage, clock):
    trials = stage(steady(clock), most_trials=6, slots=3)
    assert len(trials) == 6 and clock.now < 6 * 5  # five epochs and fewer, three trials side by side
