"""Search for the settings of a training run: Optuna on validation rows, the winner tested once beside the default settings.

python tune.py --train reviews.xlsx --text-column Reviews --label-column Sentiment --minutes 60
python tune.py --task multilabel --train toxic.csv --text-column text --checkpoints distilbert=mini,bert=mini
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("tune")
