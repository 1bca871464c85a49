"""The Hugging Face Trainer and pipeline as a contestant: batches of like length, padded to their longest text.

Runs in an environment of its own: pip install torch "transformers>=4.48,<5" accelerate.
"""

import tempfile
import time

import torch
from transformers import (  # type: ignore[attr-defined]
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

from tools.race.contest import read, report

job = read()
torch.set_num_threads(job.threads)
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)
numbers = {name: number for number, name in enumerate(sorted(set(job.labels)))}
model = AutoModelForSequenceClassification.from_pretrained(
    job.checkpoint, num_labels=len(numbers), label2id=numbers, id2label=dict(enumerate(numbers))
)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=job.batch_size,
        num_train_epochs=job.epochs,
        learning_rate=job.lr,
        group_by_length=True,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    start = time.perf_counter()
    encoded = tokenizer(job.texts, truncation=True, max_length=job.maxlen)
    rows = [
        {"labels": numbers[label], **{name: values[row] for name, values in encoded.items()}}
        for row, label in enumerate(job.labels)
    ]
    Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)).train()
    fit_seconds = time.perf_counter() - start
classify = pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, device="cpu")


def predict(texts: list[str]) -> list[str]:
    """The label of each text."""
    return [each["label"] for each in classify(texts, batch_size=job.batch_size, truncation=True, max_length=job.maxlen)]


report(job, predict, fit_seconds)
