"""What a server says and asks while it carries out a call: passed on to the client that waits for that call, and to no other.

Theory of operation. The streams of a connection are looked at as they pass. A request of ours carries what its own client can be
asked, and the token of its progress; a notification is heard in the order in which it came, before the answer that follows it.
What names its call goes to that one. What the older revisions leave unnamed (messages, questions) is of the call in the answer
to which it comes, where that has a stream of its own (over HTTP). Else it is of the one call that is under way; beside another
one it is nobody's, because it might be of either.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, Self, get_args

from assent.errors import Json
from assent.invocation import LocalContext, RequestNote
from assent.invocation.context.companion import Questions
from assent.invocation.context.local import life_of
from assent.plugins.upstream._tools import NAME_MAX, is_seen, marks_of, read_as, texts_in, written_out
from assent.spec.ids import MARKS
from assent.spec.values.canonical import fingerprint

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, TransportStreams, WriteStream
    from mcp.shared.message import SessionMessage

ASKS_MAX: Final = 20
"""Questions of one call; further ones are refused."""

SAID_BYTES_MAX: Final = 64 << 10
"""One notification or question, as JSON; a larger one is left out or refused."""

TOLD_PER_S_MAX: Final = 100
"""Notifications of one call in a second that are passed on."""

SERVER: Final = "assent/server"
"""The key in `_meta` that says which server asks."""

KEY: Final = "assent/key"
"""The key in `_meta` that names a call to the server, however often it is asked."""

TASKS: Final = "io.modelcontextprotocol/tasks"
"""The extension by which a server answers a call with a task."""

ASKS_SECRET: Final = "MCP_ASKS_SECRET"  # noqa: S105  # the name of a mark
"""The mark of a question for what may be a secret."""

_CAPABILITY_OF: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_SECRET: Final = re.compile(
    r"(?i)\b(pass ?(word|phrase|code|wd)|pwd|pin( code)?|(api|private|ssh|signing) ?key|secret|credential|token|otp|cv[vc]|ssn"
    r"|(one ?time|verification|security|recovery|backup|2fa|mfa) ?(pass)?code|(seed|recovery) ?phrase|card ?number"
    r"|passwort|kennwort|wachtwoord|mot de passe|contrase\u00f1a|senha|has\u0142o|l\u00f6senord)s?\b"
    r"|\u043f\u0430\u0440\u043e\u043b|\u5bc6[\u7801\u78bc]|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638"
)
_BETWEEN: Final = re.compile(r"[_-]|(?<=[a-z0-9])(?=[A-Z])")
"""Where the name of a field has words apart."""
_OWN: Final = "assent"
"""The logger of what Assent itself tells a client."""

UPDATED: Final = "notifications/resources/updated"
LISTS: Final[Mapping[str, str]] = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}
"""What tells of other lists, and of which."""

CHANGES: Final = frozenset({UPDATED, *LISTS})
_PROGRESS: Final = "notifications/progress"
_MESSAGE: Final = "notifications/message"
_SPEAKS: Final[ContextVar[Talk | None]] = ContextVar("speaks", default=None)
"""The call whose request is being written, or in whose answer something has come."""


class Talk:
    """One call, as its server talks in it. `context`: the call's."""

    def __init__(self, server: str, context: LocalContext) -> None:
        self._server = server
        self._context = context
        self._life = life_of(context)
        self._asks = 0
        self._told = 0
        self._since_s = 0.0
        self.companion: Final = self._life.companion

    @property
    def can(self) -> dict[str, Json]:
        """What this call's client can be asked, and whether it knows tasks; where there is none, we wait for one ourselves."""
        can: Mapping[str, Any] = {"extensions": {TASKS: {}}} if self.companion is None else self.companion.can
        said = {name: can[name] for name in _CAPABILITY_OF.values() if name in can}
        return {**said, "extensions": {TASKS: {}}} if TASKS in can.get("extensions", {}) else said

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Inside, requests are this call's."""
        token = _SPEAKS.set(self)
        try:
            yield
        finally:
            _SPEAKS.reset(token)

    def hear(self, method: str, params: Mapping[str, Any], now_s: float) -> None:  # `Any`: JSON
        """Pass a notification on, as far as the client wants it."""
        companion = self.companion
        if companion is None or self._life.is_over:
            return
        if now_s - self._since_s >= 1:
            self._since_s, self._told = now_s, 0
        self._told += 1
        if (
            str(params.get("logger", "")).strip().lower() == _OWN
        ):  # who says what of ours has happened is not the server
            params = {**params, "logger": f"mcp.{self._server}"}
        wants = companion.wants_progress if method == _PROGRESS else _reaches(params, companion.log_level)
        if wants and self._told <= TOLD_PER_S_MAX and _size(params) <= SAID_BYTES_MAX:
            companion.tell(method, self._context.redact(dict(params)))

    async def ask(self, questions: Questions) -> dict[str, dict[str, Any]]:  # `Any`: JSON
        """What the client answers, by the names of the questions. `MCPError`: it answered with one, or the protocol's own refusal
        where nobody can answer.

        Each answer is on record before the server has it: a value that somebody gives is an input to what the server does.
        """
        from mcp import MCPError

        asked: dict[str, tuple[str, dict[str, Any]]] = {}
        given: dict[str, dict[str, Any]] = {}
        for name, (method, params) in questions.items():
            self._asks += 1
            if self._asks <= ASKS_MAX and len(name) <= NAME_MAX and self._can_be_asked(method, params):
                asked[name] = (method, self._shown(method, params))
            else:
                given[name] = refusal(method)
        if not asked:
            return given
        assert self.companion is not None, "somebody can be asked"
        answers = await self.companion.ask(asked)
        for name, (method, shown) in asked.items():
            if answers is None or self._life.is_over:
                given[name] = refusal(method)
                continue
            await self._note(method, shown, answers[name])
            error: Any = answers[name].get("error")
            if error is not None:
                raise MCPError(int(error["code"]), str(error["message"]), error.get("data"))
            result: Any = answers[name]["result"]
            given[name] = dict(result)
        return given

    def _shown(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:  # `Any`: as above
        """A question as the client has it: without secrets that the server was given, marked, and with who asks.

        A person reads the message, perhaps in a terminal, and revision 2026-07-28 has no room for marks beside it.
        """
        shown: dict[str, Any] = self._context.redact(dict(params))
        # What else a model has seen is not for this server.
        shown.pop("includeContext", None)
        said = shown.pop("_meta", None)
        meta = (
            {key: one for key, one in said.items() if key != "progressToken"}
            if isinstance(said, dict)
            else {}
        )
        marks = marks_of(shown, ())
        if method == "elicitation/create":
            if (found := _secret_in(shown)) is not None:
                told = f"it asks for what may be a secret: `{found}`"
                marks.append({"code": ASKS_SECRET, "path": "", "message": told})
            shown["message"] = written_out(str(shown.get("message", "")))
        return {**shown, "_meta": {**meta, SERVER: self._server, **({MARKS: marks} if marks else {})}}

    def _can_be_asked(self, method: str, params: Mapping[str, Any]) -> bool:  # `Any`: as above
        can: Any = self.can.get(_CAPABILITY_OF.get(method, ""))
        if can is None or self._life.is_over or _size(params) > SAID_BYTES_MAX:
            return False
        if method == "elicitation/create":
            # What a person can't see, they can't agree to; only the message can say so.
            form = {key: one for key, one in params.items() if key not in ("message", "_meta")}
            return is_seen(form) and (params.get("mode") != "url" or "url" in can)
        return "tools" in can or not params.get("tools")

    async def _note(self, method: str, asked: Mapping[str, Json], answer: Mapping[str, Json]) -> None:
        life = self._life
        if life.journal is None:
            return
        life.requests += 1
        result: Any = answer.get("result")  # `Any`: JSON
        said = {
            "server": self._server,
            "asked": asked,
            "answered_by": f"the client of {self._context.principal}",
            "answer": fingerprint(dict(answer)),
            **({"action": result["action"]} if isinstance(result, dict) and "action" in result else {}),
        }
        await life.journal((RequestNote(self._context.ids, life.requests, method, said),))


def refusal(method: str) -> dict[str, Any]:  # `Any`: JSON
    """The protocol's own, of a client that can't be asked this; `MCPError` where that is an error."""
    from mcp import MCPError
    from mcp_types import METHOD_NOT_FOUND

    if method == "elicitation/create":
        return {"action": "decline"}
    raise MCPError(METHOD_NOT_FOUND, "nobody can answer this in this call", method)


def _secret_in(question: Mapping[str, Any]) -> str | None:  # `Any`: JSON
    """What a question says that may be a secret, in words or as the name of a field."""
    for text in texts_in(dict(question)):
        # As it is written for other scripts, and by what its letters look like.
        for told in dict.fromkeys((text, read_as(text))):
            found = _SECRET.search(_BETWEEN.sub(" ", told))
            if found is not None:
                return found[0]
    return None


def _size(params: Mapping[str, Any]) -> int:  # `Any`: JSON
    return len(json.dumps(params))


def _reaches(params: Mapping[str, Any], least: str | None) -> bool:  # `Any`: as above
    from mcp_types import LoggingLevel

    names = get_args(LoggingLevel)
    level = params.get("level")
    return least in names and level in names and names.index(level) >= names.index(least)


class Wire:
    """The streams of one connection, looked at. `changed` hears what a server tells of changes, by the protocol's notification,
    and `ended` that nothing comes any more.
    """

    def __init__(
        self, *, changed: Callable[[str, Mapping[str, Any]], None], ended: Callable[[], None]
    ) -> None:
        self._changed = changed
        self._ended = ended
        self._talks: dict[int | str, Talk] = {}
        self._unanswered: dict[int | str, str] = {}
        self.tasks: set[str] = set()
        """Calls that the server has made a task of, as long as it has not told that this has ended."""

    @property
    def here(self) -> Talk | None:
        """The call in whose answer something came; else the one that is under way, None where there is none, or another one."""
        return _SPEAKS.get() or self._only

    @property
    def _only(self) -> Talk | None:
        talks = set(self._talks.values())
        return talks.pop() if len(talks) == 1 else None

    def is_unanswered(self, key: str) -> bool:
        """Whether the server has read a request of this call, and said nothing to it: it may be at work on it, whoever waits."""
        return key in self.tasks or key in self._unanswered.values()

    def forget(self, talk: Talk) -> None:
        """The call has ended, or waits no longer."""
        self._talks = {ident: one for ident, one in self._talks.items() if one is not talk}

    @asynccontextmanager
    async def over(
        self, streams: AbstractAsyncContextManager[TransportStreams]
    ) -> AsyncIterator[TransportStreams]:
        """The streams, as long as the block lasts."""
        import anyio

        async with streams as (source, sink):
            try:
                yield _Incoming(source, self.takes, self._ended), _Outgoing(sink, self.mark)
            finally:  # a client that never came to be has closed neither
                with anyio.CancelScope(shield=True):
                    await source.aclose()
                    await sink.aclose()

    def takes(self, message: object, now_s: float, came_in: Context | None = None) -> bool:
        """Whether a message is a call's own news, which it has been told. `came_in`: the context of whoever read it."""
        method, params = getattr(message, "method", None), getattr(message, "params", None) or {}
        if method == _PROGRESS:
            token = params.get("progressToken")
            talk = self._talks.get(token) if isinstance(token, int | str) else None
        elif method == _MESSAGE:
            talk = (None if came_in is None else came_in.get(_SPEAKS)) or self._only
        else:
            if method in CHANGES:
                self._changed(method, params)
            if method is None:
                self._is_answered(getattr(message, "id", ""), getattr(message, "result", None))
            return False
        if talk is not None:
            talk.hear(method, params, now_s)
        return True

    def _is_answered(self, number: int | str, result: object) -> None:
        self._unanswered.pop(number, None)
        # What comes after an answer is of nobody any more; a task goes on telling under the number of the call that it came of.
        if not (isinstance(result, dict) and result.get("resultType") == "task"):
            self._talks.pop(number, None)

    def mark(self, message: object) -> None:
        """Have a request say what the client of its own call can be asked and wants to hear."""
        from mcp_types import CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY

        number, params, talk = (
            getattr(message, "id", None),
            getattr(message, "params", None),
            _SPEAKS.get(),
        )
        if number is None or not isinstance(params, dict):
            return
        meta = params.get("_meta") or {}
        is_stateless = CLIENT_CAPABILITIES_META_KEY in meta
        if is_stateless:
            meta[CLIENT_CAPABILITIES_META_KEY] = {} if talk is None else talk.can
        if (key := meta.get(KEY)) is not None:
            self._unanswered[number] = key
        if talk is None:
            return
        self._talks[number] = talk
        companion = talk.companion
        if companion is not None and companion.wants_progress:
            params["_meta"] = meta
            meta["progressToken"] = number
        if companion is not None and companion.log_level is not None and is_stateless:
            meta[LOG_LEVEL_META_KEY] = companion.log_level


class _Incoming:
    """What comes, without what was passed on."""

    def __init__(
        self,
        source: ReadStream[SessionMessage | Exception],
        takes: Callable[[object, float, Context | None], bool],
        ended: Callable[[], None],
    ) -> None:
        self._source = source
        self._takes = takes
        self._ended = ended
        self._clock = asyncio.get_running_loop().time

    @property
    def last_context(self) -> Context | None:
        """The context of whoever read what came last, where the transport tells that: what it asks is answered in it."""
        return getattr(self._source, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        while self._is_taken(item := await self._source.receive()):
            pass
        return item

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            while self._is_taken(item := await self._source.__anext__()):
                pass
        except StopAsyncIteration:
            self._ended()
            raise
        return item

    def _is_taken(self, item: SessionMessage | Exception) -> bool:
        return not isinstance(item, Exception) and self._takes(item.message, self._clock(), self.last_context)

    def __aiter__(self) -> _Incoming:
        return self

    async def aclose(self) -> None:
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Outgoing:
    """What goes, with what its call's client can do."""

    def __init__(self, sink: WriteStream[SessionMessage], mark: Callable[[object], None]) -> None:
        self._sink = sink
        self._mark = mark

    async def send(self, item: SessionMessage, /) -> None:
        self._mark(item.message)
        await self._sink.send(item)

    async def aclose(self) -> None:
        await self._sink.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
