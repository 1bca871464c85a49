"""Write a predictor as other runtimes read it: browsers, LiteRT, Hugging Face's libraries.

python export.py predictors/distilbert-messages --to huggingface --output hf
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("export")
