"""The model card: what it states, in Markdown and in the hub's metadata, and nothing beyond what is known."""

import dataclasses

import pytest
from huggingface_hub import ModelCard
from support import LABELS, ROOT, TAGS

from halfbert.output import card as cards
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.predictor import manifest as manifests


def card_of(run) -> str:
    return (run.output / "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_it_is_made_from_and_how_good_it_is(finished, tiny_distilbert):
    card, record = card_of(finished), finished.record
    files = (text for file in record["data"]["files"] for text in (file["name"], file["sha256"][:12]))
    scores = (f"| {name} | {record['test'][key]:.4f} |" for key, name in report.SCORE_NAMES.items())
    for stated in (
        *("\n# things\n", f"fine-tuned from {tiny_distilbert.name} ", record["checkpoint"]["weights_sha256"][:12]),
        *(f"truncated to {finished.manifest['maxlen']} tokens", "108 rows for training, 12 for validation (epoch"),
        *("42 for the\n  test; split seed 0", 'ktrain.load_predictor("things")', "TF_USE_LEGACY_KERAS"),
        *(f"`{label}`" for label in LABELS),
        *files,
        *scores,
    ):
        assert stated in card
    assert str(ROOT) not in card
    own, its = (found["accuracy"] for found in (record["intervals"], record["tfidf"]["intervals"]))
    accuracy = f"| accuracy | {record['test']['accuracy']:.4f} | {own['low']:.3f} to {own['high']:.3f} | "
    accuracy += f"{record['tfidf']['test']['accuracy']:.4f} | {its['low']:.3f} to {its['high']:.3f} |"
    assert accuracy in card and "- TF-IDF: logistic regression" in card and "less TF-IDF's, paired bootstrap: accuracy " in card


def test_the_multilabel_card_names_the_thresholds(finished_multilabel):
    card, test = card_of(finished_multilabel), finished_multilabel.record["test"]
    assert "gives a text any number of 3 labels" in card
    for tag, threshold in zip(TAGS, finished_multilabel.manifest["thresholds"], strict=True):
        assert f"`{tag}` from {threshold:.3f}" in card
    for key, name in (report.ANSWER_NAMES | report.RANKING_NAMES).items():
        assert f"| {name} | {(test | test['at_thresholds'])[key]:.4f} |" in card


def made_up(run, *, checkpoint="a-folder", requested="a-folder", labels=None, files=None, **changes) -> str:
    """The card of a run that had another checkpoint, other labels, or other files."""
    manifest, record = manifests.read(run.output), records.read(run.results)
    used = dataclasses.replace(record.checkpoint, name=checkpoint)
    named = [dataclasses.replace(manifest.data.files[0], name=name) for name in files or ["a.csv"]]
    manifest = dataclasses.replace(
        manifest, labels=labels or manifest.labels, data=dataclasses.replace(manifest.data, files=named), **changes
    )
    record = dataclasses.replace(record, checkpoint=used, options={**record.options, "checkpoint": requested})
    return cards.model_card(manifest, record, 'my "things"')


def test_the_hub_reads_its_metadata(finished):
    data = ModelCard(card_of(finished)).data
    assert (data.library_name, data.pipeline_tag, data.metrics) == ("ktrain", "text-classification", ["accuracy", "f1"])
    assert data.tags == ["halfbert", "distilbert", "multiclass"] and data.model_name == "things"
    results = {result.metric_name: result for result in data.eval_results}
    assert set(results) == {"accuracy", "macro f1", "micro f1"}
    for name, result in results.items():
        assert result.metric_value == round(finished.record["test"][name.replace(" ", "_")], 4)
        assert (result.dataset_name, result.dataset_split) == ("held_out.csv", "test")
    for unknown in (data.language, data.license, data.base_model, data.datasets):
        assert unknown is None


@pytest.mark.parametrize(
    ("checkpoint", "requested", "base_model"),
    [
        ("./tiny", "./tiny", None),
        ("distilbert-base-uncased", None, "distilbert-base-uncased"),
        ("all-MiniLM-L6-v2 (mini), DistilBERT form of layers 0-2-4", None, "sentence-transformers/all-MiniLM-L6-v2"),
        ("distilbert-base-uncased", "distilbert-base-uncased", None),  # may be a folder of that name
        ("org/cached", "org/cached", "org/cached"),
        ("org/folder", "org/folder", None),
    ],
)
def test_the_base_model_is_named_if_it_is_known(checkpoint, requested, base_model, finished, monkeypatch):
    from huggingface_hub.utils import validate_repo_id

    def cached(name, file):
        validate_repo_id(name)  # which ./tiny fails
        return "/cache/config.json" if name == "org/cached" else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    assert ModelCard(made_up(finished, checkpoint=checkpoint, requested=requested)).data.base_model == base_model


def test_data_sets_of_the_hub_are_named_and_a_run_that_ended_early_claims_no_score(finished, here):
    (here / "folder").mkdir()
    files = ["hf:org/reviews:small", "hf:org/reviews:large", "a.csv", "hf:folder"]
    card = made_up(finished, files=files, test=None, stopped="SIGINT")
    assert "ended early (SIGINT) and was not tested" in card
    assert (ModelCard(card).data.datasets, ModelCard(card).data.eval_results) == (["org/reviews"], None)


def test_strange_names_stay_in_their_place(finished):
    card = made_up(finished, labels=["two\nlines", "a`b``c", "{x} | y"])
    assert "- Labels: `two lines`, ``` a`b``c ```, `{x} | y`\n" in card
    assert 'ktrain.load_predictor("my \\"things\\"")' in card
