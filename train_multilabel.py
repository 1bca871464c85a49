"""Fine-tune BERT or DistilBERT on a table of texts with any number of labels each: table in, ktrain predictor out.

python train_multilabel.py --model distilbert
python train_multilabel.py --model bert --train comments.csv --text-column text --label-columns toxic,obscene,threat
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("train-multilabel")
