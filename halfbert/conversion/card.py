"""The card of a converted predictor: its README.md."""

import json

from halfbert.data.phrases import counted
from halfbert.output.card import code
from halfbert.output.words import model_name, one_line
from halfbert.predictor.manifest import Manifest

CARD = """---
library_name: ktrain
pipeline_tag: text-classification
tags:
- halfbert
- {model_key}
- {task}
---

# {name}

{model}, converted from a predictor that ktrain saved ({made_by}). It gives a text {answers} of {labels_counted}.

- Labels{thresholds}: {labels}
- Texts are truncated to {maxlen} tokens.
- Converted from {files}.
- Proof: on {rows} of {texts} its answers equal those of Keras on the old weights; the largest difference of a probability is
  {difference:.0e}.
- How well it answers was not measured here, and its confidence is not calibrated.

## How to load it

```python
import halfbert

halfbert.load({quoted}).predict("a text")
```

Plain `ktrain.load_predictor` loads it as well; the pickle (`tf_model.preproc`) is a new one.
"""


def model_card(manifest: Manifest, name: str) -> str:
    """The card of a predictor whose manifest says what it was converted from."""
    converted = manifest.converted
    assert converted is not None and manifest.model is not None
    return CARD.format(
        model_key=manifest.model,
        task=manifest.task,
        name=one_line(name),
        quoted=json.dumps(f"predictors/{name}", ensure_ascii=False),
        model=model_name(manifest.model),
        made_by=converted.made_by,
        answers="one" if manifest.thresholds is None else "any number",
        labels_counted=counted(len(manifest.labels), "label"),
        thresholds=""
        if manifest.thresholds is None
        else f", each predicted from a probability of {manifest.thresholds[0]}, as ktrain does",
        labels=", ".join(map(code, manifest.labels)),
        maxlen=manifest.maxlen,
        files=", ".join(f"`{file}` (SHA-256 `{digest[:12]}…`)" for file, digest in converted.files.items()),
        rows=counted(converted.rows, "text"),
        texts=one_line(converted.texts),
        difference=converted.largest_difference,
    )
