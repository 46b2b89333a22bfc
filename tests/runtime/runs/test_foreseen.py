"""What a plan knows to fail, and nobody is therefore asked about: egress and secrets, without the network or a value."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from tests.support.bodies import Place, code, policy, rule, workflow

EVERYTHING = policy(rule("all", without_approval=True))
ASKS = policy(rule("ask", "REQUIRE_APPROVAL", approvers={"kinds": ["user"]}))

OFFSET = {"method": "DELETE", "url": "https://example.org/a"}
STATUS = {"method": "GET", "url": "https://example.org/a", "happened_when": "`true`"}
POSTING = "net.http.post net.http.put net.http.patch net.http.delete".split()

# Every capability that sends → its inputs, but for the address.
SENDING: dict[str, dict[str, Any]] = {
    "net.http.get": {},
    "net.http.head": {},
    "net.http.download": {"path": "f"},
    **{name: {} for name in POSTING},
    **{f"{name}_compensated": {"compensation": OFFSET} for name in POSTING},
}
# The rules, an address, and whether that is known to be refused. No name is ever resolved.
PUBLIC = 'schemes = ["https", "http"]\nmethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]\n'
RULES: dict[str, tuple[str, str, bool]] = {
    "loopback": ("", "http://127.0.0.1:80/", True),
    "a cloud's metadata": ("", "http://169.254.169.254/", True),
    "IPv6 in disguise": ("", "http://[::ffff:127.0.0.1]/", True),
    "another port": ("", "https://example.org:8099/", True),
    "a name": ("", "https://example.org/", False),
    "a public address": ("", "https://1.1.1.1/", False),
    "a name that no rule has": (f'[net.rules.a]\nhosts = ["*.org"]\n{PUBLIC}', "https://example.com/", True),
    "a name that one has": (f'[net.rules.a]\nhosts = ["*.org"]\n{PUBLIC}', "https://example.org/", False),
    "another scheme": (
        f'[net.rules.a]\nhosts = ["*"]\n{PUBLIC}'.replace(', "http"', ""),
        "http://example.org/",
        True,
    ),
    "another principal": (
        f'[net.rules.a]\nhosts = ["*"]\n{PUBLIC}principals = ["agent:*"]\n',
        "https://example.org/",
        True,
    ),
    "an opened address": (
        f'[net.rules.a]\nhosts = ["*"]\n{PUBLIC}private = ["127.0.0.0/8"]\n',
        "http://127.0.0.1:80/",
        False,
    ),
}


@pytest.fixture(autouse=True)
def no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_asked: object, **_how: object) -> None:
        raise AssertionError("a plan asked for the address of a name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def opened(tmp_path: Path, settings: str, asks: dict[str, Any] = EVERYTHING) -> Any:
    """A runtime with this assent.toml."""
    place = Place(tmp_path, policy=asks)
    place.workspace.mkdir(exist_ok=True)
    (place.workspace / "assent.toml").write_text(settings)
    return place.open(box=False)


async def told(rt: Runtime, capability: str, inputs: dict[str, Any]) -> str | None:
    """The code that the plan of one step foresees."""
    step = {"name": "a", "capability": capability, "inputs": inputs}
    (planned,) = (await rt.plan(workflow(step))).steps
    return None if planned.error is None else str(planned.error["code"])


@pytest.mark.parametrize("case", RULES)
async def test_what_the_rules_decide_without_the_network_is_foreseen(case: str, tmp_path: Path) -> None:
    """For every capability that sends."""
    rules, url, is_refused = RULES[case]
    async with opened(tmp_path, rules) as rt:
        found = {
            capability: await told(rt, capability, {"url": url, **more})
            for capability, more in SENDING.items()
            if "compensation" not in more or "example.com" not in url
        }
    # What takes it back goes to example.org, which one of the cases does not open.
    assert set(found.values()) == {"EGRESS_DENIED" if is_refused else None}, found


async def test_every_capability_that_sends_is_looked_at(tmp_path: Path) -> None:
    """But for a webhook, whose cases stand below, a program, of which nobody knows where it goes, agents' own tools, and scans,
    whose scope is tried with them.
    """
    async with opened(tmp_path, "") as rt:
        sends = {spec.id for spec in rt.registry.list() if "sends_external" in spec.labels}
    agents = {one for one in sends if one.startswith("agent.")}
    others = {"notify.webhook", "sys.exec.run", "scan.active", "scan.passive"}
    assert sends - agents - others == {*SENDING}


@pytest.mark.parametrize("field", ["compensation", "status"])
async def test_so_is_what_comes_after_the_request(field: str, tmp_path: Path) -> None:
    """What takes it back and what asks about it go to an address of their own."""
    more = {"compensation": OFFSET, "status": STATUS}
    more[field] = {**more[field], "url": "http://127.0.0.1:80/"}
    async with opened(tmp_path, "") as rt:
        assert await told(rt, "net.http.post_compensated", {"url": "https://example.org/", **more}) == (
            "EGRESS_DENIED"
        )


HOOK = '[notify.endpoints.ops]\nurl = "{url}"\nsecret = "secret://hooks/ops"\n[secrets."hooks/ops"]\n{grant}'
GRANTED = 'capabilities = ["*"]\n'
MAIL = '[secrets."mail/token"]\n'
IN_HEADER = {"url": "https://example.org/", "headers": {"authorization": "secret://mail/token"}}
HOOKED = {"endpoint": "ops", "type": "a.b"}

# The configuration, the capability and its inputs → the code that is foreseen. No place holds a value but where it says so.
SECRETS: dict[str, tuple[str, str, dict[str, Any], str | None]] = {
    "not granted": (MAIL, "net.http.get", IN_HEADER, "SECRET_NOT_GRANTED"),
    "to another host": (
        f'{MAIL}{GRANTED}hosts = ["example.com"]\n',
        "net.http.get",
        IN_HEADER,
        "SECRET_NOT_GRANTED",
    ),
    "no variable": (f"{MAIL}{GRANTED}", "net.http.get", IN_HEADER, "SECRET_MISSING"),
    "a variable": (f'{MAIL}{GRANTED}from = "env:HELD"\n', "net.http.get", IN_HEADER, None),
    "no file": (f'{MAIL}{GRANTED}from = "file:/nowhere/a"\n', "net.http.get", IN_HEADER, "SECRET_MISSING"),
    "a file": (f'{MAIL}{GRANTED}from = "file:{__file__}"\n', "net.http.get", IN_HEADER, None),
    "a keychain can't tell": (f'{MAIL}{GRANTED}from = "keyring:a/b"\n', "net.http.get", IN_HEADER, None),
    "Vault can't tell": (f'{MAIL}{GRANTED}from = "vault:kv/a#b"\n', "net.http.get", IN_HEADER, None),
    "in a body": (
        MAIL,
        "net.http.post",
        {"url": "https://example.org/", "body": {"a": ["secret://mail/token"]}},
        "SECRET_NOT_GRANTED",
    ),
    "of a program": (
        f'[exec.rules.a]\nprograms = ["true"]\nenvironment = ["A"]\n{MAIL}',
        "sys.exec.run",
        {"argv": ["true"], "environment": {"A": "secret://mail/token"}},
        "SECRET_NOT_GRANTED",
    ),
    "a webhook's": (
        HOOK.format(url="https://example.org/", grant=""),
        "notify.webhook",
        HOOKED,
        "SECRET_NOT_GRANTED",
    ),
    "a webhook's, which may come": (
        HOOK.format(url="https://example.org/", grant=GRANTED),
        "notify.webhook",
        HOOKED,
        None,
    ),
    "a webhook's address": (
        HOOK.format(url="http://127.0.0.1/", grant=GRANTED),
        "notify.webhook",
        HOOKED,
        "EGRESS_DENIED",
    ),
}


@pytest.mark.parametrize("case", SECRETS)
async def test_a_secret_that_can_not_be_had_is_foreseen(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of the plan reads one."""
    settings, capability, inputs, expected = SECRETS[case]
    monkeypatch.setenv("HELD", "value-of-a-secret")
    async with opened(tmp_path, settings) as rt:
        assert await told(rt, capability, inputs) == expected
        assert not rt.secrets.redactor.is_active


async def test_nobody_is_asked_to_approve_what_is_known_to_fail(tmp_path: Path) -> None:
    async with opened(tmp_path, "", ASKS) as rt:
        run = await rt.call("net.http.get", {"url": "http://127.0.0.1:80/"})
    assert code(run) == "EGRESS_DENIED"
