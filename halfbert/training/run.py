"""One training run: what the training scripts have in common around ktrain's own lines."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from halfbert.data.tables import Data
from halfbert.models import checkpoints
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output.card import model_card
from halfbert.system import storage, tensorflow_setup
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import HalfbertError, ResourceError
from halfbert.training import results
from halfbert.training.steps import reading

RESULTS_BYTES = 20_000_000  # record, tables and plots, generously
FEW_PROVING_TEXTS = 200  # where a GPU or TPU trained: its processor may be slow


class TrainingRun:
    """The state of a run, from checked options to a saved predictor and its record.

    As a context manager it holds the lock of the output, and nothing half-written is left when the block fails. Where a
    signal or a diverging loss ended the fit early, the best epoch so far is saved, and leaving the block raises what
    ended it.
    """

    def __init__(self, task: str, options, stop: StopRequest):
        self.task, self.options, self.stop = task, options, stop
        self.failure: HalfbertError | Stopped | None = None
        self.timing: dict[str, float | None] = {}
        self.scores: dict | None = None
        self.thresholds: list[float] | None = None  # of each label, where a text has any number of them
        self.probabilities = None  # (test rows, labels)
        self.wrong_rows: list[dict] = []
        self.finder: dict | None = None
        self.distillation: dict | None = None  # of a taught student, what the record says of teacher and control
        self.best = None
        self.learner = None
        self._stack = contextlib.ExitStack()
        self._started = time.perf_counter()

    def __enter__(self) -> "TrainingRun":
        options = self.options
        storage.check_disjoint(options.output, options.results)
        storage.check_output(options.output, "--output", options.overwrite, marker="halfbert.json")
        storage.check_output(options.results, "--results", options.overwrite, marker=records.RECORD)
        # Resolved, so that the place of a link is taken by nothing, and what it leads to is replaced.
        self._targets = options.output.resolve(), options.results.resolve()
        with contextlib.ExitStack() as stack:
            for target in self._targets:
                stack.enter_context(storage.output_lock(target))
                storage.remove_leftovers(target)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._stack.__exit__(kind, error, traceback)
        if error is None and self.failure is not None:
            raise self.failure
        if error is None:
            self.stop.raise_if_set()  # a signal while saving waited until all was saved

    # -- before the fit

    def read(self, reader: Callable[..., Data], **columns) -> Data:
        """Read and check the tables, and say what was found."""
        self.data = reader(**reading(self.options), **columns)
        say(report.data_line(self.data))
        for note in self.data.notes:
            say(f"  {note}")
        return self.data

    def prepare(self, find: Callable[[], checkpoints.Checkpoint] | None = None) -> checkpoints.Checkpoint:
        """Load TensorFlow with the settings of the run, and find the checkpoint: the one of the options, or by `find`."""
        options = self.options
        self.device = tensorflow_setup.prepare(
            options.device, options.threads, options.seed, options.deterministic, options.precision
        )
        self.checkpoint = find() if find else checkpoints.find(options.model, options.checkpoint)
        if self.checkpoint.note:
            say(self.checkpoint.note)
        recipe = self.checkpoint.recipe
        self.epochs = options.epochs or recipe["epochs"]
        self.rate = options.lr or recipe["learning_rate"]
        self.head = options.head or recipe["head"]
        copies = 1 + (self.epochs if options.keep_epochs else 0)
        storage.check_free_space(options.output, copies * self.checkpoint.bytes + RESULTS_BYTES)
        storage.check_free_space(options.results, RESULTS_BYTES)
        self.timing["setup_seconds"] = time.perf_counter() - self._started
        return self.checkpoint

    # -- the fit

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Time the fit, keep its best epoch, and remember what ended it early."""
        from halfbert.training import fit as training

        self._folder, self._results = (self._stack.enter_context(storage.atomic_folder(target)) for target in self._targets)
        self._fit_started = started = time.perf_counter()
        try:
            yield
        except training.Diverged as diverged:
            self.failure = ResourceError(f"{diverged}; try a smaller --lr" + self._what_is_kept())
        if self.stop.signal_number is not None:
            self.failure = Stopped(self.stop.signal_number)
        self.timing["fit_seconds"] = time.perf_counter() - started
        if self.best.best_weights is None:
            raise self.failure
        self.best.model.set_weights(self.best.best_weights)
        if self.failure is not None:
            say(f"ended early{self._what_is_kept()}")

    def _what_is_kept(self) -> str:
        epoch = self.best and self.best.best_epoch
        return f"; epoch {epoch} is kept as {self.options.output}" if epoch else "; no epoch was complete, nothing is kept"

    def preprocessed(self, train, val, maxlen: int) -> None:
        """Note the time of preprocessing, lay out the batches, and say how many texts are cut, and where."""
        self.timing["preprocess_seconds"] = time.perf_counter() - self._fit_started
        self.encoded, self.maxlen = train.encoded, maxlen
        self.lay_out_training(train)
        self.lay_out(val)
        say(f"texts are cut at {maxlen} tokens: {train.encoded.truncated_share:.1%} of the training texts are longer")

    def lay_out_training(self, data) -> None:
        """Have the batches of an epoch be those of the run's seed, as its device likes them."""
        data.epochs, data.seed = self.epochs, self.options.seed
        data.pad_to_multiple_of = 8 if self.device == "gpu" else 1  # what a GPU's matrix units like; a CPU does not mind
        self.lay_out(data)

    def lay_out(self, data) -> None:
        """Have a TPU see batches of one shape only."""
        if self.device == "tpu":
            data.fixed_length, data.batch_size = self.maxlen, self.options.batch_size

    def learning_rate(self, learner) -> float:
        """The learning rate to train with: as given, of the checkpoint's recipe, or found by ktrain's finder."""
        from halfbert.training import fit as training

        self.learner = learner
        if self.options.find_lr:
            self.finder = training.find_learning_rate(learner, learner.model, self.device, self.options.weight_decay)
            if self.finder.suggestion is None:
                say(f"the learning-rate finder found no falling loss; training with {self.rate:g}")
            else:
                self.rate = self.finder.suggestion
                say(f"the learning-rate finder suggests {self.rate:.2g}")
        return self.rate

    def best_epoch(self, model, transformer, validation, score: Callable, chosen_by: str):
        """The callback that scores each epoch and keeps the best; from here on a signal waits for the end of a batch."""
        from halfbert.predictor import writing as predictors
        from halfbert.training import fit as training

        keep = None
        if self.options.keep_epochs:

            def keep(epoch: int) -> None:
                predictors.keep_epoch(model, transformer, self._folder, epoch)

        self.best = training.BestEpoch(validation, score, chosen_by, self.epochs, self.stop, self.options.early_stopping, keep)
        say(f"training {self.options.model} from {self.checkpoint.name}")
        self.stop.gently = True
        return self.best

    # -- after the fit

    @property
    def completed(self) -> bool:
        """Whether the fit came to its end, so that there is something to test."""
        return self.failure is None

    @contextlib.contextmanager
    def testing(self) -> Iterator[None]:
        """Around the test: a signal ends the test at once, and what was fitted is kept, untested."""
        self.stop.gently = False
        try:
            yield
        except Stopped as stopped:
            self.failure, self.scores = stopped, None
            say(f"the test was stopped{self._what_is_kept()}")
        self.stop.gently = True

    def predict(self, model, test):
        """(rows, labels) logits of the test texts, timed."""
        from halfbert.training import fit as training

        self.stop.raise_if_set()
        self.lay_out(test)
        started = time.perf_counter()
        logits = training.predict_logits(model, test, "testing")
        self.timing["evaluate_seconds"] = time.perf_counter() - started
        return logits

    @contextlib.contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Around what is not to be saved: that it ends early costs only itself, and a signal ends it at once."""
        from halfbert.training import fit as training

        self.stop.gently = False
        try:
            yield
        except (Stopped, training.Diverged) as ended:
            say(f"{what} ended early ({ended}); {self.options.output} is saved without it")
        self.stop.gently = True

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how many seconds the block takes under a name of the record's timing."""
        started = time.perf_counter()
        yield
        self.timing[name] = time.perf_counter() - started

    @contextlib.contextmanager
    def saving(self, model, draw: Callable[[Path], None]) -> Iterator[str]:
        """Give the folder to save the predictor into; then add manifest, card, record and pictures, and say where all is."""
        from halfbert.predictor import writing as predictors

        predictors.reserve_space(model, self._folder)
        yield str(self._folder)
        self.parameters = model.count_params()
        manifest = results.manifest(self)
        self.record = results.record(self, 0)
        predictors.finish(self._folder, manifest, model_card(manifest, self.record, self.options.output.name))
        self.record = results.record(self, storage.folder_bytes(self._folder))
        results.write(self, self._results)
        draw(self._results)
        self._stack.close()  # from here on predictor and results stand under their names
        if self.completed:
            self._prove_engines(model)
        say(report.closing(self.record, self.options.output, self.options.results))

    def _prove_engines(self, model) -> None:
        """Hold the engines' answers to held-out texts against Keras, for `halfbert.load`; a failure costs only that.

        Those of the test rows as well: no label is looked at, and a few validation texts would tell little of a share of 99 %.
        """
        import numpy as np

        from halfbert.predictor import proving
        from halfbert.scoring.probabilities import probabilities_of

        # Elsewhere, and in mixed precision, Keras answers once more: with the CPU, in float32.
        at_hand = self.device == "cpu" and model.compute_dtype == "float32"
        answers = probabilities_of(self.best.best_logits, self.task), self.probabilities
        self.stop.gently = False
        try:
            with storage.output_lock(self._targets[0]):
                found = proving.prove(
                    self._targets[0],
                    self.data.val.texts + self.data.test.texts,
                    proving.HELD_OUT,
                    reference=np.concatenate(answers) if at_hand else None,
                    most_texts=proving.MOST_TEXTS if self.device == "cpu" else FEW_PROVING_TEXTS,
                    threads=self.options.threads,
                )
            if found:
                say(report.agreement_line(found))
        except (HalfbertError, OSError, Stopped) as failure:
            say(f"engines were not compared with Keras ({failure}); halfbert.load takes keras until they are")
        self.stop.gently = True
