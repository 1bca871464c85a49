"""Fine-tune BERT or DistilBERT on a table of texts with any number of labels each: table in, ktrain predictor out.

python train_multilabel.py --model distilbert
python train_multilabel.py --model bert --train comments.csv --text-column text --label-columns toxic,obscene,threat
"""

import sys

from halfbert.cli import options
from halfbert.data.multilabel import read_multilabel
from halfbert.system import console, tensorflow_setup
from halfbert.training import results as records
from halfbert.training.run import TrainingRun

TASK = "multilabel"


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit, choose thresholds, test, save; `--help` lists the options, README.md what is written."""
    chosen = options.parse_training(options.multilabel_parser(), argv, TASK)
    with TrainingRun(TASK, chosen, stop) as run:
        data = run.read(
            read_multilabel,
            label_columns=chosen.label_columns,
            label_column=chosen.label_column,
            label_separator=chosen.label_separator,
            drop_constant_labels=chosen.drop_constant_labels,
        )
        checkpoint = run.prepare()

        # TensorFlow is loaded and set up by now, so what uses it can be imported.
        import numpy as np

        from halfbert.models.ktrain_data import Transformer, ktrain
        from halfbert.scoring import multilabel as metrics
        from halfbert.scoring.probabilities import sigmoid
        from halfbert.training import fit as training
        from halfbert.training import head as probe

        truth = {
            part: np.array([[label in labels for label in data.labels] for labels in rows.labels], int)
            for part, rows in data.parts()
        }

        def score(logits: np.ndarray) -> dict:
            return metrics.validation(truth["val"], sigmoid(logits))

        with run.fitting():
            transformer = Transformer(checkpoint.folder, maxlen=chosen.maxlen, class_names=data.labels, multilabel=True)
            train = transformer.preprocess_train(data.train.texts, truth["train"], verbose=0)
            val = transformer.preprocess_test(data.val.texts, truth["val"], verbose=0)
            run.preprocessed(train, val, transformer.maxlen)

            with tensorflow_setup.strategy(run.device).scope():
                model = transformer.get_classifier()
            loss = training.SigmoidCrossentropy(training.balancing_weights(truth["train"]) if chosen.balance else None)
            training.compile_model(model, run.device, chosen.weight_decay, loss)
            if run.head == "probed":
                probe.fit_head(model, train, run.device, multilabel=True, seed=chosen.seed)
            learner = training.get_learner(model, train_data=train, batch_size=chosen.batch_size)
            rate = run.learning_rate(learner)
            best = run.best_epoch(model, transformer, val, score, chosen_by="val_mean_average_precision")
            learner.fit_onecycle(rate, run.epochs, callbacks=[best], verbose=0)

        thresholds = metrics.choose_thresholds(truth["val"], sigmoid(best.best_logits), chosen.threshold)
        run.thresholds = thresholds.tolist()
        if run.completed:
            with run.testing():
                test = transformer.preprocess_test(data.test.texts, truth["test"], verbose=0)
                run.probabilities = sigmoid(run.predict(model, test))
                run.scores = metrics.multilabel(truth["test"], run.probabilities, thresholds, data.labels)
                run.wrong_rows = records.wrong_multilabel_rows(
                    data.test, truth["test"], run.probabilities, thresholds, data.labels
                )

        with run.saving(model, lambda folder: records.draw_multilabel(run, truth, run.probabilities, folder)) as folder:
            predictor = ktrain.get_predictor(model, transformer.for_predictor())
            predictor.save(folder)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
