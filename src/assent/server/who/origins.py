"""Whether a request was meant for this door: its `Host` names the door, and no page of somebody else's sent it.

A page that a person opens may have their browser ask any address, and its own name may suddenly mean 127.0.0.1 (DNS
rebinding). What the browser then sends names that page: in `Host`, in `Origin`, in `Sec-Fetch-Site`. Nothing here uses cookies,
so a browser has nothing that it would send along by itself, and no form needs a nonce.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from assent.errors import RefusedError

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?\Z", re.ASCII)


class Origins:
    """The names under which a door of HTTP may be asked; an address of this machine's own always is one."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        """`hosts` are further names, without a port: `assent.example.org`."""
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}

    def require(self, headers: Sequence[tuple[bytes, bytes]], *, address: str) -> None:
        """Raise `RefusedError` HOST_REFUSED for a request that was meant for another door, ORIGIN_REFUSED for another page's.

        `headers` have their names in lower case, as ASGI has them; `address` is the one at which the connection came in.
        """
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1"), address):
            raise RefusedError(
                "HOST_REFUSED",
                "`Host` does not name this door",
                hint="ask its address, or a name that is listed under `hosts` of `[serve]`",
            )
        for name, value in headers:
            text = value.decode("latin-1")
            if name == b"origin":
                scheme, found, rest = text.partition("://")
                if scheme not in ("http", "https") or not found or not self._is_ours(rest, address):
                    raise _foreign()
            elif name == b"sec-fetch-site" and text not in ("same-origin", "none"):
                raise _foreign()

    def _is_ours(self, written: str, address: str) -> bool:
        found = _HOST.match(written)
        if found is None:
            return False
        host = found[1].lower()
        return host in self._hosts or _same_address(host, address)


def _same_address(host: str, address: str) -> bool:
    """The same address, however it is written; names are no addresses."""
    try:
        return ip_address(host.strip("[]")) == ip_address(address.strip("[]"))
    except ValueError:
        return False


def _foreign() -> RefusedError:
    return RefusedError(
        "ORIGIN_REFUSED", "a page of another site sent this", hint="no page but the door's own may ask it"
    )
