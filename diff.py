"""Why two runs differ: rows, labels, options, versions, scores, and the test rows that are answered otherwise.

python diff.py results/multiclass/distilbert-messages results/multiclass/bert-messages
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("diff")
