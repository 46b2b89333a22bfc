"""What an area of capabilities brings along: its section of `assent.toml`, what its calls share, and what `doctor` looks at.

An area is one folder: capabilities and their catalogue, error codes (`errors.toml`), and a module `area` that is what follows.
The roof names it in one line, and nobody else has to know that it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from assent.errors import Json
    from assent.invocation import GlobalContext, SecretGrant
    from assent.journal import Projection
    from assent.sandbox import Sandbox, SandboxLimits
    from assent.spec.documents.settings import Table
    from assent.spec.ports import Clock, Entropy
    from assent.spec.values.json_fields import Object


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Where a runtime stands, for an area that serves it. Nothing has been made or opened."""

    said: Mapping[str, Json]
    """The area's own section, checked; what nobody said is at its default."""
    workspace: Path
    state: Path
    homes: tuple[Path, ...]
    """The folders of the user's own configuration."""
    hidden: tuple[Path, ...]
    """What nobody may see."""
    read_only: tuple[Path, ...]
    """What nobody may change."""
    environ: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    sandbox: Callable[[], Sandbox]
    """The walls of this machine; the first one of a process takes some 100 ms."""
    program_limits: Callable[[], SandboxLimits]
    plan_expiry_ms: int
    grant_of: Callable[[str], SecretGrant | None]
    """Who may have a secret and where it may go; None for one that nothing is configured of."""


class Check(msgspec.Struct, frozen=True):
    """One thing that `assent doctor` looked at: `ok`, `warning` or `fault`, what was seen, and what to do."""

    name: str
    status: str
    seen: str
    hint: str | None = None


Words: TypeAlias = "Mapping[frozenset[str], Callable[[Object], str]]"
"""What is told of an output in a few words, by the fields that it has at least; the first that fits is told. Lines behind the
first are told where there is room for them, instead of the fields. None may fail: an output comes from anywhere."""


class Area(Protocol):
    """A module that is an area. It is imported at every start, so it imports what it is made of only when that is needed."""

    @property
    def SECTION(self) -> Table:  # noqa: N802  # a constant of a module
        """What the table of `assent.toml` with the area's name may hold."""

    @property
    def WORDS(self) -> Words:  # noqa: N802  # as above
        """What is told to people of the area's outputs."""

    @property
    def PROJECTION(self) -> Projection | None:  # noqa: N802  # as above
        """What it keeps at hand of the events, with its tables and their migrations; None for nothing."""

    def offer(self, app: GlobalContext, ground: Ground) -> None:
        """Say how to make what the area's calls share; each thing is made when a call first asks for it."""

    def checks(self, ground: Ground) -> Iterator[Check]:
        """What `assent doctor` says of the area."""


def check_authorities(file: Path) -> None:
    """Check a file of authorities as it will be read for the first request; ValueError with the rest of the sentence."""
    import ssl

    if file.exists() and not file.is_file():
        raise ValueError(f"names `{file}`, which is not a file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise ValueError(f"names `{file}`, which holds no certificates in PEM form") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"names `{file}`, which can't be read: {reason}") from None
