"""`python -m halfbert VERB …`."""

import sys

from halfbert.cli import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:]))
