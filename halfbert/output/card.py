"""The model card of a predictor: its README.md, with the hub's metadata."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from halfbert.data.phrases import HUB_PREFIX, counted
from halfbert.data.texts import SEPARATOR, joined
from halfbert.models import mini
from halfbert.models.long_texts import CUT, HEAD_TAIL, SPECIAL_TOKENS, head_tokens
from halfbert.output.record import Record
from halfbert.output.sheets import markdown_table
from halfbert.output.text import (
    ANSWER_NAMES,
    RANKING_NAMES,
    SCORE_NAMES,
    certainty,
    cross_validation_line,
    distillation_lines,
    example,
    tfidf_lines,
)
from halfbert.output.words import model_name, one_line
from halfbert.predictor.manifest import Manifest

METRICS = {  # of the hub's model index, by the manifest's score
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "mean_roc_auc": "roc_auc",
}

CARD = """
# {name}

A ktrain predictor that gives a text {answers} of {labels_counted}. {model}, fine-tuned from {checkpoint}.
{note}
- Labels{thresholds}: {labels}
- {lengths}{columns}
- Data: {files}; {train} for training, {val:,} for validation (epoch {best_epoch} of {epochs} was kept), {test:,} for the
  test; split seed {seed}.

{scores}

## How to load it

```python
import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow is imported
import numpy as np

np.Inf = np.inf  # ktrain 0.41.4 uses a name that numpy 2 removed
import ktrain

predictor = ktrain.load_predictor({quoted})
predictor.predict({example})
```

ktrain executes the pickle in this folder (`tf_model.preproc`): load only predictors that you trust. `halfbert.load({quoted})`
reads no pickle.

## Limits

The scores hold for texts like those of the test. `predict_proba` gives the network's own probabilities; {calibration}
"""

LOADING = "## How to load it\n"
WITH_TRANSFORMERS = """## How to load it

```python
from transformers import pipeline  # PyTorch: reads model.safetensors and no pickle

pipeline("text-classification", {name})("a text"{more})
```

"""
FROM_HUB = """The other ways need a copy of the repository, `huggingface_hub.snapshot_download("{hub}")`, in place of the
name below.
"""


def model_card(manifest: Manifest, record: Record, name: str, hub_name: str | None = None) -> str:
    """The model card: metadata, what the predictor is, its training data, its scores, how to load it, its limits.

    On the hub, as the repository `hub_name`, it says how to load it from there. Of the hub's metadata only what is known is
    stated: no language, no license, a base model if it came from the hub.
    """
    from huggingface_hub import ModelCard

    labels = [code(label) for label in manifest.labels]
    if manifest.thresholds is not None:
        labels = [f"{label} from {threshold:.3f}" for label, threshold in zip(labels, manifest.thresholds, strict=True)]
    used = record.checkpoint
    assert used is not None  # only comparisons' baselines have none
    text = CARD.format(
        name=one_line(name),
        quoted=json.dumps(name, ensure_ascii=False),
        answers="any number" if manifest.task == "multilabel" else "one",
        labels_counted=counted(len(labels), "label"),
        model=model_name(record.model),
        checkpoint=f"{used.name} (SHA-256 of its weights `{used.weights_sha256[:12]}…`)",
        note=f"\nNote: {one_line(used.note)}.\n" if used.note else "",
        thresholds=", each predicted from the probability beside it" if manifest.thresholds is not None else "",
        labels=", ".join(labels),
        lengths=_lengths(manifest),
        columns=_columns(manifest),
        example=json.dumps(_example_text(manifest.text_columns), ensure_ascii=False),
        files=", ".join(f"{code(f.name)} ({counted(f.rows, 'row')}, SHA-256 `{f.sha256[:12]}…`)" for f in manifest.data.files),
        train=counted(record.data.rows.train, "row"),
        val=record.data.rows.val,
        test=record.data.rows.test,
        best_epoch=record.best_epoch,
        epochs=len(record.epochs),
        seed=manifest.data.split_seed,
        scores=_scores(manifest, record),
        calibration=_calibration(record),
    )
    if hub_name:
        text = text.replace(LOADING, _with_transformers(manifest, hub_name) + FROM_HUB.format(hub=hub_name))
    return str(ModelCard(f"---\n{_metadata(manifest, record, name)}\n---\n{text}"))


def for_transformers(card: str, manifest: Manifest, name: str) -> str:
    """The card of a predictor, changed into that of its export for transformers, a folder called `name`."""
    card = card.replace("library_name: ktrain\n", "library_name: transformers\n", 1)
    card = card.replace("A ktrain predictor that gives", "A classifier that gives", 1)
    before, _, after = card.partition(LOADING)
    _, limits, rest = after.partition("\n## Limits\n")
    loading = _with_transformers(manifest, name, truncation=True)
    notes = "".join(f"- {line}\n" for line in _unknown_to_transformers(manifest))
    return f"{before.rstrip()}\n\n{loading}{notes}{limits}{rest}"


def _with_transformers(manifest: Manifest, name: str, truncation: bool = False) -> str:
    more = (", truncation=True" if truncation else "") + ("" if manifest.thresholds is None else ", top_k=None")
    return WITH_TRANSFORMERS.format(name=json.dumps(name, ensure_ascii=False), more=more)


def _unknown_to_transformers(manifest: Manifest) -> list[str]:
    """What a program has to do itself that `halfbert.load` does; the numbers are in answers.json."""
    lines = ["`onnx/model.onnx` answers the same with ONNX Runtime: `input_ids` and `attention_mask`, int64, to `logits`."]
    if manifest.thresholds is not None:
        lines.append("A pipeline gives every label's score: a label is predicted from its threshold in `answers.json` upwards.")
    if manifest.long != CUT:
        way = "in windows, whose answers are pooled" if manifest.pooling else "by their first and last tokens"
        lines.append(
            f"A pipeline reads the first {manifest.maxlen} tokens of long texts; this model was tested reading them {way}."
        )
    if manifest.calibration is not None:
        divided = (
            "the logits are divided by `temperature`"
            if manifest.thresholds is None
            else "each label's logit is scaled by `platt`"
        )
        lines.append(
            f"Scores are not calibrated: for calibrated ones {divided} of `answers.json` before they become probabilities."
        )
    if len(manifest.text_columns) > 1:
        lines.append(f"A text is made of its columns by `{SEPARATOR}` between them.")
    return lines


def _columns(manifest: Manifest) -> str:
    """How a text is made of several columns."""
    columns = manifest.text_columns
    if len(columns) < 2:
        return ""
    return (
        f"\n- A text is the cells of {len(columns)} columns, {', '.join(map(code, columns))}, joined by `{SEPARATOR}`. "
        f"`halfbert.load` takes rows of them,\n  `predict({example(columns)})`, and `predict.py` finds the columns in a table."
    )


def _example_text(columns: Sequence[str]) -> str:
    """What stands for a text in an example."""
    return joined(columns) or "a text" if len(columns) > 1 else "a text"


def _calibration(record: Record) -> str:
    report = record.calibration
    if report is None:
        return "none of them were calibrated."
    before, after = (kind.expected_calibration_error for kind in (report.raw, report.calibrated))
    return (
        f"`confidence` of\n`halfbert.load` gives calibrated ones (expected calibration error on the test {after:.3f}, the "
        f"network's {before:.3f}), and `review` says\nwhich answers a person should see."
    )


def _lengths(manifest: Manifest) -> str:
    """What becomes of long texts, and where plain ktrain does otherwise."""
    maxlen = manifest.maxlen
    if manifest.long == HEAD_TAIL:
        room, head = maxlen - SPECIAL_TOKENS, head_tokens(maxlen)
        read = f"Of texts of more than {maxlen} tokens the first {head} and the last {room - head} are read"
        return f"{read}.\n  The scores are of that; plain ktrain reads the first {room}."
    if manifest.pooling is not None:
        read = f"Texts are read in overlapping windows of {maxlen} tokens, whose answers are pooled ({manifest.pooling.name})"
        return f"{read}.\n  The scores are of that; plain ktrain answers with the first window."
    return f"Texts are truncated to {maxlen} tokens."


def _scores(manifest: Manifest, record: Record) -> str:
    test = manifest.test
    if test is None:
        return f"The run ended early ({manifest.stopped}) and was not tested."
    names = RANKING_NAMES | ANSWER_NAMES if manifest.task == "multilabel" else SCORE_NAMES
    names = {key: title for key, title in names.items() if key in test}
    columns = {"": [f"{test[key]:.4f}" for key in names], **certainty(record, names)}
    rows = [list(row) for row in zip(names.values(), *columns.values(), strict=True)]
    lines = [*tfidf_lines(record), *distillation_lines(record.task, record.test or {}, record.distillation)]
    lines.append(cross_validation_line(record.cross_validation))
    table = markdown_table(["score of the test", *columns], rows)
    return "\n".join([table, "", *(f"- {line}" for line in lines if line)]).rstrip()


def _metadata(manifest: Manifest, record: Record, name: str) -> str:
    """The hub's metadata in YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    files = [file.name for file in manifest.data.files]
    tested = [file.name for file in manifest.data.files if file.role == "test"] or files[:1]
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=one_line(tested[0].removeprefix(HUB_PREFIX)),
            dataset_name=one_line(tested[0]),
            dataset_split="test",
            metric_type=METRICS[key],
            metric_name=key.replace("_", " "),
            metric_value=round(value, 4),
        )
        for key, value in (manifest.test or {}).items()
        if key in METRICS and value is not None and tested
    ]
    from_hub = [name.removeprefix(HUB_PREFIX).split(":")[0] for name in files if name.startswith(HUB_PREFIX)]
    data = ModelCardData(
        library_name="ktrain",
        pipeline_tag="text-classification",
        tags=["halfbert", record.model, manifest.task],
        base_model=_base_model(record.checkpoint.name if record.checkpoint else "", record.options.get("checkpoint")),
        datasets=list(dict.fromkeys(name for name in from_hub if not Path(name).exists())) or None,  # hf: reads folders, too
        metrics=list(dict.fromkeys(METRICS[key] for key in manifest.test or {} if key in METRICS)) or None,
        model_name=name,
        eval_results=results or None,
    )
    return data.to_yaml()


def _base_model(name: str, requested: object) -> str | None:
    """The hub's name of the checkpoint; None for a folder, of whose path only the last part is recorded."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if name.startswith(f"{mini.NAME} (mini)"):
        return f"sentence-transformers/{mini.NAME}"
    if requested is None:
        return name
    try:
        cached = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # such as ./folder
        return None
    return name if isinstance(cached, str) else None


def code(text: str) -> str:
    """Text as Markdown code on one line, whatever backticks it has."""
    line = one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"
