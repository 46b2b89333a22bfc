"""Five hundred secrets through every capability that takes any, and through handlers that show theirs: none is found anywhere.

Searched are every file of the workspace and of the state directory, every cell of the ledger's tables (where pages cut texts in
two), everything that came back, was told, logged, planned, asked, replayed and snapshotted, and what a killed process left. The
forms that are looked for are made here, apart from those that the product hides.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import random
import string
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import apsw
import pytest
import re2

from assent import Runtime
from assent.errors import AssentError, InputError, Json
from assent.failpoints import VARIABLE
from assent.invocation import Handler, LocalContext, NoEffectError
from assent.journal import leaves_at_once
from assent.spec import create_read_capability, create_write_capability
from assent.spec.capability import CapabilitySpec
from assent.spec.events.kinds import SecretAccessed
from assent.spec.masking import places
from assent.spec.secret_text import REFERENCE_FORMAT, TEXT_FORMAT
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import thaw
from assent.versions.samples import samples
from tests.support.nursery import Nursery
from tests.support.web import Asked, Reply, Site, serving

COUNT: Final = 500
TOGETHER: Final = 5
"""Secrets that one call is given."""

_AWKWARD: Final = string.ascii_letters + string.digits + "\"'\\/<>&%+=:;?#@!$ ,{}[]|~`^*()_-." + "éß☃"
_PLAIN: Final = string.ascii_letters + string.digits + "\"'\\/<>&%+=:;?#@!$,{}[]|~`^*()_-."


def values() -> dict[str, str]:
    """Every secret by its name. Every third could stand in a header, every tenth has several lines."""
    made = random.Random(20261121)
    found: dict[str, str] = {}
    for number in range(COUNT):
        letters = _PLAIN if number % 3 == 0 else _AWKWARD
        text = "".join(made.choice(letters) for _ in range(made.randint(16, 48)))
        value = f"v{text}{number:03d}"
        found[f"team/s{number:03d}"] = f"{value[:14]}\n{value[14:]}" if number % 10 == 7 else value
    return found


SECRETS: Final = values()


def forms(value: str) -> Iterator[str]:
    """The value as other programs would have written it."""
    data = value.encode()
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value))[3:-3]
    yield quote(value, safe="")
    yield quote_plus(value)
    yield repr(value)[1:-1]
    yield value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    yield data.hex()
    yield quote(json.dumps(value)[1:-1], safe="")
    for once in (json.dumps(value)[1:-1], quote(value, safe="")):
        # Quoted and encoded: what the value alone decides of it, where nothing stands before it.
        yield base64.b64encode(once.encode()).decode()[: 4 * (len(once.encode()) // 3)]
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * before + data + b"\0" * 3).decode()
            yield whole[4 if before else 0 : 4 * ((before + len(data)) // 3)]


class Search:
    """Looks for every form of every value in whatever was kept or shown."""

    def __init__(self) -> None:
        options = re2.Options()
        options.max_mem = 256 << 20
        every = sorted({form.encode() for value in SECRETS.values() for form in forms(value)})
        self._patterns = [
            re2.compile(b"|".join(map(re2.escape, every[at : at + 1000])), options)
            for at in range(0, len(every), 1000)
        ]
        assert all(self.found_in(form) for value in [*SECRETS.values()][::100] for form in forms(value))

    def found_in(self, text: str | bytes) -> bool:
        data = text.encode(errors="replace") if isinstance(text, str) else text
        return any(pattern.search(data) is not None for pattern in self._patterns)

    def files(self, *folders: Path) -> list[str]:
        """Files that hold any, whole, and tables of databases cell by cell."""
        bad: list[str] = []
        for path in [one for folder in folders for one in folder.rglob("*") if one.is_file()]:
            if self.found_in(path.read_bytes()) or (path.suffix == ".db" and self.found_in(cells(path))):
                bad.append(str(path))
        return bad


def cells(path: Path) -> bytes:
    found: list[bytes] = []
    with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as database:
        # A virtual table is what its own tables hold, and may not let itself be read.
        plain = "select name from sqlite_schema where type = 'table' and sql not like 'create virtual%'"
        tables = [row[0] for row in database.execute(plain)]
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):
                found += [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
    return b"\n".join(found)


@pytest.fixture(scope="module")
def search() -> Search:
    return Search()


def echo(asked: Asked) -> Reply:
    """A service that sends back everything that it was sent, in several forms and places."""
    said = [asked.path, json.dumps(dict(asked.headers)), asked.body.decode(errors="replace")]
    body = {
        "path": asked.path,
        "headers": dict(asked.headers),
        "body": said[2],
        "encoded": base64.b64encode("|".join(said).encode()).decode(),
        "hex": asked.body.hex(),
        "quoted": quote(said[2]),
    }
    headers = [("content-type", "application/json"), ("x-echo", quote(said[2])[:500])]
    credentials = asked.headers.get("authorization", "")
    if credentials.isascii() and credentials.isprintable():
        headers.append(("x-credentials", credentials))
    return Reply(503 if "fail" in asked.path else 200, headers, json.dumps(body).encode())


def takes_secrets(spec: CapabilitySpec) -> bool:
    """Whether any of a capability's parameters may refer to one."""
    text = canonical_json(thaw(spec.parameters)).decode()
    return TEXT_FORMAT in text or REFERENCE_FORMAT in text


def inputs_of(spec: CapabilitySpec, names: list[str], site: Site, number: int) -> dict[str, Json]:
    """Valid inputs that refer to these secrets wherever the schema lets them; an area with rules of its own has a line here."""
    text = " ".join(f"secret://{{{name}}}" for name in names)
    if spec.id.startswith("net.http."):
        return _of_http(spec, names, text, site, number)
    schema: dict[str, Any] = thaw(spec.parameters)
    given: Any = next(iter(samples(schema, seed=b"secrets", count=1)))
    for place in places(given, schema, lambda part: part.get("format") in (TEXT_FORMAT, REFERENCE_FORMAT)):
        at = given
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = f"secret://{names[0]}"
    assert isinstance(given, dict)
    return given


def _of_http(spec: CapabilitySpec, names: list[str], text: str, site: Site, number: int) -> dict[str, Json]:
    given: dict[str, Json] = {
        "url": site.url(f"/{'fail' if number % 4 == 3 else 'ok'}/{number}"),
        "headers": {
            "authorization": f"Bearer secret://{{{names[0]}}}",
            "x-api-key": f"secret://{{{names[1]}}}",
        },
        "query": {"q": f"secret://{{{names[2]}}}"},
    }
    properties: Any = spec.parameters["properties"]
    if "json" in properties:
        given["json"] = {"deep": [text, 1]}
    elif "body" in properties:
        given["body"] = text
    if spec.id.endswith("download"):
        given["path"] = f"downloaded-{number}"
    if spec.id.endswith("_compensated"):
        given["compensation"] = {
            "url": site.url(f"/undo/{number}"),
            "headers": {"x-key": f"secret://{{{names[3]}}}"},
        }
    return given


class Told:
    """Everything that anybody was shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, what: object) -> None:
        self.texts.append(
            what if isinstance(what, str) else json.dumps(what, ensure_ascii=False, default=repr)
        )


async def leak(context: LocalContext, parameters: dict[str, Any]) -> Any:
    """A handler that shows what it was given in every way that it has."""
    shown = await context.reveal(parameters["text"])
    context.logger.error("using %s", shown, extra={"said": shown})
    context.progress(1, 2, f"with {shown}")
    context.meta["said"] = shown
    how = parameters["how"]
    if how == "fails":
        raise RuntimeError(f"refused {shown!r} and {base64.b64encode(shown.encode()).decode()}")
    if how == "refuses":
        raise NoEffectError(
            "X_REFUSED", f"no {shown}", hint=shown, details={"said": [shown, {"deep": shown}]}
        )
    if how == "lasts":
        await asyncio.Event().wait()
    return {
        "said": shown,
        "json": json.dumps({"twice": json.dumps(shown)}),
        "base64": base64.b64encode(f"user:{shown}".encode()).decode(),
        "url": f"https://host/?q={quote(shown)}&r={quote_plus(shown)}",
        "hex": shown.encode().hex(),
        "twice": [
            base64.b64encode(one.encode()).decode()
            for one in (json.dumps(shown)[1:-1], quote(shown, safe=""))
        ],
        "lines": base64.encodebytes(f"key: {shown}".encode() * 3).decode(),
        shown: [shown],
        "snapshot": context.snapshot().dump().decode(),
    }


def _complain(shown: str) -> None:
    raise ValueError(shown)


def leak_in_thread(context: LocalContext, parameters: dict[str, Any]) -> Any:
    """The same in a thread."""
    shown = context.reveal_in_thread(parameters["text"])
    context.logger.warning(f"using {shown}")  # noqa: G004 - as careless code has it
    try:
        _complain(shown)
    except ValueError:
        context.logger.exception("could not use it")
    return {"said": shown, "state": context.redact(shown)}


PROBE: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "format": TEXT_FORMAT}, "how": {"type": "string"}},
    "required": ["text", "how"],
}
POLICY: Final = """\
version: 1
default: ALLOW
rules:
  - id: ask
    when: {capability: probe.asked}
    decision: REQUIRE_APPROVAL
"""


def workspace(folder: Path, site: Site) -> Path:
    """A workspace whose configuration grants everything to everybody."""
    place = folder / "workspace"
    place.mkdir()
    (place / "policy.yaml").write_text(POLICY)
    tables = "".join(f'[secrets."{name}"]\ncapabilities = ["*"]\n' for name in SECRETS)
    (place / "assent.toml").write_text(
        'policy = "policy.yaml"\n[limits]\ngrace = "1s"\n'
        '[net.rules.service]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\n'
        f"ports = [{site.port}]\n"
        'methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]\nprivate = ["127.0.0.1/32"]\n' + tables
    )
    return place


def variables(folder: Path) -> dict[str, str]:
    """The environment that keeps the secrets."""
    kept = {f"ASSENT_SECRET_{name.upper().replace('/', '_')}": value for name, value in SECRETS.items()}
    return {**kept, "HOME": str(folder), "XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": str(folder / "config")}


async def test_five_hundred_secrets_leave_no_trace(
    tmp_path: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(name, value)
    told, log = Told(), io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(handler)
    try:
        with serving(echo) as site:
            place = workspace(tmp_path, site)
            await _all_of_them(place, tmp_path / "state", site, told)
    finally:
        root.removeHandler(handler)
    assert not any(map(search.found_in, told.texts)), [
        one[:2000] for one in told.texts if search.found_in(one)
    ][:1]
    assert not search.found_in(log.getvalue()), [
        one for one in log.getvalue().splitlines() if search.found_in(one)
    ][:3]
    # Nor in the workspace, where what was downloaded would be.
    assert search.files(place, tmp_path / "state", tmp_path / "config") == []


async def _all_of_them(place: Path, state: Path, site: Site, told: Told) -> None:
    names = iter([*SECRETS])
    used = 0

    def some() -> list[str]:
        nonlocal used
        found = [*islice(names, TOGETHER)]
        used += len(found)
        return found

    anything: dict[str, Json] = {"type": "object"}
    async with Runtime.open(place, state=state) as rt:
        rt.register(create_read_capability("probe.async", parameters=PROBE, returns=anything), leak)
        rt.register(create_read_capability("probe.sync", parameters=PROBE, returns=anything), leak_in_thread)
        rt.register(create_read_capability("probe.asked", parameters=PROBE, returns=anything), leak)
        rt.register(
            create_read_capability("probe.short", parameters=PROBE, returns=anything, timeout=0.05), leak
        )
        rt.register(
            create_write_capability(
                "probe.undone", parameters=PROBE, returns=anything, reversible=True, strategy="takes it back"
            ),
            Handler(leak, compensate=leak),
        )
        takers = [
            spec for spec in rt.registry.list() if takes_secrets(spec) and not spec.id.startswith("probe.")
        ]
        assert takers
        runs: list[str] = []

        async def call(capability: str, given: dict[str, Json]) -> Any:
            try:
                result = await rt.call(capability, given)
            except AssentError as error:
                told(error.to_dict())
                return None
            told(result.to_json())
            runs.append(str(result.run_id))
            return result

        with rt.lifecycle.subscribe(capacity=10_000) as heard:
            for number, spec in enumerate(takers):
                batch = some()
                await call(spec.id, inputs_of(spec, batch, site, number))
                await call("probe.async", {"text": _referring(batch), "how": "returns"})
            for how in ("returns", "fails", "refuses"):
                for capability in ("probe.async", "probe.sync", "probe.undone"):
                    await call(capability, {"text": _referring(some()), "how": how})
            await call("probe.short", {"text": _referring(some()), "how": "lasts"})
            undone = await call("probe.undone", {"text": _referring(some()), "how": "returns"})
            told((await rt.undo(undone.run_id)).to_json())
            asked = await call("probe.asked", {"text": _referring(some()), "how": "returns"})
            assert asked.status == "waiting"
            told((await rt.approve(asked.run_id)).to_json())
            told((await rt.plan(_workflow(some()))).to_json())
            # Whatever is left goes through the real capabilities again, in turn, or through the careless handler.
            number = len(takers)
            while batch := some():
                spec = takers[number % len(takers)]
                if len(batch) == TOGETHER:
                    await call(spec.id, inputs_of(spec, batch, site, number))
                await call("probe.async", {"text": _referring(batch), "how": "returns"})
                number += 1
            for event in heard.take():
                told(repr(event))
        assert used == COUNT
        for run in runs[:: max(1, len(runs) // 10)]:
            told((await rt.show(run)).to_json())
            told((await rt.snapshot(run)).dump().decode())
            told((await rt.replay(run)).to_json())
        told(rt.metrics.snapshot())
        # What was used was really used, and stands in the ledger by its name.
        journal = rt._core.ready.journal
        asked_for = {
            leaf.event.secret for leaf in leaves_at_once(journal) if isinstance(leaf.event, SecretAccessed)
        }
        assert len(asked_for) == COUNT - TOGETHER, "all but those that were only planned with"
        with pytest.raises(InputError, match="hold the value of the secret"):
            await rt.call("probe.async", {"text": next(iter(SECRETS.values())), "how": "returns"})


def _referring(names: list[str]) -> str:
    return " and ".join(f"secret://{{{name}}}" for name in names)


def _workflow(names: list[str]) -> Any:
    steps = [
        {"name": "a", "capability": "probe.async", "inputs": {"text": _referring(names), "how": "returns"}},
        {
            "name": "b",
            "capability": "probe.asked",
            "inputs": {"text": "plain", "how": "${{ steps.a.output.said }}"},
        },
    ]
    return {"name": "w", "version": "1.0.0", "steps": steps}


@pytest.mark.parametrize("point", ["effect.after:1", "commit.before:3"])
def test_a_killed_process_and_its_successor_leave_no_trace(
    tmp_path: Path, search: Search, nursery: Nursery, point: str
) -> None:
    """The command line, its output, the logs and the state, killed at three points and resumed."""
    names = [*SECRETS][:TOGETHER]
    environment = {"PATH": os.environ["PATH"], **variables(tmp_path)}
    with serving(echo) as site:
        place = workspace(tmp_path, site)
        given = json.dumps(
            {
                "url": site.url("/ok"),
                "headers": {"authorization": f"Bearer secret://{{{names[0]}}}"},
                "query": {"q": f"secret://{{{names[1]}}}"},
                "json": {"a": [f"secret://{{{name}}}" for name in names]},
            }
        )
        words = [f"{key}:={json.dumps(value)}" for key, value in json.loads(given).items()]
        shown = b""
        for command, more in (
            (["call", "net.http.post", *words], {VARIABLE: point}),
            (["resume"], {}),
        ):
            places = ("--workspace", str(place), "--state", str(tmp_path / "state"))
            ended = nursery.run(*command, *places, cwd=tmp_path, env={**environment, **more})
            shown += (ended.out + ended.err).encode()
    assert not search.found_in(shown), shown
    assert search.files(tmp_path / "state", tmp_path / "config") == []
