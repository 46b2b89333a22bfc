"""The words between Assent and a plugin's worker, and their form on the pipe: a length of four bytes, then MessagePack.

Nothing is believed because of where it came from. A frame that is too long, is no message, or comes where none may come ends the
conversation (`BrokenFrameError`), on either side: there is no repairing a channel whose other end may be hostile.

What is JSON (inputs, outputs, what a call remembers) travels as JSON text inside of the messages, so that it means exactly what
it means in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from assent.spec.values.crowds import has_more_values
from assent.spec.values.typed import decoder, unpacker

PROTOCOL: Final = 3
"""The version of this conversation; both ends are of one installation, so another number is refused."""

FRAME_BYTES_MAX: Final = 66 << 20
"""The largest payload that a call may have (`[limits] payload_bytes`), and room for what stands around it."""

VALUES_MAX: Final = 2_000_000
"""Values in one JSON text, or in a question's arguments; counted before any is made: 60 MB of empty lists are 4 GB."""

CHUNK_BYTES_MAX: Final = 1 << 20
"""A piece of a file or blob."""

TEXT_MAX: Final = 16_384
"""Characters of one text that is told, not kept: a message, a line of a log."""

CALLS_MAX: Final = 100_000
"""Requests, questions and calls under way are numbered below this many at once."""

FORWARD_MAX: Final = 32
"""Sync parts of one plugin that run at once; more wait, which is none of their time."""

SETTLING_MAX: Final = 16
"""The same of those that take back, or ask about, what others began; hooks and callbacks have as many threads again."""

_HEAD: Final = 4

Number: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 53)]
Told: TypeAlias = Annotated[str, Meta(max_length=TEXT_MAX)]
Name: TypeAlias = Annotated[str, Meta(max_length=512)]

RequestKind: TypeAlias = Literal["part", "hook", "callback", "health"]
ErrorKind: TypeAlias = Literal[
    "error", "input", "refused", "world", "internal", "no_effect", "foreign", "cancelled"
]


class BrokenFrameError(Exception):
    """What came over the pipe is not the protocol."""


class WireError(Struct, array_like=True, frozen=True):
    """An exception on its way: one of Assent's families, or (`foreign`) somebody else's, by the name of its class."""

    kind: ErrorKind
    code: Name = ""
    message: Told = ""
    path: Annotated[str, Meta(max_length=4096)] | None = None
    hint: Told | None = None
    details: bytes = b""
    name: Name = ""
    trace: Told = ""


class Kept(Struct, array_like=True, frozen=True):
    """What a call remembers, as JSON: `meta`, `flags`, and of its state `[name, type, value]` for what JSON can say."""

    meta: bytes = b""
    flags: Annotated[list[Name], Meta(max_length=10_000)] = []
    state: bytes = b""


class Hello(Struct, tag="hello", array_like=True, frozen=True):
    """The first word."""

    protocol: Number
    log_level: Number


class File(Struct, tag="file", array_like=True, frozen=True):
    """One checked file of the plugin, with the place that tracebacks name."""

    name: str
    place: str
    data: bytes


class Load(Struct, tag="load", array_like=True, frozen=True):
    """All files are there: import this module of them."""

    plugin: str
    module: str
    native: bool


class About(Struct, array_like=True, frozen=True, kw_only=True):
    """The call that a request belongs to, as it stands."""

    run: str
    step: str
    attempt: int
    principal: str
    roles: list[str]
    key: str
    keep_pre_image: bool
    request_id: str
    capability: str
    version: str
    phase: str
    started_ms: int | None
    deadline_ms: int | None
    prepared: bytes
    output: bytes
    kept: Kept
    hooks: bytes
    is_simulated: bool
    pre_image_bytes_max: int


class Begin(Struct, tag="begin", array_like=True, frozen=True):
    """Perform something: the part `name` of a capability, its hook `name`, the callback numbered so, or the health check.

    `inputs` are the call's; `seen` is what a hook sees besides (`output`), `error` what it or a callback is told of.
    """

    n: Number
    call: Number
    kind: RequestKind
    capability: str = ""
    name: str = ""
    inputs: bytes = b""
    seen: bytes = b""
    error: WireError | None = None
    about: About | None = None


class Stop(Struct, tag="stop", array_like=True, frozen=True):
    """Ask what was begun to end. `hard`: its time is up and nobody wants its result; else only its token is set."""

    n: Number
    hard: bool


class Answer(Struct, tag="answer", array_like=True, frozen=True):
    """The answer to a question: a value or an error."""

    r: Number
    value: Any = None  # `Any`: as each question has it
    error: WireError | None = None


class Turned(Struct, tag="turned", array_like=True, frozen=True):
    """A call went from one phase into another, and the worker asked to be told."""

    call: Number
    number: Number
    before: str
    after: str


class End(Struct, tag="end", array_like=True, frozen=True):
    """A call is over: what the worker remembers of it may go."""

    call: Number


ToWorker: TypeAlias = Hello | File | Load | Begin | Stop | Answer | Turned | End


class Ready(Struct, tag="ready", array_like=True, frozen=True):
    """The answer to the first word."""

    protocol: Number


class DescribedHook(Struct, array_like=True, frozen=True):
    """A hook of a capability."""

    id: Name
    kind: Name
    timeout_s: float
    retries: Number
    backoff_s: float


PartNames: TypeAlias = Annotated[
    list[Literal["execute", "prepare", "compensate", "reconcile", "preview", "leads_to"]], Meta(max_length=6)
]


class DescribedCapability(Struct, array_like=True, frozen=True):
    """A capability that the plugin registers: its spec as JSON, its parts, `leads_to` among them, and what else a handler says.

    `threaded` are the parts that take a thread of the worker's.
    """

    spec: Annotated[bytes, Meta(max_length=4 << 20)]
    parts: PartNames
    threaded: PartNames
    fingerprint: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    revision: Name | None
    rehearsable: bool
    hooks: Annotated[list[DescribedHook], Meta(max_length=1000)]


class Loaded(Struct, tag="loaded", array_like=True, frozen=True):
    """The plugin is imported, and this is what it brings."""

    capabilities: Annotated[list[DescribedCapability], Meta(max_length=10_000)]
    has_health: bool


class Refused(Struct, tag="refused", array_like=True, frozen=True):
    """The plugin can't be imported."""

    error: WireError


class Done(Struct, tag="done", array_like=True, frozen=True):
    """What was begun has ended with a value. `unfit`: it is a value that does not fit its type, and this says how."""

    n: Number
    value: bytes = b""
    unfit: WireError | None = None
    kept: Kept | None = None


class Failed(Struct, tag="failed", array_like=True, frozen=True):
    """What was begun has ended with an exception."""

    n: Number
    error: WireError
    kept: Kept | None = None


class Ask(Struct, tag="ask", array_like=True, frozen=True):
    """A question of a call that is under way."""

    r: Number
    call: Number
    op: Name
    args: msgspec.Raw
    """A list; each question has its own, see `_questions.py`."""

    @classmethod
    def of(cls, r: int, call: int, op: str, args: list[Any]) -> Ask:
        """The question with these arguments."""
        return cls(r, call, op, msgspec.Raw(_encode(args)))

    def arguments(self) -> list[Any]:
        """The arguments; `BrokenFrameError` for more values than any question has."""
        data = bytes(self.args)
        if len(data) > VALUES_MAX:  # each value takes a byte at least
            _require_countable(data)
        return _decoded(_list, data)  # type: ignore[no-any-return]  # as the decoder says


class Progress(Struct, tag="progress", array_like=True, frozen=True):
    """How far a part is."""

    call: Number
    done: float
    total: float | None
    message: Told


class Log(Struct, tag="log", array_like=True, frozen=True):
    """A line for the log of a call."""

    call: Number
    level: Annotated[int, Meta(ge=0, le=100)]
    message: Told
    trace: Told = ""


FromWorker: TypeAlias = Ready | Loaded | Refused | Done | Failed | Ask | Progress | Log


_encode: Final = msgspec.msgpack.Encoder().encode
_to_worker: Final = unpacker(ToWorker).decode
_from_worker: Final = unpacker(FromWorker).decode

_list: Final = unpacker(list[Any]).decode


def _text(value: object) -> str:
    """A reference to a secret is text of a class of its own; where JSON goes, its field says again what it is."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"a value of type `{type(value).__name__}` is not JSON")


_json_encode: Final = msgspec.json.Encoder(enc_hook=_text).encode
_json_decode: Final = decoder().decode


def framed(message: ToWorker | FromWorker) -> bytes:
    """A message as it goes over the pipe; `BrokenFrameError` when it is larger than any may be."""
    body = _encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise BrokenFrameError(
            f"a message of {len(body)} bytes is larger than the {FRAME_BYTES_MAX} that one may have"
        )
    return len(body).to_bytes(_HEAD, "big") + body


def to_worker(body: bytes) -> ToWorker:
    """The message that stands in a frame from Assent."""
    return _decoded(_to_worker, body)  # type: ignore[no-any-return]  # one decoder for each direction


def from_worker(body: bytes) -> FromWorker:
    """The message that stands in a frame from a worker."""
    return _decoded(_from_worker, body)  # type: ignore[no-any-return]  # as above


def _decoded(decode: Any, body: bytes) -> Any:  # `Any`: either decoder
    try:
        return decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise BrokenFrameError(f"a frame holds no message: {str(error)[:200]}") from None


class Frames:
    """Cuts what comes over a pipe into frames. It never holds more than one frame and what one read gave beyond it."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with these bytes; `BrokenFrameError` for a length that no frame has."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEAD:
                length = int.from_bytes(buffer[at : at + _HEAD], "big")
                if not 0 < length <= FRAME_BYTES_MAX:
                    raise BrokenFrameError(f"a frame of {length} bytes is none")
                end = at + _HEAD + length
                if len(buffer) < end:
                    break
                body = bytes(buffer[at + _HEAD : end])
                at = end
                yield body
        finally:
            del buffer[:at]

    @property
    def is_half(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)


def pack_json(value: object) -> bytes:
    """JSON text; TypeError, ValueError for what is none."""
    return _json_encode(value)


def unpack_json(data: bytes, *, most: int | None = VALUES_MAX) -> Any:  # `Any`: JSON
    """What `pack_json` wrote; None for no text at all. `BrokenFrameError` for what is no JSON, or has more than `most` values."""
    if not data:
        return None
    if most is not None and has_more_values(data, most):
        raise BrokenFrameError(f"a message holds JSON of more than {most} values")
    try:
        return _json_decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise BrokenFrameError(f"a message holds no JSON where it should: {str(error)[:200]}") from None


# Of MessagePack's types from 0xc0 on: how many bytes follow the first, how many of them say a length, and how often that many
# values (a list's once, a map's twice) or bytes (0) follow.
_SHAPES: Final[Mapping[int, tuple[int, int, int]]] = {
    **{first: (length, length, 0) for first, length in zip(range(0xC4, 0xC7), (1, 2, 4), strict=True)},
    **{first: (length + 1, length, 0) for first, length in zip(range(0xC7, 0xCA), (1, 2, 4), strict=True)},
    **{
        first: (size, 0, 0)
        for first, size in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True)
    },
    **{first: (size, 0, 0) for first, size in zip(range(0xD4, 0xD9), (2, 3, 5, 9, 17), strict=True)},
    **{first: (length, length, 0) for first, length in zip(range(0xD9, 0xDC), (1, 2, 4), strict=True)},
    **{first: (length, length, 1) for first, length in zip(range(0xDC, 0xDE), (2, 4), strict=True)},
    **{first: (length, length, 2) for first, length in zip(range(0xDE, 0xE0), (2, 4), strict=True)},
}


def _require_countable(data: bytes) -> None:
    """`BrokenFrameError` for MessagePack of more than `VALUES_MAX` values; whether it is any at all is for others to say."""
    at, left, count = 0, 1, 0
    while left and at < len(data):
        first = data[at]
        at, left, count = at + 1, left - 1, count + 1
        if first >= 0xC0:
            follows, length, times = _SHAPES.get(first, (0, 0, 0))
            size = int.from_bytes(data[at : at + length], "big")
            at, left = at + follows + (0 if times else size), left + times * size
        elif first >= 0xA0:
            at += first & 0x1F
        elif first >= 0x80:
            left += (first & 0x0F) * (1 if first >= 0x90 else 2)
        if count > VALUES_MAX:
            raise BrokenFrameError(f"a question has more than {VALUES_MAX} values")
