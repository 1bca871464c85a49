"""Command-line parsers, generated from the dataclasses of options."""

import argparse
from collections.abc import Sequence
from typing import NoReturn, TypeVar

from halfbert.options.declaring import GROUPS, Options, declared
from halfbert.system.errors import InputError

Kind = TypeVar("Kind", bound=Options)


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line and exit code 2, like every other mistake of the user's.

    Options are written out: an abbreviation would become ambiguous, or mean another option, once there are more of them.
    """

    def __init__(self, prog: str, **keywords: str | None):
        super().__init__(prog, allow_abbrev=False, argument_default=argparse.SUPPRESS, **keywords)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (all options: {self.prog} --help)")


def parser_of(kind: type[Options], prog: str, description: str = "", epilog: str | None = None) -> Parser:
    """The parser of a job's options. It takes words apart and no more: the dataclass reads and checks the values."""
    parser = Parser(prog, description=description, epilog=epilog)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in declared(kind):
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group, GROUPS[option.group])
        add, explained = groups[option.group].add_argument, option.help_text.replace("%", "%%")
        if option.positional:
            add(option.name, nargs="*", metavar=option.metavar, help=explained)
        elif option.is_switch:
            add(option.flag, action="store_true", default=argparse.SUPPRESS, help=explained)
        else:
            add(option.flag, metavar=option.value_name, required=option.required, help=explained)
    return parser


def parse(parser: Parser, kind: type[Kind], argv: Sequence[str]) -> Kind:
    """The options that the words of a command line give. Raises InputError, in one line, for a mistake."""
    given = vars(parser.parse_args(argv))
    try:
        return kind(**given)
    except InputError as error:
        parser.error(str(error))
