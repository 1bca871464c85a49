"""Teach a smaller model what a trained one knows, on labelled and unlabelled texts: a predictor in, a faster one out.

python distill.py --teacher predictors/bert-messages
python distill.py --teacher predictors/bert-reviews --train reviews.xlsx --unlabelled more_reviews.csv --output predictors/small
"""

import sys

from halfbert.cli import options
from halfbert.distillation import course
from halfbert.system import console


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Teach a student as the arguments say."""
    course.distill(options.parse_distillation(options.distill_parser(), argv), stop)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))
