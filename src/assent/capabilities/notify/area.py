"""`[notify]` of assent.toml: the endpoints that webhooks are sent to, by name.

[notify.endpoints.ops]
url = "https://hooks.example.org/assent"
secret = "secret://hooks/ops"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError, Json
from assent.spec.documents.settings import (
    Duration,
    Matching,
    Named,
    Setting,
    Table,
    Texts,
    fields,
    flag,
    listed,
    tables,
)
from assent.spec.secret_text import is_secret_name
from assent.spec.values.json_fields import text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.notify import Endpoint, Outbox
    from assent.invocation import GlobalContext
    from assent.spec.ports import Clock, Entropy

_SCHEME: Final = "secret://"


def web_address(value: object) -> Json:
    """An address that requests can go to."""
    from assent.capabilities.net._url import parse_url

    if not isinstance(value, str):
        raise ValueError('must be an address: `"https://hooks.example.org/assent"`')  # noqa: TRY004 - a fault
    try:
        parse_url(value)
    except AssentError:
        # The address is not repeated: somebody may have written a credential into it.
        raise ValueError("must be an `https` or `http` address, without a user name in it") from None
    return value


def _shown(said: Mapping[str, Json]) -> dict[str, Json]:
    # What stands behind a `?` may be a credential.
    return {**said, "url": str(said.get("url", "")).partition("?")[0].partition("#")[0]}


_ENDPOINT: Final = {
    "url": Setting(web_address, "where webhooks go", is_required=True),
    "secret": Setting(
        # The text is not quoted: somebody may have put the value itself here.
        Matching(
            "must name the secret that signs: `secret://NAME`",
            lambda text: text.startswith(_SCHEME) and is_secret_name(text[len(_SCHEME) :]),
        ),
        "what signs them: `secret://NAME`",
        is_required=True,
    ),
    "timeout": Setting(Duration(100, 60_000), "one attempt", unless="15 s"),
    "paused": Setting(flag, "keep what is to be delivered, and deliver nothing", unless="`false`"),
}

SECTION: Final[Table] = {
    "grace": Setting(
        Duration(0, 5_000), "how long a command waits at its end for deliveries under way", 2_000
    ),
    "approvals": Setting(
        Texts('must be a list of endpoints: `["ops"]`', may_be_empty=True),
        "the endpoints that are [told of each question](notifications.md#questions-to-people) to people",
        [],
        "nobody",
        names="endpoints",
    ),
    "endpoints": Named("name of an endpoint", _ENDPOINT, shown=_shown),
}


WORDS: Final[Words] = {
    frozenset({"id", "endpoint", "queued_at"}): lambda found: (
        f"queued for {text(found, 'endpoint')}: {text(found, 'id')}"
    )
}
PROJECTION: Final = None


def offer(_app: GlobalContext, _ground: Ground) -> None:
    """Nothing: the outbox is a runtime's own, because it writes into the ledger (`rt.deliveries`)."""


def checks(ground: Ground) -> Iterator[Check]:
    """Where webhooks go, and whether the secret that signs them may be had. Nobody is asked for it."""
    from assent.capabilities.area import Check

    told = listed(ground.said, "approvals")
    if told:
        yield Check("approvals", "ok", f"told to {', '.join(told)}")
    else:
        hint = "name an endpoint as `approvals` under `[notify]` of assent.toml"
        yield Check("approvals", "warning", "nobody is told when a person is asked", hint)
    if not tables(ground.said, "endpoints"):
        return
    from assent.capabilities.net._url import parse_url
    from assent.invocation import SecretGrant

    for endpoint in endpoints_of(ground.said).values():
        name = f"endpoint: {endpoint.name}"
        grant = ground.grant_of(endpoint.secret) or SecretGrant()
        seen = f"{endpoint.shown}, signed with `{endpoint.secret}`"
        if not grant.names("notify.webhook"):
            table = f'list `notify.webhook` under `capabilities` of `[secrets."{endpoint.secret}"]`'
            yield Check(name, "warning", f"{seen}, which it is not granted", table)
        elif grant.hosts and not grant.reaches(parse_url(endpoint.url).host):
            hint = f'list its host under `hosts` of `[secrets."{endpoint.secret}"]`'
            yield Check(name, "warning", f"{seen}, which is bound to other hosts", hint)
        elif endpoint.is_paused:
            yield Check(name, "warning", f"{seen}; paused", "take `paused` out to deliver what waits")
        else:
            yield Check(name, "ok", seen)


def endpoints_of(said: Mapping[str, Json]) -> dict[str, Endpoint]:
    """The endpoints, by name."""
    from assent.capabilities.notify import Endpoint

    found: dict[str, Endpoint] = {}
    for name, one in tables(said, "endpoints").items():
        known = fields(one, _ENDPOINT)
        secret, is_paused = known.pop("secret").removeprefix(_SCHEME), known.pop("paused", False)
        found[name] = Endpoint(name=name, secret=secret, is_paused=is_paused, **known)
    return found


def outbox_in(home: Path, said: Mapping[str, Json], *, clock: Clock, entropy: Entropy) -> Outbox:
    """The outbox in a folder; nothing is read."""
    from assent.capabilities.notify import Outbox

    grace_ms = int(fields(said, SECTION)["grace_ms"])
    return Outbox(home, endpoints_of(said), clock=clock, jitter=entropy.jitter, grace_ms=grace_ms)
