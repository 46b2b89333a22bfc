"""An MCP server of somebody else: what the operator wrote of it, and the lock that says which of its tools are trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from assent.plugins._lock_file import load_document, save_document
from assent.plugins.upstream._frames import Bounds
from assent.spec.secret_text import SecretText
from assent.spec.values.canonical import fingerprint

if TYPE_CHECKING:
    from assent.errors import Json
else:
    Json = Any  # msgspec has no recursive types

LOCK_VERSION: Final = 1
OFFERS: Final = frozenset({"completions", "prompts", "resources"})
"""What goes through of what a server has beside tools, as the protocol calls it."""

VALUE_BYTES: Final = 20
"""So many bytes of a message are one value, or more of them hold one; fewer are a bomb."""

_WHAT: Final = "lock of MCP servers"
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Still(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tool tells whether what a call left is as it left it. `arguments` may refer to `inputs`, `output` and `key`.

    `holds` is an expression over `result` and these.
    """

    tool: str
    holds: str
    arguments: dict[str, Json] = {}


class TakeBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tool of the same server takes a call back. `arguments` may refer to `inputs`, `output` and `key`.

    `restores`: the earlier state is there again exactly, and not only offset. `only_if`: what has to hold before, so that nobody
    else's change is undone with it.
    """

    tool: str
    arguments: dict[str, Json] = {}
    restores: bool = False
    only_if: Still | UnsetType = (
        UNSET  # absent where nothing is said, as in what was recorded before there was one
    )


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tool tells whether a call happened, when a crash left that open. `arguments` may refer to `inputs` and `key`.

    `happened` is an expression over `result`, `inputs` and `key`; `output` is what the call gave then, which may refer to these.
    """

    tool: str
    happened: str
    arguments: dict[str, Json] = {}
    output: Json = None


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's word on one tool, which alone may lower what is assumed of it."""

    reads_only: bool = False
    risk: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"] | None = None
    idempotent: bool = False
    open_world: bool = True
    fails_clean: bool = False
    """A call that it answers with an error has changed nothing."""
    labels: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    """Arguments in which only references to secrets may stand."""
    compensate: TakeBack | None = None
    reconcile: Ask | None = None


PLAIN: Final = ToolSettings()


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One server, as `[mcp.servers.NAME]` has it: a program (`command`) or an address (`url`), and what it is granted."""

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    network: bool = False
    read_only: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    private: tuple[str, ...] = ()
    timeout_ms: int = 60_000
    answer_bytes: int = 4 << 20
    tools: Mapping[str, ToolSettings] = {}

    @property
    def place(self) -> dict[str, Json]:
        """Where it is: who trusts its tools trusts them of this program or this address."""
        return {"url": self.url} if self.url is not None else {"command": [*self.command]}

    def program_in(self, workspace: Path) -> tuple[Path, ...]:
        """What of a workspace it runs: files that its command names, and folders that it reads around one of these.

        Not the whole workspace, which may be what it works on.
        """
        root = workspace.resolve()
        files = [
            path
            for word in self.command
            if (path := Path(word)).is_absolute() and path.is_file() and path.resolve().is_relative_to(root)
        ]
        around = {folder for file in files for folder in file.parents} - {workspace, *workspace.parents}
        return (*files, *around.intersection(self.read_only))

    def open_in(self, workspace: Path) -> tuple[Path, ...]:
        """What of a workspace its program can read, and nothing keeps from agents: what it works on, or what it runs.

        What it may change itself is not what it was trusted for.
        """
        root, kept = workspace.resolve(), {*self.program_in(workspace), *self.writes}

        def is_open(path: Path) -> bool:
            real = path.resolve()
            is_there = path.exists() and (real.is_relative_to(root) or root.is_relative_to(real))
            return is_there and not kept.intersection((path, *path.parents))

        return tuple(filter(is_open, dict.fromkeys(self.read_only)))

    @property
    def bounds(self) -> Bounds:
        """What a connection to it may send: a message's values are each looked at many times, which holds up everybody."""
        return Bounds(frame_bytes=self.answer_bytes, frame_values=self.answer_bytes // VALUE_BYTES)

    @property
    def host(self) -> str | None:
        """The host that its address names, to which alone its secrets are sent; None for a program."""
        return None if self.url is None else (urlsplit(self.url).hostname or "").rstrip(".")

    @property
    def granted(self) -> dict[str, SecretText]:
        """What it is given that may refer to secrets: variables of its environment, or headers."""
        given = self.env if self.url is None else self.headers
        return {name: SecretText.parse(text) for name, text in given.items()}

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that it is given, each once."""
        return tuple(dict.fromkeys(name for text in self.granted.values() for name in text.names))

    def said_of(self, tool: str) -> ToolSettings:
        """The operator's word on a tool."""
        return self.tools.get(tool, PLAIN)


class Pinned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody agreed to of one server: where it is, the definition of each tool, by its name, and what `offers` it has
    beside tools that may be read.
    """

    place: dict[str, Json]
    tools: dict[str, dict[str, Json]]
    digest: _Digest
    trusted_by: str
    offers: list[str] = []

    @classmethod
    def of(
        cls, server: Server, tools: dict[str, dict[str, Json]], by: str, offers: Sequence[str] = ()
    ) -> Self:
        """The entry of a server with these tools."""
        digest = digest_of(server, tools, offers)
        return cls(place=server.place, tools=tools, digest=digest, trusted_by=by, offers=[*offers])


def digest_of(server: Server, tools: Mapping[str, dict[str, Json]], offers: Sequence[str] = ()) -> str:
    """The fingerprint of all that is agreed to at once."""
    agreed: dict[str, Json] = {"place": server.place, "tools": {**tools}}
    return fingerprint({**agreed, "offers": [*offers]} if offers else agreed)


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lock_version: Annotated[int, Meta(ge=LOCK_VERSION, le=LOCK_VERSION)]
    servers: dict[str, Pinned]


def load_pins(path: Path) -> dict[str, Pinned]:
    """What is trusted, by server; nothing where there is no lock. PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS."""
    document = load_document(path, _Document, _WHAT)
    return {} if document is None else document.servers


def save_pins(path: Path, servers: dict[str, Pinned]) -> None:
    """Write the lock; durable when this returns. `WorldError` WORKSPACE_UNUSABLE."""
    save_document(path, _Document(lock_version=LOCK_VERSION, servers=servers), _WHAT)
