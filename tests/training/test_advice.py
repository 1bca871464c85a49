"""Suggestions: each rule on a planted record that has its evidence, and on one that has not."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support import ROOT

from halfbert.cli.command import VERBS
from halfbert.data.sources import Frame
from halfbert.options import DistillOptions, MulticlassOptions, MultilabelOptions
from halfbert.options.repeating import again
from halfbert.output import record as records
from halfbert.output.advice import CurvePoint, Evidence, Growth, LabelErrors, OtherRule, OtherRun, Truncation
from halfbert.output.text import next_steps, scores_table
from halfbert.scoring.intervals import Difference
from halfbert.training import advice
from halfbert.training.advice import Commands

FINISHED = records.read(ROOT / "results" / "published" / "multiclass" / "messages-distilbert-seed0")
OPTIONS = MulticlassOptions(model="distilbert", train="a b.csv", seed=3, lr=1e-4)

RATE = ("--lr=0.0001", "--seed=3", "--split-seed=3")


def difference(low, first=0.8, second=0.7):
    return Difference(first, second, first - second, low, 0.2, 0.95, 200, 1, 2000)


def record_with(evidence=None, **changes):
    return replace(FINISHED, evidence=evidence, **changes)


def growth(low):
    return Evidence(growth=Growth([CurvePoint(50, 0.5), CurvePoint(100, 0.7), CurvePoint(200, 0.8)], difference(low)))


def truncation(p_value, tokens=300):
    return Evidence(truncation=Truncation(40, 20, 200, 20, p_value, tokens))


def bert_beside(low):
    return Evidence(others=[OtherRun("predictors/bert-a", "bert", difference(low))])


def with_losses(train, val):
    return [{"train_loss": train, "val_loss": val}]


def behind_tfidf(gain):
    return replace(FINISHED.tfidf, gain={"macro_f1": Difference(0.8, 0.8 - gain, gain, -0.1, 0.1, 0.95, 200, 1, 2000)})


def conflicting(texts):
    return replace(FINISHED.data, conflicting_texts=texts)


@pytest.mark.parametrize(
    ("rule", "fires", "silent", "words", "options"),
    [
        (
            advice.thresholds,
            record_with(Evidence(threshold=OtherRule("f1", difference(0.01)))),
            record_with(Evidence(threshold=OtherRule("f1", difference(-0.01)))),
            "macro F1 is 0.8000 with it and 0.7000",
            {"threshold": "f1"},
        ),
        (
            advice.longer_texts,
            record_with(truncation(0.01), options={"maxlen": 128}),
            record_with(truncation(0.06), options={"maxlen": 128}),
            "of 40 test rows truncated at 128 tokens 50.0% are wrong, of the 200 others 10.0%",
            {"maxlen": 304},
        ),
        (
            advice.longer_texts,
            record_with(truncation(0.01, 900), options={"maxlen": 512}),
            record_with(options={"maxlen": 512}),
            "truncated at 512 tokens",
            {"long": "windows", "maxlen": 256},
        ),
        (
            advice.more_rows,
            record_with(growth(0.01)),
            record_with(growth(0.0)),
            "0.500 with 50, 0.700 with 100, 0.800 with 200",
            {"overwrite": True},
        ),
        (
            advice.label_conflicts,
            record_with(data=conflicting(2)),
            record_with(data=conflicting(0)),
            "2 texts of .* stand in several rows under different labels",
            {"overwrite": True},
        ),
        (
            advice.label_errors,
            record_with(label_errors=LabelErrors(10, 1000, "tfidf")),
            record_with(label_errors=LabelErrors(9, 1000, "tfidf")),
            r"10 of 1,000 rows \(1.0%\) likely have a wrong label",
            {"overwrite": True},
        ),
        (
            advice.larger_model,
            record_with(tfidf=behind_tfidf(-0.01)),
            record_with(tfidf=behind_tfidf(0.01)),
            "macro F1 0.8000 is not above TF-IDF's, 0.8100",
            {"model": "bert"},
        ),
        (
            advice.larger_model,
            record_with(epochs=with_losses(0.5, 0.4), best_epoch=1, tfidf=None),
            record_with(epochs=with_losses(0.3, 0.4), best_epoch=1, tfidf=None),
            "loss on training rows, 0.500, is not below",
            {"model": "bert"},
        ),
    ],
)
def test_a_rule_speaks_with_its_evidence_and_is_silent_without(rule, fires, silent, words, options):
    kind = MultilabelOptions if "threshold" in options else MulticlassOptions
    commands = Commands(kind(model="distilbert", train="a.csv", seed=3))
    found = rule(fires, commands)
    assert re.search(words, found.why) and rule(silent, commands) is None
    assert rule(record_with(), commands) is None
    verb, *words = found.command.partition(kind.task.join(("train-", " ")))[1:]
    understood = VERBS[verb.strip()].parse(words[0].split())
    for name, value in options.items():
        assert getattr(understood, name) == value
    assert (understood.train, understood.seed) == ("a.csv", 3)
    assert options.get("overwrite") or understood.output != commands.options.output


def test_a_better_bert_of_the_same_rows_is_to_teach():
    found = advice.teacher(record_with(bert_beside(0.01)), Commands(OPTIONS))
    assert found.command.endswith("distill --teacher=predictors/bert-a '--train=a b.csv' --seed=3")
    assert "BERT's macro F1 on the same 200 test rows is 0.8000, DistilBERT's 0.7000" in found.why
    assert advice.teacher(record_with(bert_beside(0.0)), Commands(OPTIONS)) is None
    of_bert = replace(record_with(Evidence(others=[OtherRun("p/d", "distilbert", difference(0.01))])), model="bert")
    assert " predictors/bert-a " in advice.teacher(of_bert, Commands(MulticlassOptions(model="bert", train="a.csv"))).what
    # BERT is known then, and need not be tried.
    assert advice.larger_model(replace(record_with(bert_beside(0.0)), tfidf=behind_tfidf(-0.1)), Commands(OPTIONS)) is None


def test_three_at_most_the_measured_gains_first_and_none_without_a_test():
    everything = record_with(
        replace(growth(0.01), truncation=truncation(0.01).truncation),
        options={"maxlen": 128},
        data=conflicting(1),
        label_errors=LabelErrors(10, 100, "tfidf"),
    )
    found = advice.suggestions(everything, OPTIONS)
    assert [each.what.split()[0] for each in found] == ["read", "label", "decide"]
    said = next_steps(found).splitlines()
    assert (
        said[0] == "what to do next:" and said[1].startswith("  1. read 304 tokens") and said[2] == f"     {found[0].command}"
    )
    assert advice.suggestions(replace(everything, test=None), OPTIONS) == []
    assert next_steps([]) == "what to do next: nothing in this run says"


def test_a_list_of_many_rows_says_that_answers_are_unsure_and_is_no_suggestion():
    assert advice.label_errors(record_with(label_errors=LabelErrors(200, 1000, "tfidf")), Commands(OPTIONS))
    assert advice.label_errors(record_with(label_errors=LabelErrors(201, 1000, "tfidf")), Commands(OPTIONS)) is None


def test_a_record_holds_no_private_folder(tmp_path):
    options = replace(
        OPTIONS, train=str(tmp_path / "secret" / "a.csv"), output=tmp_path / "p" / "x", results=tmp_path / "r" / "x"
    )
    record = record_with(data=conflicting(1))
    [stored], [said] = (advice.suggestions(record, options, shareable) for shareable in (True, False))
    assert str(tmp_path) not in stored.command + stored.what and "--train=a.csv" in stored.command
    assert str(tmp_path / "secret" / "a.csv") in said.command and str(tmp_path / "r" / "x" / "label_conflicts.csv") in said.what


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        (OPTIONS, {"overwrite": True}, ["--model=distilbert", "--train=a b.csv", *RATE, "--overwrite"]),
        (OPTIONS, {"model": "bert"}, ["--model=bert", "--train=a b.csv", *RATE]),
        (
            MulticlassOptions(model="bert", output="p/x", overwrite=True),
            {"maxlen": 64},
            ["--model=bert", "--maxlen=64", "--output=p/x-64"],
        ),
        (
            MultilabelOptions(model="bert", results="r/y"),
            {"threshold": "f1"},
            ["--model=bert", "--threshold=f1", "--output=predictors/bert-messages-f1", "--results=r/y-f1"],
        ),
    ],
)
def test_the_run_again_has_its_own_options_and_a_place_of_its_own(options, changes, expected):
    verb, words = again(options, **changes)
    assert (verb, sorted(words)) == (f"train-{options.task}", sorted(expected))


def test_a_distillation_again():
    options = DistillOptions(teacher="predictors/bert-a", epochs=2)
    options.complete_with_teacher("multilabel", ["x"], 10, "cut", 0, None)
    verb, words = again(options, overwrite=True)
    understood = VERBS[verb].parse(words)
    assert (understood.teacher, understood.train, understood.epochs, understood.overwrite) == (
        "predictors/bert-a",
        None,
        2,
        True,
    )


def test_a_run_on_fewer_rows_than_the_table_has_is_to_take_all_of_them():
    options = MulticlassOptions(model="distilbert", train="a.csv", rows=200)
    record = record_with(growth(0.01), options={**FINISHED.options, "rows": 200})
    found = advice.more_rows(record, Commands(options))
    assert found.what == "train on all labelled rows, without --rows"
    assert "--rows" not in found.command and "--overwrite" in found.command


def test_a_table_in_memory_has_no_command():
    options = MulticlassOptions(model="bert", train=Frame(pd.DataFrame(), "train"))
    assert again(options, overwrite=True) is None
    assert advice.label_conflicts(record_with(data=conflicting(1)), Commands(options)).command is None


def test_a_record_with_suggestions_reads_as_it_was_written(tmp_path: Path):
    suggestions = advice.suggestions(record_with(growth(0.01)), OPTIONS)
    records.write(replace(record_with(growth(0.01)), suggestions=suggestions, label_errors=LabelErrors(1, 2, "bert")), tmp_path)
    again_read = records.read(tmp_path)
    assert again_read.suggestions == suggestions and again_read.evidence == growth(0.01)
    assert "\nwhat to do next:\n  1. label more rows" in scores_table(again_read)
