"""Where secrets are kept: environment, files, keychain and Vault, each read strictly and told of without its value."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import AccessOutcome, SecretAccess, SecretGrant, Secrets
from assent.runtime.settings._secrets import VaultSettings
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._secret_files import BYTES_MAX, read_secret_file, write_secret_file
from assent.runtime.wiring._secret_sources import ConfiguredSecrets
from assent.system import SystemClock
from tests.support.web import authority

VALUE = "correct horse battery staple"


def real_path(path: Path) -> Path:
    """The path without links: some machines reach their temporary folder through one."""
    return path.resolve()


def settings(folder: Path, toml: str, environ: Mapping[str, str] | None = None) -> Settings:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "assent.toml").write_text(toml)
    return Settings.resolve(environ={"HOME": str(folder), **(environ or {})}, cwd=folder)


def provider(folder: Path, toml: str, environ: Mapping[str, str] | None = None) -> ConfiguredSecrets:
    return ConfiguredSecrets(settings(folder, toml).secrets, environ or {})


async def read(source: ConfiguredSecrets, name: str) -> tuple[str, list[SecretAccess]]:
    """The value as a call gets it, through everything that stands between."""
    told: list[SecretAccess] = []
    secrets = Secrets([source], clock=SystemClock(), record=told.append)
    found = await secrets.read(name, capability="mail.send", granted=[name])
    return found.reveal(), told


async def code_of(source: ConfiguredSecrets, name: str) -> str:
    with pytest.raises(AssentError) as refused:
        await read(source, name)
    assert VALUE not in str(refused.value.to_dict())
    return refused.value.code


async def test_a_secret_is_an_environment_variable_unless_something_else_is_said(tmp_path: Path) -> None:
    found = provider(
        tmp_path,
        '[secrets.db]\nfrom = "env:PGPASSWORD"\n[secrets."mail/token"]\ncapabilities = ["mail.*"]\n',
        {"PGPASSWORD": "p1", "ASSENT_SECRET_MAIL_TOKEN": "p2", "ASSENT_SECRET_OTHER": "p3"},
    )
    for name, value in (("db", "p1"), ("mail/token", "p2"), ("other", "p3")):
        got, told = await read(found, name)
        assert (got, told[0].provider, told[0].outcome) == (value, "env", AccessOutcome.FETCHED)
    assert await code_of(found, "missing") == "SECRET_MISSING"


async def test_two_names_of_one_variable_are_told_apart_by_a_refusal(tmp_path: Path) -> None:
    """The one that was asked for first is the variable's; configured ones are refused when the file is read."""
    found = provider(tmp_path, "", {"ASSENT_SECRET_MAIL_TOKEN": VALUE})
    secrets = Secrets([found], clock=SystemClock(), record=lambda access: None)
    await secrets.read("mail/token", capability="a", granted=["mail/token"])
    with pytest.raises(InputError, match="would both be read from `ASSENT_SECRET_MAIL_TOKEN`") as refused:
        await secrets.read("mail-token", capability="a", granted=["mail-token"])
    assert refused.value.code == "SECRET_AMBIGUOUS"
    await secrets.read("mail/token", capability="a", granted=["mail/token"], fresh=True)
    with pytest.raises(InputError, match="would both be read from") as refused:
        settings(tmp_path, '[secrets."mail/token"]\n[secrets.mail-token]\n')
    assert (refused.value.code, refused.value.path) == ("CONFIG_INVALID", f"{tmp_path / 'assent.toml'}:2")
    settings(tmp_path, '[secrets."mail/token"]\n[secrets.mail-token]\nfrom = "env:OTHER"\n')


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('from = "hunter2"', "must be one of `env:VARIABLE`, `file:PATH`"),
        ('from = "env:NOT-ONE"', "must be written `env:VARIABLE`"),
        ('from = "file:"', "must be written `file:PATH`"),
        ('from = "keyring:service"', "must be written `keyring:SERVICE/USER`"),
        ('from = "vault:secret/a"', "must be written `vault:PATH#FIELD`"),
        ('from = "vault:a#b"', "must be written `vault:PATH#FIELD`"),
        ("from = 7", "must be one of"),
        ("capabilities = 'net.*'", "must be a list of capabilities"),
        ("hosts = []", "must name a host, or be left out"),
        ("hosts = ['a b']", "must be a list of host names"),
        ("hosts = ['https://a']", "must be a list of host names"),
        ("value = 'hunter2'", "has no key `value`"),
    ],
)
def test_a_table_of_a_secret_is_read_strictly(tmp_path: Path, toml: str, message: str) -> None:
    """What stands where a source should be may be the value itself, and is not quoted."""
    with pytest.raises(InputError, match="CONFIG_INVALID") as refused:
        settings(tmp_path, f"[secrets.db]\n{toml}\n")
    assert message in refused.value.message
    assert "hunter2" not in refused.value.message


def test_names_and_the_vault_have_rules_of_their_own(tmp_path: Path) -> None:
    for toml, message in (
        ('[secrets."a b"]\n', "is not a name of a secret"),
        ('[secrets."a@b"]\n', "is not a name of a secret"),
        ('[secrets.vault]\nfrom = "env:A"\n', "has no key `from`"),
        ('[secrets.vault]\naddress = "http://vault.example.org"\n', "must be an `https://` address"),
    ):
        with pytest.raises(InputError) as refused:
            settings(tmp_path, toml)
        assert message in refused.value.message
    ca_file = authority(tmp_path / "certs", "vault.example.org").ca_file
    found = settings(
        tmp_path,
        '[secrets.vault]\naddress = "https://vault.example.org"\nnamespace = "n"\ntoken_file = "~/t"\nca_file = "certs/ca.pem"\n',
    )
    assert found.secrets.vault == VaultSettings("https://vault.example.org", "n", tmp_path / "t", ca_file)


def test_the_nearer_file_says_where_a_secret_is(tmp_path: Path) -> None:
    user = tmp_path / ".config/assent/config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[secrets.db]\nfrom = "env:MINE"\n[secrets.own]\nfrom = "file:~/own"\n')
    found = settings(
        tmp_path, '[secrets.db]\nfrom = "file:keys/db"\nhosts = ["DB.example.org."]\n'
    ).secrets.secrets
    assert (str(found["db"].source), found["db"].hosts) == (f"file:{tmp_path}/keys/db", ("db.example.org",))
    assert str(found["own"].source) == f"file:{tmp_path}/own"


async def test_a_secret_is_given_to_whom_the_configuration_names_and_sent_where_it_says() -> None:
    class Known:
        name = "known"

        async def fetch(self, name: str) -> Any:
            from assent.invocation import Fetched, Secret

            return Fetched(Secret(VALUE))

    grants = {
        "a": SecretGrant(("net.http.*",)),
        "b": SecretGrant(("net.*",), ("api.example.org", "*.example.net")),
    }
    secrets = Secrets([Known()], clock=SystemClock(), record=lambda access: None, grants=grants)

    async def is_given(
        name: str, capability: str, host: str | None = None, granted: tuple[str, ...] = ()
    ) -> bool:
        try:
            await secrets.read(name, capability=capability, granted=granted, host=host)
        except RefusedError:
            return False
        return True

    assert await is_given("a", "net.http.get")
    assert await is_given("a", "net.http.get", "anywhere")
    assert not await is_given("a", "sys.exec.run")
    assert await is_given("a", "sys.exec.run", granted=("a",))
    assert not await is_given("c", "net.http.get")
    for host, good in (
        ("api.example.org", True),
        ("API.Example.org.", True),
        ("example.org", False),
        ("x.api.example.org", False),
        ("a.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("evilexample.net", False),
        (None, False),
    ):
        assert await is_given("b", "net.http.get", host) is good, host
        assert await is_given("b", "plugin.call", host, granted=("b",)) is good, host


def private(path: Path, data: bytes = VALUE.encode() + b"\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


async def test_a_file_of_ones_own_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    real = real_path(tmp_path)
    source = provider(real, '[secrets.a]\nfrom = "file:keys/a"\n')
    assert await code_of(source, "a") == "SECRET_MISSING"
    for data in (b"v\n", b"v\r\n", b"v"):
        private(real / "keys/a", data, 0o400 if data == b"v" else 0o600)
        got, told = await read(source, "a")
        assert (got, told[0].provider) == ("v", "file")
        (real / "keys/a").unlink()
    private(real / "keys/a", b"")
    assert await code_of(source, "a") == "SECRET_MISSING"


@pytest.mark.parametrize("what", ["mode", "link", "folder link", "fifo", "folder", "size", "binary", "owner"])
async def test_a_file_that_is_not_safe_is_no_secret(tmp_path: Path, what: str, monkeypatch: Any) -> None:
    real = real_path(tmp_path)
    path = real / "keys/a"
    path.parent.mkdir()
    match what:
        case "mode":
            private(path, mode=0o640)
        case "link":
            path.symlink_to(private(real / "b"))
        case "folder link":
            private(real / "other/a")
            path.parent.rmdir()
            path.parent.symlink_to(real / "other")
        case "fifo":
            os.mkfifo(path, 0o600)
        case "folder":
            path.mkdir()
        case "size":
            private(path, b"x" * (BYTES_MAX + 1))
        case "binary":
            private(path, b"\xff\xfe")
        case _:
            private(path)
            monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert await code_of(provider(real, '[secrets.a]\nfrom = "file:keys/a"\n'), "a") == "SECRET_FILE_UNSAFE"


def test_a_file_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "deep/er/a"
    write_secret_file(path, VALUE)
    write_secret_file(path, VALUE + "2")
    assert read_secret_file(path) == VALUE + "2"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [one.name for one in path.parent.iterdir()] == ["a"]
    path.chmod(0o644)
    with pytest.raises(InputError, match="has mode 0644"):
        write_secret_file(path, VALUE)
    assert path.read_text() == VALUE + "2\n"


@pytest.fixture
def keychain(tmp_path: Path) -> Iterator[Any]:
    """The library's real interface, on a file."""
    import keyring

    file: Any = import_module("keyrings.alt.file")  # it has no types

    on_file = file.PlaintextKeyring()
    on_file.file_path = str(tmp_path / "keyring.cfg")
    before = keyring.get_keyring()
    keyring.set_keyring(on_file)
    yield keyring
    keyring.set_keyring(before)


async def test_the_keychain_gives_and_takes_secrets(tmp_path: Path, keychain: Any) -> None:
    source = provider(tmp_path, '[secrets.a]\nfrom = "keyring:assent/x/ann"\n')
    assert await code_of(source, "a") == "SECRET_MISSING"
    assert str(source.store("a", VALUE)) == "keyring:assent/x/ann"
    assert keychain.get_password("assent/x", "ann") == VALUE
    got, told = await read(source, "a")
    assert (got, told[0].provider) == (VALUE, "keyring")


async def test_a_keychain_that_fails_is_told_without_its_words(
    tmp_path: Path, keychain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: str) -> str:
        raise RuntimeError(f"could not store {VALUE} {args}")

    monkeypatch.setattr(keychain, "get_password", broken)
    source = provider(tmp_path, '[secrets.a]\nfrom = "keyring:assent/ann"\n')
    assert await code_of(source, "a") == "SECRET_UNAVAILABLE"
    with pytest.raises(AssentError, match="keychain refused") as refused:
        source.rotate("a", VALUE)
    assert VALUE not in str(refused.value.to_dict())
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("where", "module", "extra"),
    [("keyring:assent/ann", "keyring", "assent[keyring]"), ("vault:secret/a#b", "hvac", "assent[vault]")],
)
async def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, where: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match="is not installed") as refused:
        await read(provider(tmp_path, f'[secrets.a]\nfrom = "{where}"\n'), "a")
    assert refused.value.code == "SECRET_EXTRA_MISSING"
    assert extra in str(refused.value.hint)


@pytest.mark.parametrize("kind", ["file", "keyring"])
def test_a_rotated_secret_can_be_taken_back_until_it_is_confirmed(
    tmp_path: Path, kind: str, keychain: Any
) -> None:
    real = real_path(tmp_path)
    where = "file:keys/a" if kind == "file" else "keyring:assent/ann"
    source = provider(real, f'[secrets.a]\nfrom = "{where}"\n')

    def now() -> str | None:
        return read_secret_file(real / "keys/a") if kind == "file" else keychain.get_password("assent", "ann")

    source.store("a", "one")
    assert not source.is_rotating("a")
    assert not source.confirm("a")
    with pytest.raises(InputError, match="no earlier value") as refused:
        source.undo("a")
    assert "assent secrets rotate a" in str(refused.value.hint)
    source.rotate("a", "two")
    assert (now(), source.is_rotating("a")) == ("two", True)
    with pytest.raises(InputError, match="nobody has said yet"):
        source.rotate("a", "three")
    source.undo("a")
    assert (now(), source.is_rotating("a")) == ("one", False)
    source.rotate("a", "two")
    assert source.confirm("a")
    assert (now(), source.is_rotating("a")) == ("two", False)
    source.rotate("a", "three")
    assert now() == "three"


def test_what_is_kept_elsewhere_is_not_written(tmp_path: Path) -> None:
    source = provider(tmp_path, '[secrets.v]\nfrom = "vault:secret/a#b"\n')
    for name, hint in (("other", "set `ASSENT_SECRET_OTHER`"), ("v", "vault kv put secret/a b=")):
        for write in (source.store, source.rotate):
            with pytest.raises(InputError, match="only reads") as refused:
                write(name, VALUE)
            assert refused.value.code == "SECRET_NOT_WRITABLE"
            assert hint in str(refused.value.hint)
        assert not source.is_rotating(name)


class VaultHandler(BaseHTTPRequestHandler):
    """The two answers of a key-value engine, version 2, and a login by role; everything else is not found."""

    def do_GET(self) -> None:
        asked = (self.path, self.headers.get("X-Vault-Token"), self.headers.get("X-Vault-Namespace"))
        if asked[0] == "/v1/secret/data/team/mail" and asked[1] in ("t0ken", "from-role"):
            self._answer(200, {"data": {"data": {"token": VALUE, "port": 7}, "metadata": {"version": 1}}})
        elif asked[0] == "/v1/moved/data/a":
            self.send_response(302)
            self.send_header("Location", "/v1/secret/data/team/mail")
            self.end_headers()
        else:
            self._answer(404 if asked[1] else 403, {"errors": [f"no {VALUE}"]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = body == {"role_id": "role", "secret_id": "proof"}
        self._answer(
            200 if good else 400, {"auth": {"client_token": "from-role"}} if good else {"errors": ["no"]}
        )

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        pass


@pytest.fixture
def vault() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), VaultHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_vault_is_asked_for_one_field(tmp_path: Path, vault: str) -> None:
    real = real_path(tmp_path)
    table = f'[secrets.vault]\naddress = "{vault}"\n'
    toml = (
        table
        + '[secrets.a]\nfrom = "vault:secret/team/mail#token"\n[secrets.b]\nfrom = "vault:secret/other#token"\n'
    )
    toml += '[secrets.c]\nfrom = "vault:secret/team/mail#port"\n[secrets.d]\nfrom = "vault:moved/a#token"\n'
    by_variable = provider(real, toml, {"VAULT_TOKEN": "t0ken"})
    got, told = await read(by_variable, "a")
    assert (got, told[0].provider) == (VALUE, "vault")
    assert await code_of(by_variable, "b") == "SECRET_MISSING"
    assert await code_of(by_variable, "c") == "SECRET_MISSING"
    assert await code_of(by_variable, "d") != "SECRET_NOT_GRANTED", "a redirect is not followed"
    assert await code_of(provider(real, toml), "a") == "SECRET_UNAVAILABLE"
    private(real / "token", b"t0ken\n")
    by_file = provider(real, toml.replace(table, table + 'token_file = "token"\n'))
    assert (await read(by_file, "a"))[0] == VALUE
    by_role = provider(real, toml, {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "proof"})
    assert (await read(by_role, "a"))[0] == VALUE


async def test_a_vault_that_nobody_named_is_missed(tmp_path: Path) -> None:
    source = provider(tmp_path, '[secrets.a]\nfrom = "vault:secret/a#b"\n')
    with pytest.raises(InputError, match="nothing says where that is") as refused:
        await read(source, "a")
    assert refused.value.code == "SECRET_UNAVAILABLE"


@pytest.mark.skipif(os.geteuid() == 0, reason="modes keep root from nothing")
def test_a_folder_above_need_not_be_readable(tmp_path: Path) -> None:
    """As `/home` on many machines, which may be passed through and not listed."""
    file = tmp_path / "home" / "keys" / "mail"
    file.parent.mkdir(parents=True)
    (tmp_path / "home").chmod(0o311)
    try:
        write_secret_file(file, "hunter2")
        assert read_secret_file(file) == "hunter2"
    finally:
        (tmp_path / "home").chmod(0o755)
