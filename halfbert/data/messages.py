"""The embedded tables of customers' messages, found beside this module wherever the package is installed."""

from pathlib import Path

TRAIN = Path(__file__).with_name("messages_train.xlsx")
TEST = TRAIN.with_name("messages_test.xlsx")
LABEL = "queue"
TAGS = [
    *("urgent", "angry", "refund_wanted", "replacement_wanted", "damaged", "repeat_contact"),
    *("grateful", "gift", "business", "leaving"),
]
