"""`python -m halfbert VERB …`, which is the command `halfbert VERB …`."""

import sys

from halfbert.cli import command


def main() -> int:
    """Run the command with the arguments of this process and return the exit code."""
    sys.argv[0] = "halfbert"  # records say what was called
    return command.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
