"""Convert a predictor that ktrain saved, without unpickling it.

python convert.py old/predictor --output predictors/new
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("convert")
