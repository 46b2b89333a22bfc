"""`[notify]` of assent.toml: the endpoints that webhooks are sent to, by name. Checked here, kept as plain values.

    [notify.endpoints.ops]
    url = "https://hooks.example.org/assent"
    secret = "secret://hooks/ops"

The outbox's own types are made of these when a runtime is built; a command that only resolves its settings imports none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError, Json
from assent.spec.sections import parse_duration_ms

if TYPE_CHECKING:
    from assent.capabilities.notify import Endpoint, Outbox

GRACE_MS: Final = 2_000
GRACE_MS_MAX: Final = 5_000
TIMEOUT_MS_MAX: Final = 60_000
_SCHEME: Final = "secret://"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Everything under `[notify]`; `endpoints` by name."""

    grace_ms: int = GRACE_MS
    endpoints: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


# -- what a file may say ------------------------------------------------------------------------------------------------


def read_url(value: object) -> Json:
    """Check `url`; ValueError with the rest of the sentence."""
    from assent.capabilities.net._url import parse_url

    if not isinstance(value, str):
        raise ValueError('must be an address: `"https://hooks.example.org/assent"`')  # noqa: TRY004 - a fault
    try:
        parse_url(value)
    except AssentError:
        # The address is not repeated: somebody may have written a credential into it.
        raise ValueError("must be an `https` or `http` address, without a user name in it") from None
    return value


def read_secret(value: object) -> Json:
    """Check `secret`."""
    from assent.spec.secret_text import is_secret_name

    # The text is not quoted: somebody may have put the value itself here.
    if (
        not isinstance(value, str)
        or not value.startswith(_SCHEME)
        or not is_secret_name(value[len(_SCHEME) :])
    ):
        raise ValueError("must name the secret that signs: `secret://NAME`")
    return value


def read_timeout(value: object) -> Json:
    """Check `timeout`."""
    return _duration(value, 100, TIMEOUT_MS_MAX)


def read_grace(value: object) -> Json:
    """Check `grace`."""
    return _duration(value, 0, GRACE_MS_MAX)


def _duration(value: object, least_ms: int, most_ms: int) -> Json:
    what = f"must be a duration from {least_ms} ms to {most_ms // 1000} s: `500ms`, `2s`"
    try:
        found = parse_duration_ms(value if isinstance(value, str | int | float) else None)
    except ValueError:
        raise ValueError(what) from None
    if not least_ms <= found <= most_ms:
        raise ValueError(what)
    return found


# -- what it means ------------------------------------------------------------------------------------------------------


def shown(said: Mapping[str, Json]) -> dict[str, Json]:
    """An endpoint's table as people may see it: what stands behind a `?` may be a credential."""
    return {**said, "url": str(said.get("url", "")).partition("?")[0].partition("#")[0]}


def endpoints_of(settings: NotifySettings) -> dict[str, Endpoint]:
    """The endpoints, by name."""
    from assent.capabilities.notify import Endpoint

    found: dict[str, Endpoint] = {}
    for name, said in settings.endpoints.items():
        timeout = said.get("timeout")
        found[name] = Endpoint(
            name=name,
            url=str(said["url"]),
            secret=str(said["secret"]).removeprefix(_SCHEME),
            is_paused=said.get("paused") is True,
            **({"timeout_ms": timeout} if isinstance(timeout, int) else {}),
        )
    return found


def outbox_in(home: Path, settings: NotifySettings) -> Outbox:
    """The outbox in a folder; nothing is read."""
    from assent import system
    from assent.capabilities.notify import Outbox

    return Outbox(
        home,
        endpoints_of(settings),
        clock=system.SystemClock(),
        jitter=system.SystemEntropy().jitter,
        grace_ms=settings.grace_ms,
    )
