"""Which model to ship: TF-IDF, DistilBERT, BERT and a distilled student on one table, with a verdict.

python compare.py --train reviews.xlsx --text-column Reviews --label-column Sentiment
python compare.py --task multilabel --train toxic.csv --text-column text --label-columns ALL --seeds 3
"""

import sys

from halfbert.cli import options
from halfbert.comparison.course import compare
from halfbert.system import console


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit each contestant, time them, judge, report; `--help` lists the options."""
    compare(options.parse_compare(options.compare_parser(), argv), stop)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
