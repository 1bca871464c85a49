"""A pickle read as a description of what it would make: nothing is imported, called or constructed.

The opcodes, as `pickletools` takes them apart, act on a stack of plain values; an object is a record of what would be called
with which arguments, and the state that it would be given. Names outside a given list are refused when they first occur.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES, MOST_OPCODES, DEEPEST = 2**24, 2**20, 2**14  # DEEPEST: entries of the stack


class Refused(ValueError):
    """The pickle names what nothing of its kind needs; the message is that name."""


@dataclass(frozen=True)
class Name:
    """A class or function that unpickling would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that unpickling would make, by calling `of` with `arguments`, and what it would be filled with."""

    of: Any
    arguments: Any
    state: Any = None
    items: list[Any] = field(default_factory=list)


class _Mark:
    pass


MARK = _Mark()
# Opcodes that push their argument as pickletools reads it.
NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
VALUES = frozenset((*NUMBERS, *TEXTS, "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"))
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
GETS, PUTS = frozenset(("GET", "BINGET", "LONG_BINGET")), frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
LITTLE = frozenset(("PROTO", "FRAME"))  # of no effect here
KEYS = (str, bytes, int, float, type(None))


def read(content: bytes, allowed: Callable[[Name], bool]) -> Any:
    """What the pickle would make: plain values, lists (for tuples and sets as well), dicts, `Name` and `Made`.

    Raises Refused for a name that is not `allowed`, and ValueError for a pickle that is damaged, too large, too deep, or uses
    what pickles of objects do not need: persistent and extension codes, buffers, classes of Python 1.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"of {len(content):,} bytes; at most {MOST_BYTES:,} are read")
    machine, count = _Machine(allowed), 0
    try:
        for opcode, argument, _ in pickletools.genops(content):
            count += 1
            if count > MOST_OPCODES:
                raise ValueError(f"of more than {MOST_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                return machine.result()
            machine.run(opcode.name, argument)
    except (IndexError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"damaged ({type(error).__name__} at opcode {count:,})") from error
    raise ValueError("without an end")


class _Machine:
    """The stack and the memo of a pickle machine whose objects are descriptions."""

    def __init__(self, allowed: Callable[[Name], bool]):
        self.allowed = allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1 or self.stack[0] is MARK:
            raise ValueError("damaged (it does not end in one object)")
        return self.stack[0]

    def run(self, opcode: str, argument: Any) -> None:
        """Act as one opcode does."""
        if opcode in VALUES:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in GETS:
            self.stack.append(self.memo[int(argument)])
        elif opcode in PUTS:
            self.memo[int(argument)] = self._top()
        elif opcode not in LITTLE:
            act = getattr(self, f"_{opcode.lower()}", None)
            if act is None:
                raise Refused(f"the opcode {opcode}" + (f" of {argument}" if isinstance(argument, str) else ""))
            act(argument)
        if len(self.stack) > DEEPEST:
            raise ValueError(f"of more than {DEEPEST:,} entries at a time")

    def _top(self) -> Any:
        if self.stack[-1] is MARK:
            raise ValueError("damaged (a mark is no value)")
        return self.stack[-1]

    def _take(self) -> Any:
        self._top()
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while self.stack[-1] is not MARK:
            items.append(self.stack.pop())
        self.stack.pop()
        return items[::-1]

    def _name(self, name: Name) -> None:
        if not self.allowed(name):
            raise Refused(str(name))
        self.stack.append(name)

    def _mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self._top())

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self._top()

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    _empty_tuple = _empty_set = _empty_list

    def _list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    _tuple = _frozenset = _list

    def _tuple1(self, _: Any) -> None:
        self.stack.append([self._take()])

    def _tuple2(self, _: Any) -> None:
        self.stack.append([self._take(), self._take()][::-1])

    def _tuple3(self, _: Any) -> None:
        self.stack.append([self._take(), self._take(), self._take()][::-1])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _dict(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._fill(items)

    def _setitem(self, _: Any) -> None:
        value, key = self._take(), self._take()
        self._fill([key, value])

    def _setitems(self, _: Any) -> None:
        self._fill(self._since_mark())

    def _fill(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Made):
            target.items += items
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, KEYS):
                raise ValueError("with a key that is neither text nor number")
            if not isinstance(target, dict):
                raise ValueError("damaged (entries of what is no dict)")
            target[key] = value

    def _append(self, _: Any) -> None:
        self._extend([self._take()])

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    _additems = _appends

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list | Made):
            raise ValueError("damaged (items of what is no list)")
        (target.items if isinstance(target, Made) else target).extend(items)

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(Name(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._take(), self._take()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("damaged (a name that is no text)")
        self._name(Name(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._take(), self._take()
        if not isinstance(function, Name):
            raise Refused("a call of what is no name")
        self.stack.append(Made(function, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self._take()  # arguments by keyword
        self._reduce(None)

    def _build(self, _: Any) -> None:
        state, target = self._take(), self._top()
        if not isinstance(target, Made):
            raise ValueError("damaged (a state of what is no object)")
        target.state = state
