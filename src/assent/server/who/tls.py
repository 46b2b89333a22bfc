"""TLS 1.3 alone, with exactly three suites: looked at when a door opens, and on each connection after its handshake."""

from __future__ import annotations

import ssl
from typing import Final

from assent.errors import InputError
from assent.runtime.settings._serve import SUITES, TlsSettings

VERSION: Final = "TLSv1.3"


def server_context(said: TlsSettings) -> ssl.SSLContext:
    """What a door of TLS is opened with. With authorities a client may show a certificate that one of them vouches for.

    TLS_REFUSED for files that are none, and where the system's own configuration of OpenSSL leaves other suites than the three.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(said.certificate, said.key, password=_no_password)
        if said.authorities is not None:
            context.load_verify_locations(cafile=said.authorities)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:  # ssl's errors are the first
        raise _refused(
            f"the certificate, its key or the authorities can't be used: {str(error)[:200]}",
            str(said.certificate),
        ) from None
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


def _no_password() -> str:
    """Nobody is there to be asked, and OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _refused(message: str, path: str) -> InputError:
    return InputError(
        "TLS_REFUSED", message, path=path, hint=f"a door of TLS offers exactly {', '.join(SUITES)}"
    )
