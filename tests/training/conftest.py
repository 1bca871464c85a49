"""What the tests of whole training runs share: small tables, and a quick run in this process."""

import json
from types import SimpleNamespace

import pytest
from support import example_rows, record_of, tagged_rows, train_here, watch_runs, write_csv, write_tags


@pytest.fixture
def tables(tmp_path):
    """A csv file for each task, of 120 texts with three labels."""
    return {
        "multiclass": write_csv(tmp_path / "things.csv", example_rows(120)),
        "multilabel": write_tags(tmp_path / "tags.csv", tagged_rows(120)),
    }


@pytest.fixture
def quick(here, tiny_distilbert, tables, tensorflow_ready, monkeypatch):
    """Run one quick epoch of the tiny DistilBERT on a small table; returns what was left, said and passed on."""
    seen = watch_runs(monkeypatch)

    def run(*arguments, task="multiclass", train=None, output="predictors/try"):
        model = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", train or tables[task])
        said = train_here(*model, "--output", output, "--epochs", "1", *arguments, script=f"train_{task}")
        folder, results = here / output, here / "results" / task / output.split("/")[-1]
        manifest = json.loads((folder / "halfbert.json").read_text(encoding="utf-8"))
        return SimpleNamespace(
            record=record_of(results), manifest=manifest, said=said, folder=folder, results=results, **vars(seen)
        )

    return run
