"""TLS 1.3 alone, with exactly three suites: looked at when a door opens, and on each connection after its handshake."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from assent.errors import InputError
from assent.runtime.settings._serve import SUITES, TlsSettings

VERSION: Final = "TLSv1.3"


def server_context(said: TlsSettings) -> ssl.SSLContext:
    """What a door of TLS is opened with. With authorities a client may show a certificate that one of them vouches for.

    TLS_REFUSED for files that are none, and where the system's own configuration of OpenSSL leaves other suites than the three.
    """
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    with _named("certificate", said.certificate):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=said.certificate)
    with _named("key", said.key or said.certificate):  # what is wrong with the certificate has been told
        context.load_cert_chain(said.certificate, said.key, password=_no_password)
    if said.authorities is not None:
        with _named("authorities", said.authorities):
            context.load_verify_locations(cafile=said.authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    offered = {str(one["name"]) for one in context.get_ciphers() if one["protocol"] == VERSION}
    if offered != {*SUITES}:
        raise _refused(
            f"the system's OpenSSL offers {', '.join(sorted(offered)) or 'nothing'}", "openssl.cnf"
        )
    return context


def is_modern(connection: ssl.SSLObject) -> bool:
    """Whether a handshake ended as it has to."""
    cipher = connection.cipher()
    return connection.version() == VERSION and cipher is not None and cipher[0] in SUITES


class _Handshake(ssl.SSLObject):
    """One whose failure the other end is told of: asyncio would drop the alert with the connection (CPython gh-98078).

    It sends what there is to send whenever more is waited for. So it is told that first, and of the fault with whatever comes
    next, which is mostly the other end's goodbye.
    """

    outgoing: ssl.MemoryBIO
    _fault: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._fault is not None:
            raise self._fault
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            if not self.outgoing.pending:
                raise
            self._fault = error
            raise ssl.SSLWantReadError from error


class _Context(ssl.SSLContext):
    sslobject_class = _Handshake

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as ssl's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, _Handshake)
        made.outgoing = outgoing
        return made


@contextmanager
def _named(setting: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ValueError) as error:
        why = str(error)[:200]
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
    else:
        return
    raise _refused(f"the `{setting}` can't be used: {why}", str(path))


def _no_password() -> str:
    """Nobody is there to be asked, and OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _refused(message: str, path: str) -> InputError:
    return InputError(
        "TLS_REFUSED", message, path=path, hint=f"a door of TLS offers exactly {', '.join(SUITES)}"
    )
