"""The command that follows a run: made of the run's own options, and taken by the verb that it names."""

import pandas as pd
import pytest

from halfbert.cli.command import VERBS
from halfbert.data.sources import Frame
from halfbert.options import DistillOptions, MulticlassOptions, MultilabelOptions, following


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (MulticlassOptions(model="bert", checkpoint="mini", no_tfidf=True), ["--checkpoint=mini"]),
        (MultilabelOptions(model="distilbert"), ["--task=multilabel"]),
        (
            MulticlassOptions(
                model="distilbert", checkpoint="org/small", train="my table.csv", label_column="Sentiment", epochs=2, seed=3
            ),
            [
                *("--contestants=tfidf,static,distilbert=org/small,bert", "--train=my table.csv", "--label-column=Sentiment"),
                *("--epochs=2", "--seed=3", "--split-seed=3"),
            ],
        ),
        (
            MultilabelOptions(model="bert", train="a.csv", test="b.csv", label_columns=["x, y", "z"], threshold="f1"),
            ["--task=multilabel", "--train=a.csv", "--test=b.csv", '--label-columns="x, y",z', "--threshold=f1"],
        ),
    ],
)
def test_a_training_run_is_followed_by_the_comparison_on_its_table(options, expected):
    verb, arguments = following(options)
    assert (verb, arguments) == ("compare", expected)
    understood = VERBS[verb].parse(arguments)
    same = ("text_column", "label_columns", "epochs", "seed", "threshold")
    for name in (name for name in same if hasattr(options, name) and options.train == understood.train):
        assert getattr(understood, name) == getattr(options, name)


def test_a_distillation_is_followed_by_a_timing_of_student_and_teacher():
    options = DistillOptions(teacher="predictors/bert-a", train="a.csv", test="b.csv", text_column="Review")
    options.complete_with_teacher("multiclass", ["x"], 10, "cut", 0, None)
    verb, arguments = following(options)
    folders = ["predictors/bert-a", "predictors/student-a"]
    assert (verb, arguments) == ("benchmark", [*folders, "--texts=b.csv", "--text-column=Review", "--quick"])
    assert [folder.as_posix() for folder in VERBS[verb].parse(arguments).predictors] == folders


def test_a_table_in_memory_has_no_command():
    assert following(MulticlassOptions(model="bert", train=Frame(pd.DataFrame(), "train"))) is None
