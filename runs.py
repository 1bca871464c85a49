"""All finished runs, the best of each table first.

python runs.py
python runs.py results/published
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("runs")
