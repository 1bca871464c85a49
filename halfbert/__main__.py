"""`python -m halfbert VERB …`, which is the command `halfbert VERB …`; the scripts at the root are its verbs."""

import sys
from typing import NoReturn

from halfbert.cli import command


def main(script: str | None = None) -> NoReturn:
    """Run the command with the arguments of this process, or the verb that a script is named after, and exit."""
    if script:
        sys.exit(command.main([script, *sys.argv[1:]], prog=f"{script.replace('-', '_')}.py"))
    sys.argv[0] = "halfbert"  # records say what was called
    sys.exit(command.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
