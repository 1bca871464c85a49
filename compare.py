"""Which one to ship: TF-IDF, DistilBERT, BERT and a distilled student on one table, with a verdict.

python compare.py --train reviews.xlsx --text-column Reviews --label-column Sentiment
python compare.py --task multilabel --train toxic.csv --text-column text --label-columns ALL --seeds 3
"""

import sys

from halfbert.cli import options
from halfbert.comparison import report as comparison_report
from halfbert.comparison.course import Comparison
from halfbert.system import console, storage


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit each contestant, time them, judge, report; `--help` lists the options, README.md what is written."""
    chosen = options.parse_compare(options.compare_parser(), argv)
    with Comparison(chosen, stop) as comparison:
        comparison.read()
        comparison.keep_to_time_limit()
        comparison.fit()
        speeds = comparison.measure_speed()
        suspected = comparison.suspect_labels()
        record = comparison.record(speeds, suspected)
        with storage.atomic_folder(chosen.output.resolve()) as folder:
            comparison_report.write(record, folder)
        console.say(comparison_report.closing(record, chosen.output))


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
