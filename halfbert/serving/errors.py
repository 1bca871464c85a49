"""What a client is told when there is no answer: a status, a word for programs, and a line for people."""

from dataclasses import dataclass, field

GONE = 499


@dataclass
class Refusal(Exception):
    """Ends a request. `headers` are added to the answer's."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, dict[str, str]]:
        """The answer's JSON."""
        return {"error": {"code": self.code, "message": self.message}}


def busy(seconds: int) -> Refusal:
    """Too much waits: come again in so many seconds."""
    return Refusal(429, "busy", f"too many texts wait; try again in {seconds} s", {"Retry-After": str(seconds)})


def too_late(seconds: float) -> Refusal:
    """Time ran out before the answer was there."""
    return Refusal(503, "timeout", f"no answer within {seconds:g} s; send fewer texts, or try again", {"Retry-After": "1"})


def gone() -> Refusal:
    """The client hung up; nobody gets this, but the log and the metrics have its status, which is nginx'."""
    return Refusal(GONE, "gone", "the client hung up")


def failed() -> Refusal:
    """A mistake in this program."""
    return Refusal(500, "internal", "the server failed; its log says where")


def closing() -> Refusal:
    """The server is ending."""
    return Refusal(503, "closing", "the server is ending", {"Retry-After": "1"})
