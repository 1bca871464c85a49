"""The values that the steps of a training run pass on.

Options and data become `Prepared`, a fit of that `Fitted`, a test of that `Tested`; `saving` makes record, manifest and
pictures of the three.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from halfbert.data.tables import Data
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.long_texts import Pooling
from halfbert.options import TrainOptions
from halfbert.output.advice import Evidence, LabelErrors
from halfbert.output.record import Baseline, CalibrationReport, Continued, Distillation, RateFinder, WindowsReport
from halfbert.predictor.manifest import Numbers
from halfbert.scoring.calibration import Calibration
from halfbert.scoring.intervals import Interval
from halfbert.system.console import Stopped, StopRequest
from halfbert.system.errors import HalfbertError
from halfbert.training.earlier import Earlier

Failure = HalfbertError | Stopped
"""What ended a fit or a test early."""

XLA_TOKENS = 32  # a batch's length is a multiple of them


@dataclass(frozen=True)
class Prepared:
    """All that a fit depends on; `truth` is that of each part, (rows, labels) of 0 and 1."""

    task: str
    options: TrainOptions
    stop: StopRequest
    data: Data
    truth: dict[str, np.ndarray]
    checkpoint: Checkpoint
    device: str
    epochs: int
    rate: float
    head: str
    setup_seconds: float
    earlier: Earlier | None = None  # the predictor that --from names
    continued: Continued | None = None
    replicas: int = 1  # devices that a batch is shared out to, on all machines

    @property
    def devices(self) -> str:
        """What computes, in words: "cpu", or "2 x gpu" where batches are shared out."""
        return self.device if self.replicas == 1 else f"{self.replicas} x {self.device}"

    def lay_out(self, data: Any, maxlen: int) -> None:
        """Have a TPU see batches of `data`, a TransformerDataset, of one shape only."""
        if self.device == "tpu":
            data.fixed_length, data.batch_size = maxlen, self.options.batch_size

    def lay_out_training(self, data: Any, maxlen: int) -> None:
        """Have the batches of an epoch be those of the run's seed, as its device likes them."""
        xla = self.options.xla
        data.epochs, data.seed, data.full_batches = self.epochs, self.options.seed, xla or self.replicas > 1
        # Multiples of 8 are what a GPU's matrix units like (a CPU does not mind); XLA compiles each shape, so it gets few.
        data.pad_to_multiple_of = XLA_TOKENS if xla else 8 if self.device == "gpu" else 1
        self.lay_out(data, maxlen)


@dataclass(frozen=True)
class History:
    """What the epochs of a fit left: their scores, and by epoch the time (perf_counter) after each batch.

    `learning_rates` and `momenta` are those of each step; `resumed_at` the steps after which a killed fit was resumed.
    """

    epochs: list[Numbers]
    best_epoch: int
    learning_rates: list[float]
    momenta: list[float]
    step_ends: list[list[float]]
    resumed_at: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Fitted:
    """A model with the weights of its best epoch; `failure` is what ended the fit before its last one.

    `model`, `transformer` and `train` are a transformers model, a Transformer and the TransformerDataset it was fitted on.
    `val_logits`: (validation texts, labels) of the best epoch, by which `thresholds` and `calibration` were chosen; `windows`
    how those of windows were pooled.
    """

    model: Any
    transformer: Any
    train: Any
    history: History
    val_logits: np.ndarray
    thresholds: list[float] | None
    calibration: Calibration | None
    rate: float
    finder: RateFinder | None
    preprocess_seconds: float
    fit_seconds: float
    failure: Failure | None
    windows: WindowsReport | None = None

    @property
    def pooling(self) -> Pooling | None:
        """How the logits of a text's windows become those of the text; None where rows are texts."""
        return self.windows.pooling if self.windows else None


@dataclass(frozen=True)
class Tested:
    """Scores of the test rows; none of it where the fit or the test ended early, by `failure`.

    `lengths`, (test rows,), are in tokens, before anything is truncated; `mislabelled` are the lines of label_errors.csv.
    """

    failure: Failure | None = None
    probabilities: Any = None  # (test rows, labels)
    confidence: Any = None  # (test rows,), how likely each answer is right
    scores: dict[str, Any] | None = None
    wrong_rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None
    intervals: dict[str, Interval] | None = None
    tfidf: Baseline | None = None
    calibration: CalibrationReport | None = None
    lengths: Any = None
    label_errors: LabelErrors | None = None
    mislabelled: list[dict[str, Any]] = field(default_factory=list)
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Taught:
    """What a distillation adds to a run's record and manifest; `seconds` is the time of the teacher's predictions.

    The digests are of the texts that the student saw beside those of its own table: texts without labels, and through the
    teacher those that trained it or chose its epoch.
    """

    distillation: Distillation
    seconds: float
    train_texts: str
    val_texts: str
