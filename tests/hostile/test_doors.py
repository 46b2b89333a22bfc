"""A door of HTTPS before strangers: older versions and other suites, foreign certificates, names and pages of other sites."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace

from assent.client import connect
from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.runtime.settings._serve import SUITES, TlsSettings
from assent.runtime.settings.effective import Settings
from assent.server.who.origins import Origins
from assent.server.who.tls import server_context
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon
from tests.support.web import authority

OPENSSL: Final = shutil.which("openssl")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The door's certificate, and clients of two authorities, of which the door knows one."""
    folder = tmp_path_factory.mktemp("certificates")
    authority(folder / "door", "127.0.0.1", "localhost")
    authority(folder / "clients", "ci")
    authority(folder / "foreign", "ci")
    return folder


@asynccontextmanager
async def https(
    tmp_path: Path, files: Path, env: dict[str, str], said: str = "", request: str = "30s"
) -> AsyncIterator[tuple[Serving, str]]:
    """A daemon with a door of HTTPS that knows clients by their certificates."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "assent.toml").write_text(
        f'[serve]\nhttp = "127.0.0.1:{port}"\nrequest = "{request}"\n[serve.tls]\ncertificate = "{files}/door/server.pem"\n'
        f'authorities = "{files}/clients/ca.pem"\n{said}\n'
        '[identity.services.ci]\ncertificate = "CN=ci"\nscopes = ["read"]\n'
        '[serve.issuers.main]\nissuer = "https://id.example.org"\naudience = "assent"\njwks = "/nowhere"\n'
    )
    async with daemon(tmp_path, env) as served:
        assert served.doors["https"] == f"https://127.0.0.1:{port}"
        yield served, served.doors["https"]


def client_context(files: Path, shown: str | None = None) -> ssl.SSLContext:
    """A client that believes the door's authority, with a certificate of its own."""
    context = ssl.create_default_context(cafile=files / "door" / "ca.pem")
    if shown is not None:
        context.load_cert_chain(files / shown / "server.pem")
    return context


HANDSHAKES = {
    "1.3": ("-tls1_3", None),
    **{suite: (f"-tls1_3 -ciphersuites {suite}", None) for suite in SUITES},
    "1.2": ("-tls1_2", "alert protocol version"),
    "1.2, any suite": ("-tls1_2 -cipher ALL:@SECLEVEL=0", "alert protocol version"),
    "1.1": ("-tls1_1 -cipher ALL:@SECLEVEL=0", "alert protocol version"),
    "1.0": ("-tls1 -cipher ALL:@SECLEVEL=0", "alert protocol version"),
    "CCM": ("-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", "alert handshake failure"),
    "CCM-8": ("-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256", "alert handshake failure"),
    "a foreign certificate": ("-tls1_3 -cert {files}/foreign/server.pem", "alert unknown ca"),
}
"""What a client offers, and what it is told where that is not taken."""


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
async def test_clients_of_other_versions_and_suites_are_told_so(
    tmp_path: Path, files: Path, clean_env: dict[str, str]
) -> None:
    """At the port and at the Unix socket alike; what is turned away is told why, as TLS says it, and not hung up on."""

    async def said(place: str, offer: str) -> str:
        words = f"s_client {place} {offer} -CAfile {files}/door/ca.pem -ign_eof".format(files=files)
        child = await asyncio.create_subprocess_exec(
            str(OPENSSL), *words.split(), stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        # A client hears of its certificate only once it has asked something.
        out, _ = await child.communicate(
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        return out.decode()

    async with https(tmp_path, files, clean_env | {"HOME": str(tmp_path)}, "socket = true") as (served, url):
        places = [f"-connect {url.removeprefix('https://')}", f"-unix {served.doors['socket']}"]
        asked = [(place, name) for place in places for name in HANDSHAKES]
        answers = await asyncio.gather(*(said(place, HANDSHAKES[name][0]) for place, name in asked))
        for (place, name), answer in zip(asked, answers, strict=True):
            alert = HANDSHAKES[name][1]
            assert ("\nok\n" in answer, alert is None or alert in answer) == (alert is None, True), (
                place,
                name,
                answer,
            )


async def test_whoever_takes_no_alert_to_heart_is_hung_up_on(
    tmp_path: Path, files: Path, clean_env: dict[str, str]
) -> None:
    """A handshake is the beginning of a request: it has no more time than that, also once it has failed."""
    old, hello = client_context(files), ssl.MemoryBIO()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLWantReadError):
        old.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    env = clean_env | {"HOME": str(tmp_path)}
    async with https(tmp_path, files, env, "socket = true", request="300ms") as (served, _):
        for sent, alert in (
            (hello.read(), b"\x15\x03\x03\x00\x02\x02\x46"),  # fatal, protocol_version
            (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
            (b"", b""),
        ):
            reader, writer = await asyncio.open_unix_connection(served.doors["socket"])
            writer.write(sent)
            heard = await asyncio.wait_for(reader.read(), PATIENCE_S)
            assert (heard == alert, b"HTTP" in heard) == (alert is not None, False)
            writer.close()


async def test_a_socket_of_tls_is_asked_with_a_context_and_knows_the_account(
    tmp_path: Path, files: Path, clean_env: dict[str, str]
) -> None:
    env = clean_env | {"HOME": str(tmp_path)}
    async with https(tmp_path, files, env, "socket = true") as (served, _):
        async with connect(served.doors["socket"], tls=client_context(files)) as rt:
            assert (await rt.call("sys.noop")).status == "succeeded"
        for tls in (None, ssl.create_default_context()):  # to the other one nobody vouches for the door
            with pytest.raises(WorldError, match="SERVER_"):
                async with connect(served.doors["socket"], patience_s=0, tls=tls):
                    pass


async def test_a_certificate_is_whose_subject_it_names_if_our_authority_vouches_for_it(
    tmp_path: Path, files: Path, clean_env: dict[str, str]
) -> None:
    async def asked(shown: str | None, method: str, path: str) -> tuple[int, Any]:
        async with httpx2.AsyncClient(verify=client_context(files, shown), timeout=PATIENCE_S) as client:
            answer = await client.request(method, f"{url}{path}", json={} if method == "POST" else None)
            return answer.status_code, answer.json()

    async with https(tmp_path, files, clean_env | {"HOME": str(tmp_path)}) as (_, url):
        assert (await asked("clients", "GET", "/v1/runs"))[0] == 200
        status, body = await asked("clients", "POST", "/v1/resume")
        assert (status, body["error"]["code"]) == (403, "SCOPE_MISSING")
        async with httpx2.AsyncClient(verify=client_context(files), timeout=PATIENCE_S) as client:
            refused = await client.get(f"{url}/v1/runs")
            # Where a token is to be had, as RFC 9728 has it.
            place = f"{url}/.well-known/oauth-protected-resource"
            assert (
                refused.status_code,
                f'resource_metadata="{place}"' in refused.headers["www-authenticate"],
            ) == (401, True)
            told = (await client.get(place)).json()
        assert (told["resource"], told["authorization_servers"]) == (url, ["https://id.example.org"])
        with pytest.raises((httpx2.HTTPError, ssl.SSLError)):
            await asked("foreign", "GET", "/v1/runs")
        for name in ("evil.example", "127.0.0.1.evil.example", "169.254.169.254"):
            async with httpx2.AsyncClient(
                verify=client_context(files, "clients"), timeout=PATIENCE_S
            ) as client:
                answer = await client.get(f"{url}/v1/runs", headers={"host": name})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "HOST_REFUSED"), name


HOSTS = {
    "127.0.0.1:8420": True,
    "localhost": True,
    "LOCALHOST:1": True,
    "[::1]:8420": True,
    "192.0.2.5:8420": True,
    "assent.example.org": True,
    "": False,
    "evil.example": False,
    "localhost.evil.example": False,
    "assent.example.org.": False,
    "assent.example.org@evil.example": False,
    "evil.example#localhost": False,
    "localhost:8420:1": False,
    "127.1": False,
    "2130706433": False,
    "[::ffff:127.0.0.1": False,
    "localhost\t": False,
    "192.0.2.6": False,
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_is_the_door_s_or_refused_as_a_host_and_as_an_origin(host: str) -> None:
    origins = Origins(["assent.example.org"])
    for headers in (
        [(b"host", host.encode())],
        [(b"host", b"localhost"), (b"origin", f"http://{host}".encode())],
    ):
        if HOSTS[host]:
            origins.require(headers, address="192.0.2.5")
        else:
            with pytest.raises(RefusedError):
                origins.require(headers, address="192.0.2.5")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"localhost"), (b"host", b"localhost")],
        [(b"host", b"localhost"), (b"origin", b"null")],
        [(b"host", b"localhost"), (b"origin", b"file://localhost")],
        [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")],
        [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site")],
        [(b"host", b"localhost"), (b"sec-fetch-site", b"same-site")],
    ],
)
def test_what_another_page_sends_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RefusedError):
        Origins().require(headers, address="127.0.0.1")


def refusal(tmp_path: Path, table: str) -> str | None:
    """The code with which a configuration of a door is refused."""
    (tmp_path / "assent.toml").write_text(f"[serve.tls]\n{table}\n")
    try:
        Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    except AssentError as error:
        return error.code
    return None


def test_a_configuration_that_lists_less_or_more_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, f'versions = ["TLSv1.3"]\nsuites = {[*reversed(SUITES)]}') is None
    wrong = [
        *[f"suites = {[*SUITES[:left], *SUITES[left + 1 :]]}" for left in range(3)],
        f"suites = {[*SUITES, 'ECDHE-RSA-AES256-GCM-SHA384']}",
        f"suites = {[*SUITES, SUITES[0]]}",
        "suites = []",
        "suites = 'ALL'",
        'versions = ["TLSv1.3", "TLSv1.2"]',
        "versions = []",
        'minimum = "TLSv1.2"',
    ]
    assert [one for one in wrong if refusal(tmp_path, one) != "CONFIG_INVALID"] == []


def test_the_trap_of_the_samples_is_refused(tmp_path: Path, samples: Path) -> None:
    """Its defaults look right; it also speaks 1.2, and lists weaker suites to fall back to."""
    file = samples / "embednexus" / "fixtures" / "security" / "tls-config-matrix.yaml"
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    said = yaml.safe_load(file.read_text())
    assert refusal(tmp_path, f"versions = {said['supported_versions']}") == "CONFIG_INVALID"
    for fallback in said["fallback_policies"]:
        suites = [*said["default_cipher_suites"], *fallback["ciphers"]]
        assert refusal(tmp_path, f"suites = {suites}") == "CONFIG_INVALID"


def test_a_system_that_offers_other_suites_is_refused(tmp_path: Path, files: Path) -> None:
    """`openssl.cnf` may narrow what OpenSSL offers, and nobody would see it before a client is turned away."""
    (tmp_path / "openssl.cnf").write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCiphersuites = TLS_AES_128_GCM_SHA256\n"
    )
    script = (
        "from pathlib import Path\nfrom assent.errors import AssentError\n"
        "from assent.runtime.settings._serve import TlsSettings\nfrom assent.server.who.tls import server_context\n"
        f"said = TlsSettings(certificate=Path({str(files / 'door' / 'server.pem')!r}))\n"
        "try:\n    server_context(said)\n    print('taken')\nexcept AssentError as error:\n    print(error.code)\n"
    )
    for conf, expected in (("openssl.cnf", "TLS_REFUSED"), ("none.cnf", "taken")):
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env={"OPENSSL_CONF": str(tmp_path / conf), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stdout.strip() == expected, ran.stderr


def test_a_file_that_can_not_be_used_is_named(tmp_path: Path, files: Path) -> None:
    good, other = files / "door" / "server.pem", files / "clients" / "server.pem"
    encrypted = tmp_path / "encrypted.pem"
    key = serialization.load_pem_private_key(good.read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    encrypted.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    )
    nothing, empty = tmp_path / "nothing.pem", tmp_path / "empty.pem"
    empty.write_text("")
    for said, wrong in (
        ({"certificate": nothing}, nothing),
        ({"certificate": empty, "key": good}, empty),
        ({"key": nothing}, nothing),
        ({"key": empty}, empty),
        ({"key": other}, other),
        ({"key": encrypted}, encrypted),
        ({"key": tmp_path}, tmp_path),
        ({"authorities": nothing}, nothing),
        ({"authorities": empty}, empty),
    ):
        with pytest.raises(InputError) as caught:
            server_context(replace(TlsSettings(certificate=good), **said))
        assert (caught.value.code, caught.value.path) == ("TLS_REFUSED", str(wrong)), said


@pytest.mark.parametrize("said", ['key = "/k.pem"', 'authorities = "/a.pem"', "socket = true"])
async def test_a_door_without_its_certificate_is_not_opened(
    tmp_path: Path, clean_env: dict[str, str], said: str
) -> None:
    (tmp_path / "assent.toml").write_text(f"[serve.tls]\n{said}\n")
    with pytest.raises(InputError, match="needs a `certificate`") as caught:
        async with daemon(tmp_path, clean_env | {"HOME": str(tmp_path)}):
            pass
    assert (caught.value.code, str(caught.value.path)[-13:]) == ("CONFIG_INVALID", "assent.toml:2")


def test_a_certificate_of_two_principals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "assent.toml").write_text(
        '[identity.users.a]\ncertificate = "CN=x"\n[identity.users.b]\ncertificate = "CN=x"\n'
    )
    with pytest.raises(InputError, match="two principals"):
        Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
