"""Fine-tune BERT or DistilBERT on a table of texts with one label each: table in, ktrain predictor out.

python train_multiclass.py --model distilbert
python train_multiclass.py --model bert --train reviews.xlsx --text-column Reviews --label-column Sentiment
"""

import sys

from halfbert.cli import options
from halfbert.data.multiclass import read_multiclass
from halfbert.system import console, tensorflow_setup
from halfbert.training import results as records
from halfbert.training.run import TrainingRun

TASK = "multiclass"


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit, test, save; `--help` lists the options, README.md what is written."""
    chosen = options.parse_training(options.multiclass_parser(), argv, TASK)
    with TrainingRun(TASK, chosen, stop) as run:
        data = run.read(read_multiclass, label_column=chosen.label_column)
        checkpoint = run.prepare()

        # TensorFlow is loaded and set up by now, so what uses it can be imported.
        import numpy as np

        from halfbert.models.ktrain_data import Transformer, ktrain
        from halfbert.scoring import multiclass as metrics
        from halfbert.scoring.probabilities import softmax
        from halfbert.training import fit as training
        from halfbert.training import head as probe

        numbers = {label: number for number, label in enumerate(data.labels)}
        truth = {part: np.array([numbers[label] for label in rows.labels]) for part, rows in data.parts()}
        commonest = int(np.bincount(truth["train"]).argmax())

        def score(logits: np.ndarray) -> dict:
            return metrics.validation(truth["val"], softmax(logits))

        with run.fitting():
            transformer = Transformer(checkpoint.folder, maxlen=chosen.maxlen, class_names=data.labels)
            train = transformer.preprocess_train(data.train.texts, truth["train"], verbose=0)
            val = transformer.preprocess_test(data.val.texts, truth["val"], verbose=0)
            run.preprocessed(train, val, transformer.maxlen)

            with tensorflow_setup.strategy(run.device).scope():
                model = transformer.get_classifier()
            training.compile_model(model, run.device, chosen.weight_decay)
            if run.head == "probed":
                probe.fit_head(model, train, run.device, seed=chosen.seed)
            learner = training.get_learner(model, train_data=train, batch_size=chosen.batch_size)
            rate = run.learning_rate(learner)
            best = run.best_epoch(model, transformer, val, score, chosen_by="val_macro_f1")
            weights = training.class_weights(truth["train"], chosen.class_weights)
            learner.fit_onecycle(rate, run.epochs, class_weight=weights, callbacks=[best], verbose=0)

        if run.completed:
            with run.testing():
                test = transformer.preprocess_test(data.test.texts, truth["test"], verbose=0)
                run.probabilities = softmax(run.predict(model, test))
                run.scores = metrics.multiclass(truth["test"], run.probabilities, data.labels, commonest)
                run.wrong_rows = records.wrong_rows(data.test, truth["test"], run.probabilities, data.labels)

        with run.saving(model, lambda folder: records.draw_multiclass(run, truth["test"], run.probabilities, folder)) as folder:
            predictor = ktrain.get_predictor(model, transformer.for_predictor())
            predictor.save(folder)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
