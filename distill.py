"""Teach a smaller model what a trained one knows, on labelled and unlabelled texts: a predictor in, a faster one out.

python distill.py --teacher predictors/bert-messages
python distill.py --teacher predictors/bert-reviews --train reviews.xlsx --unlabelled more_reviews.csv --output predictors/small
"""

import sys
import tempfile
from pathlib import Path

from halfbert.cli import options
from halfbert.distillation import rows, teacher
from halfbert.system import console, tensorflow_setup
from halfbert.training import tasks
from halfbert.training.run import TrainingRun


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, ask the teacher, fit, test, fit the control, save; `--help` lists the options, README.md what is written."""
    parser = options.distill_parser()
    chosen = options.parse_distillation(parser, argv)
    if chosen.objective == "mlm":
        from halfbert.distillation import pretraining

        pretraining.pretrain(chosen, stop)
        return
    taught_by = teacher.read(Path(chosen.teacher))
    options.complete_distillation(parser, chosen, taught_by)
    task, chosen_by = taught_by.predictor.manifest.task, tasks.CHOSEN_BY[taught_by.predictor.manifest.task]
    with TrainingRun(task, chosen, stop) as run, tempfile.TemporaryDirectory(prefix="halfbert-") as scratch:
        reader, columns = tasks.reader(task, chosen)
        data = run.read(reader, **columns)
        rows.check(taught_by, data, chosen)
        more_texts, unlabelled = rows.read_unlabelled(chosen, data)
        checkpoint = run.prepare(lambda: teacher.student(taught_by, chosen, Path(scratch)))

        # TensorFlow is loaded and set up by now, so what uses it can be imported.
        import numpy as np
        import tensorflow as tf

        from halfbert.distillation import course, losses, predictions
        from halfbert.models import batching
        from halfbert.models.ktrain_data import Transformer, ktrain
        from halfbert.predictor import engines, gate
        from halfbert.scoring.probabilities import probabilities_of
        from halfbert.training import fit as training
        from halfbert.training import head as probe

        truth = {part: tasks.truth(task, rows, data.labels) for part, rows in data.parts()}
        transformer = Transformer(checkpoint.folder, chosen.maxlen, data.labels, multilabel=task == "multilabel")
        teacher.check_tokenizers(checkpoint, taught_by.predictor.folder, taught_by.name)
        automatic = gate.automatic(taught_by.predictor, run.device)
        engine = next(name for name in automatic if engines.find(name).load_states)
        with run.timed("teacher_seconds"):
            texts = data.train.texts + more_texts + data.test.texts
            answers = predictions.predict(taught_by.predictor, texts, engine, run.device)
        to_learn, to_test = answers.split(len(data.train) + len(more_texts))
        weights = losses.applicable_weights(chosen, checkpoint, answers)
        run.distillation = course.account(taught_by, chosen, weights, engine, unlabelled)

        def score(logits: np.ndarray) -> dict:
            return tasks.validation(task, truth["val"], probabilities_of(logits, task))

        def begin(objective: training.Objective | None = None):
            """The same beginning for the student and its control: weights, head and chance."""
            tf.keras.utils.set_random_seed(chosen.seed)
            with tensorflow_setup.strategy(run.device).scope():
                model = transformer.get_classifier()
            loss = training.SigmoidCrossentropy() if task == "multilabel" else None
            training.compile_model(model, run.device, chosen.weight_decay, loss, objective)
            if run.head == "probed":
                probe.fit_head(model, labelled, run.device, task == "multilabel", chosen.seed)
            return model

        with run.fitting():
            labelled = transformer.preprocess_train(data.train.texts, truth["train"], verbose=0)
            more, _ = batching.encode(transformer.get_tokenizer(), more_texts, chosen.maxlen)
            train = losses.training_set(labelled, more, to_learn)
            val = transformer.preprocess_test(data.val.texts, truth["val"], verbose=0)
            run.preprocessed(train, val, transformer.maxlen)

            model = begin(losses.objective(task, run.device, len(data.labels), weights, chosen.temperature))
            learner = training.get_learner(model, train_data=train, batch_size=chosen.batch_size)
            rate = run.learning_rate(learner)
            best = run.best_epoch(model, transformer, val, score, chosen_by)
            learner.fit_onecycle(rate, run.epochs, callbacks=[best], verbose=0)

        run.thresholds = tasks.thresholds(task, truth["val"], best.best_logits, chosen.threshold)
        if run.completed:
            with run.testing():
                test = transformer.preprocess_test(data.test.texts, truth["test"], verbose=0)
                run.probabilities = probabilities_of(run.predict(model, test), task)
                run.scores = tasks.scores(task, truth, run.probabilities, run.thresholds, data.labels)
                run.wrong_rows = tasks.wrong_rows(
                    task, data.test, truth["test"], run.probabilities, run.thresholds, data.labels
                )
                course.test_teacher(run, taught_by, truth, to_test.logits)

        if run.completed and not chosen.no_control:
            with run.aside("the control"):
                console.say("fitting the control: the same student, without the teacher")
                control = begin()
                run.lay_out_training(labelled)
                learner = training.get_learner(control, train_data=labelled, batch_size=chosen.batch_size)
                best_of_control = training.BestEpoch(val, score, chosen_by, run.epochs, stop, chosen.early_stopping)
                learner.fit_onecycle(rate, run.epochs, callbacks=[best_of_control], verbose=0)
                course.test_control(run, control, best_of_control, truth, test)

        with run.saving(model, lambda folder: tasks.draw(run, truth, folder)) as folder:
            predictor = ktrain.get_predictor(model, transformer.for_predictor())
            predictor.save(folder)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
