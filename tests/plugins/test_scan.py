"""A source is understood without being run: what it declares, what it takes and gives, and what it reaches for."""

from __future__ import annotations

from textwrap import dedent

import pytest

from assent.errors import InputError
from assent.plugins import Declaration, Manifest, SourceKind, scan
from assent.plugins.manifest import Capability, Use, UseKind
from assent.plugins.scan._types import ANY, TEXT_MAX


def read(source: str, **more: str) -> Manifest:
    """The manifest of a package `notes` with this `__init__.py` and more modules beside it."""
    files = {"notes/__init__.py": dedent(source).encode()}
    files |= {f"notes/{name}.py": dedent(text).encode() for name, text in more.items()}
    return scan(files, Declaration(name="notes"), SourceKind.PACKAGE)


def only(source: str, **more: str) -> Capability:
    (capability,) = read(source, **more).capabilities
    return capability


def uses(source: str, **more: str) -> dict[str, Use]:
    return {use.name: use for use in read(source, **more).uses}


# -- capabilities ------------------------------------------------------------------------------------------------------

DECORATED = '''
from typing import Optional
import assent as a
from assent import capability as describe, LocalContext
from assent.spec.capability import OperationType as Kind, RiskLevel
from notes.models import Put

BASE = "notes"
LEVEL = RiskLevel.MEDIUM

@describe(f"{BASE}.put", operation=Kind.WRITE, risk=LEVEL, reversible=True, labels={"b", "a"}, timeout=5 * 6, secrets=["tok"])
async def put(context: LocalContext, key: str, text: Optional[str] = None) -> Put:
    """Put
    a note.

    More.
    """

@put.prepare
async def before(context, key): ...

@put.compensate
async def restore(context, key): ...

@put.before(timeout_s=3, retries=2)
async def guard(context): ...
'''
MODELS = '''
from typing import Annotated, Literal
from pydantic import BaseModel, Field

Count = Annotated[int, Field(ge=0, description="how many")]

class Base(BaseModel):
    id: str

class Put(Base):
    """A put."""
    count: Count = 1
    kind: "Literal['a', 2] | None" = None
    more: list[int] = Field(default_factory=list)
'''


def test_a_decorated_function_is_a_capability_with_all_that_it_states_and_derives() -> None:
    found = only(DECORATED, models=MODELS)
    assert (found.id, found.version, found.operation, found.risk) == ("notes.put", "1.0.0", "WRITE", "MEDIUM")
    assert (found.reversible, found.compensation, found.idempotent) == (True, "restore_pre_image", False)
    assert (found.timeout, found.labels, found.secrets) == (30.0, ("a", "b"), ("tok",))
    assert (found.description, found.handler) == ("Put a note.", "put")
    assert found.parts == ("compensate", "execute", "prepare")
    assert (found.form, found.unknown, found.is_registered) == ("decorator", (), True)
    assert found.at == "notes/__init__.py:12"


def test_parameters_are_what_the_signature_names() -> None:
    shape = only(DECORATED, models=MODELS).parameters
    assert shape is not None
    assert shape.fields is not None
    assert [(f.name, f.type, f.json, f.required, f.default) for f in shape.fields] == [
        ("key", "str", ("string",), True, None),
        ("text", "str | None", ("null", "string"), False, "None"),
    ]


def test_a_result_has_the_fields_of_its_model_and_of_the_models_bases() -> None:
    shape = only(DECORATED, models=MODELS).returns
    assert shape is not None
    assert shape.fields is not None
    assert shape.type == "Put"
    assert [(f.name, f.type, f.json, f.required, f.description) for f in shape.fields] == [
        ("id", "str", ("string",), True, ""),
        ("count", "int", ("integer",), False, "how many"),
        ("kind", "Literal['a', 2] | None", ("integer", "null", "string"), False, ""),
        ("more", "list[int]", ("array",), False, ""),
    ]


def test_a_field_of_two_bases_is_that_of_the_first_and_goes_by_the_name_that_is_validated() -> None:
    models = """
    from pydantic import BaseModel, Field
    class First(BaseModel):
        size: int
    class Second(BaseModel):
        size: str
        place: str = Field(alias="at", validation_alias="where")
    class Put(First, Second): ...
    """
    shape = only(DECORATED, models=models).returns
    assert shape is not None
    assert shape.fields is not None
    assert [(f.name, f.type) for f in shape.fields] == [("size", "int"), ("where", "str")]


def test_a_model_may_be_called_like_the_one_that_it_extends() -> None:
    models = """
    from notes import first
    class Put(first.Put):
        more: int
    """
    first = """
    from pydantic import BaseModel
    class Put(BaseModel):
        size: int
    """
    found = read(DECORATED, models=models, first=first)
    assert [(one.name, [f.name for f in one.fields], one.is_complete) for one in found.models] == [
        ("notes.first:Put", ["size"], True),
        ("notes.models:Put", ["size", "more"], True),
    ]


def test_a_field_for_secrets_takes_text() -> None:
    found = only("""
    from assent import capability
    from assent.spec.types import SecretJson, SecretText
    @capability("notes.send", operation="WRITE", risk="HIGH")
    def send(header: SecretText, body: SecretJson): ...
    """)
    assert found.parameters is not None
    assert found.parameters.fields is not None
    assert [f.json for f in found.parameters.fields] == [("string",), ANY]


HUGE = "0x" + "f" * 5000


@pytest.mark.parametrize(
    "parameters",
    [
        f"a: int = {HUGE}",
        f"a: Literal[{HUGE}] = 1",
        f"a: {HUGE} = 1",
        f"a: int = Field(default={HUGE})",
    ],
)
def test_a_number_of_more_digits_than_python_writes_is_no_end_of_reading(parameters: str) -> None:
    found = only(
        "from typing import Literal\nfrom pydantic import Field\nfrom assent import capability\n"
        f"@capability('notes.put', operation='READ', risk='LOW')\ndef put({parameters}): ..."
    )
    assert found.parameters is not None
    assert found.parameters.fields is not None
    assert [(f.name, f.required) for f in found.parameters.fields] == [("a", False)]


def test_the_fields_of_a_written_schema_are_no_longer_than_is_worth_reading() -> None:
    found = only(
        "from assent import capability\n"
        "@capability('notes.put', operation='READ', risk='LOW', parameters={'type': 'object', 'properties': "
        f"{{'a': {{'type': 'string', 'default': '{'x' * 5000}'}}, 'b': {{'default': {HUGE}}}}}}})\n"
        "def put(whole): ..."
    )
    assert found.parameters is not None
    assert all(len(f.default or "") <= TEXT_MAX for f in found.parameters.fields or ())


def test_a_hook_has_its_level_and_limits() -> None:
    (hook,) = read(DECORATED, models=MODELS).hooks
    assert (hook.kind, hook.level, hook.id, hook.capability) == (
        "before",
        "capability",
        "notes.guard",
        "notes.put",
    )
    assert (hook.timeout, hook.retries, hook.unknown) == (3.0, 2, ())


def test_what_only_running_would_tell_is_unknown_and_never_guessed() -> None:
    found = only("""
        import time
        from assent import capability
        LIMIT = time.monotonic()
        @capability("x.y" + input(), operation="READ", risk=pick(), timeout=LIMIT)
        def f(a): ...
    """)
    assert (found.id, found.risk, found.timeout) == (None, None, None)
    assert found.unknown == ("id", "risk", "timeout")


def test_a_name_that_is_bound_twice_has_no_known_value() -> None:
    found = only("""
        from assent import capability
        RISK = "LOW"
        if x:
            RISK = "HIGH"
        @capability("x.y", operation="READ", risk=RISK)
        def f(): ...
    """)
    assert found.unknown == ("risk",)


SPECS = """
from assent.spec.capability import (
    CapabilitySpec, Compensation, Risk, RiskLevel, SideEffects, create_delete_capability, create_read_capability,
    create_write_capability,
)
from assent.invocation import Handler
from pydantic import BaseModel

class Takes(BaseModel):
    path: str

def run(context, parameters): ...
def back(context, parameters): ...

class Both:
    def execute(self, context, parameters): ...
    def preview(self, context, parameters): ...

SPEC = CapabilitySpec(
    id="a.spec", operation_type="EXECUTE", parameters=Takes, side_effects=SideEffects(reversible=True, scope="disk"),
    compensation=Compensation(supported=True, strategy="back"), risk=Risk(level=RiskLevel.HIGH, requires_approval=True),
    returns={"type": "object", "properties": {"a": {"type": "integer", "default": 1}, "b": {}}, "required": ["b"]},
)

def install(rt):
    rt.register(SPEC, Handler(run, compensate=back, prepare=None))
    rt.register(create_read_capability("a.read", "Read."), run)
    rt.register(create_write_capability("a.write", reversible=False, parameters=Takes.model_json_schema()), Both())
    rt.register(create_delete_capability("a.delete"), unknown_thing)
    create_read_capability("a.unused")
"""


def test_each_form_derives_what_it_would_register() -> None:
    found = {one.id: one for one in read(SPECS).capabilities}
    spec, reading = found["a.spec"], found["a.read"]
    assert (spec.operation, spec.risk, spec.requires_approval) == ("EXECUTE", "HIGH", True)
    assert (spec.scope, spec.compensation, spec.parts) == ("disk", "back", ("compensate", "execute"))
    assert spec.returns is not None
    assert spec.returns.fields is not None
    assert [(f.name, f.json, f.required, f.default) for f in spec.returns.fields] == [
        ("a", ("integer",), False, "1"),
        ("b", (), True, None),
    ]
    assert (reading.operation, reading.risk, reading.idempotent) == ("READ", "LOW", True)
    assert (reading.description, reading.parts, reading.handler) == ("Read.", ("execute",), "run")
    write = found["a.write"]
    assert (write.risk, write.reversible, write.parts) == ("HIGH", False, ("execute", "preview"))
    assert write.parameters is not None
    assert write.parameters.fields is not None
    assert [field.name for field in write.parameters.fields] == ["path"]
    delete = found["a.delete"]
    assert (delete.risk, delete.requires_approval, delete.compensation) == ("HIGH", True, "recreate")
    assert delete.unknown == ("parts",)
    assert [one.id for one in found.values() if not one.is_registered] == ["a.unused"]


# -- uses --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "kind"),
    [
        (
            "import socket\ndef f(): socket.create_connection(('a.example', 1))",
            "socket.create_connection",
            "network",
        ),
        ("import socket as s\ndef f(): return s.socket()", "socket.socket", "network"),
        (
            "from urllib.request import urlopen as get\ndef f(): get('https://a.example/x')",
            "urllib.request.urlopen",
            "network",
        ),
        (
            "import httpx\nasync def f():\n  async with httpx.AsyncClient() as c: await c.get('x')",
            "httpx.AsyncClient",
            "network",
        ),
        (
            "import asyncio\nasync def f(): await asyncio.open_connection('a', 1)",
            "asyncio.open_connection",
            "network",
        ),
        ("async def f(loop): await loop.create_connection(p)", "?.create_connection", "network"),
        (
            "async def f(context): await context.http.request('GET', 'https://a.example')",
            "context.http",
            "network",
        ),
        ("def f(c): c.http.request_in_thread('GET', url)", "context.http", "network"),
        ("def f(context):\n  send = context.http.request\n  return send", "context.http", "network"),
        ("def f(ctx):\n  web = ctx.http\n  return web.request('GET', x)", "context.http", "network"),
        ("import os\ndef f(): os.system('ls')", "os.system", "process"),
        ("from os import popen as p\ndef f(): p('ls')", "os.popen", "process"),
        ("import subprocess as sp\ndef f(): sp.run(['git', 'x'])", "subprocess.run", "process"),
        ("import os\nx = os\ny = x\ndef f(): y.execv('a', [])", "os.execv", "process"),
        ("import multiprocessing\ndef f(): multiprocessing.Process()", "multiprocessing.Process", "process"),
        ("from os import *\ndef f(): system('ls')", "os.system", "process"),
        ("def f(): open('/etc/hosts')", "builtins.open", "files"),
        ("from pathlib import Path\ndef f(): Path('x').read_text()", "pathlib.Path", "files"),
        (
            "from pathlib import Path\ndef f(self): self.root.write_text('x')",
            "pathlib.Path.write_text",
            "files",
        ),
        ("import shutil\ndef f(): shutil.rmtree('x')", "shutil.rmtree", "files"),
        ("import os\ndef f(): return os.environ['HOME']", "os.environ", "environment"),
        ("import os\ndef f(): return os.environ.get('HOME')", "os.environ", "environment"),
        ("from os import getenv\ndef f(): return getenv('HOME')", "os.getenv", "environment"),
        ("def f(): exec('x')", "builtins.exec", "dynamic"),
        ("import pickle\ndef f(d): pickle.loads(d)", "pickle.loads", "dynamic"),
        ("def f(): return ().__class__.__base__.__subclasses__()", "?.__subclasses__", "dynamic"),
        ("import ctypes\ndef f(): ctypes.CDLL('x')", "ctypes.CDLL", "native"),
        ("def f(): print.__self__.x", "?.__self__", "dynamic"),
        ("import os\nclass A:\n  run = os.system", "os.system", "process"),
        ("class A:\n  f = open", "builtins.open", "files"),
        ("import os\ndef f(x: os.system('ls')): ...", "os.system", "process"),
        ("import os\ndef f(): return f'{os.system(1)}'", "os.system", "process"),
        ("import os\ndef f(): return [os.system][0]('ls')", "os.system", "process"),
        ("import os\ndef f(x=os.popen): ...", "os.popen", "process"),
        ("import os\ndef f():\n  global g\n  g = os\ndef h(): g.system('ls')", "os.system", "process"),
        ("import os\nf = lambda: os.system('ls')", "os.system", "process"),
        ("import os\nasync def f():\n  match 1:\n    case x: os.system(x)", "os.system", "process"),
        ("import os\n@os.system\ndef f(): ...", "os.system", "process"),
        ("import json\njson.dumps = None", "json.dumps", "patch"),
        ("import json\ndef f(): setattr(json, 'dumps', None)", "json.dumps", "patch"),
    ],
)
def test_a_reference_is_known_by_its_real_name(source: str, name: str, kind: str) -> None:
    found = uses(source)
    assert name in found, sorted(found)
    assert found[name].kind == kind
    assert not found[name].is_hidden


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import os\ndef f(): getattr(os, 'sys' + 'tem')('ls')", "os.system"),
        ("import os\ndef f():\n  n = 'metsys'[::-1]\n  getattr(os, n)('ls')", "os.system"),
        ("def f(): __import__('os').system('ls')", "os.system"),
        ("import importlib as i\ndef f(): i.import_module('sub' + 'process').run(['ls'])", "subprocess.run"),
        (
            "import importlib\nm = importlib.import_module('socket')\ndef f(): m.create_server(1)",
            "socket.create_server",
        ),
        ("import sys\ndef f(): sys.modules['os'].system('ls')", "os.system"),
        ("import os\ndef f(): vars(os)['system']('ls')", "os.system"),
        ("import os\ndef f(): os.__dict__['system']('ls')", "os.system"),
        ("import logging\ndef f(): logging.os.system('ls')", "os.system"),
        ("import base64\ndef f(): exec(base64.b64decode(b'cHJpbnQ='))", "builtins.exec"),
        ("def f(x): __import__(x)", "builtins.__import__"),
        ("import os\ndef f(x): getattr(os, x)", "os.?"),
        ("import os\ndef f(): g(os)", "os"),
        ("def f(x): globals()[x]()", "notes.?"),
        ("def f(): [*map(__import__, ['os'])][0].system('x')", "builtins.__import__"),
        ("import os\ndef f(): os.__getattribute__('system')('ls')", "os.?"),
        ("import os\ndef f(x): os.__dict__.get(x)('ls')", "os.?"),
        ("import os\ndef f():\n  for m in (os,): m.system('ls')", "os"),
        ("import os.path as p\ndef f(): p.os.system('ls')", "os.system"),
        ("def f(): getattr(__builtins__, 'ev' + 'al')('1')", "builtins.eval"),
        ("def f(): (m := __import__('os')) and m.system('ls')", "os.system"),
        ("def f(x): (__import__('os') if x else None).system('ls')", "os.system"),
        (
            "from functools import partial\ndef f(): partial(__import__, 'os')().system('ls')",
            "builtins.__import__",
        ),
        ("def f(): __builtins__['eval']('1')", "builtins.eval"),
        ("import operator, os\ndef f(): operator.attrgetter('system')(os)", "operator.attrgetter"),
        (
            "import bytes_ as b\nD = bytes.fromhex('6f73').decode()\ndef f(): __import__(D).system('ls')",
            "os.system",
        ),
    ],
)
def test_a_call_that_goes_out_of_its_way_is_found_and_called_hidden(source: str, name: str) -> None:
    found = uses(source)
    assert name in found, sorted(found)
    assert found[name].is_hidden


def test_what_a_module_re_exports_keeps_its_real_name() -> None:
    found = uses("from .tools import go\ndef f(): go(['ls'])", tools="from subprocess import run\ngo = run")
    assert "subprocess.run" in found
    found = uses("from . import tools\ndef f(): tools.os.system('x')", tools="import os")
    assert found["os.system"].at == "notes/__init__.py:2"


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import urlsplit\ndef f(x): urlsplit(x)",
        "from http import HTTPStatus\nX = HTTPStatus.OK",
        "import os.path\ndef f(x): os.path.join(x, 'a')",
        "from pathlib import PurePath\ndef f(x): PurePath(x).name",
        "async def f(context, x): context.world.files.write(x, []); x.replace('a', 'b')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import socket\n  X = socket.socket",
        "def open(x): ...\ndef f(): open('x')",
        "def f(open, exec): open('x'); exec('x')",
        "import json\nclass A:\n  def dumps(self): self.x = 1",
    ],
)
def test_harmless_code_is_left_alone(source: str) -> None:
    assert read(source).uses == ()


def test_a_use_names_its_target_where_it_can_be_known() -> None:
    found = uses("""
        import os, subprocess, httpx, socket
        HOST = "api.example.com"
        def f(x):
            subprocess.run(["git", x])
            httpx.post(f"https://{HOST}:8443/v1")
            socket.create_connection((HOST, 1))
            open("/etc/" + "hosts")
            os.getenv("HOME")
            os.system(x)
    """)
    targets = {name: use.target for name, use in found.items()}
    assert targets == {
        "subprocess.run": "git",
        "httpx.post": "api.example.com",
        "socket.create_connection": "api.example.com",
        "builtins.open": "/etc/hosts",
        "os.getenv": "HOME",
        "os.system": None,
    }


def test_what_runs_on_import_is_told_apart_also_through_functions() -> None:
    found = read(
        """
        import os, subprocess
        from .tools import start
        def register(function): return function
        def quiet(): os.system("never")
        start()
        @register
        def f(): ...
        KEPT = subprocess.run
        if __name__ == "__main__":
            os.popen("x")
        """,
        tools="import socket\ndef start(): begin()\ndef begin(): socket.create_server(1)\n",
    )
    at_import = {use.name: use.is_import_time for use in found.uses}
    assert at_import == {
        "os.system": False,
        "socket.create_server": True,
        "subprocess.run": False,
        "os.popen": False,
    }
    assert found.modules[0].runs == ("notes.register", "notes.tools.start") or found.modules[0].runs == (
        "notes.tools.start",
    )


def test_a_capability_knows_what_its_parts_can_reach() -> None:
    found = only("""
        import subprocess, httpx
        from assent import capability
        class Git:
            def __init__(self): self.run()
            def run(self): subprocess.run(["git"])
        @capability("x.y", operation="READ", risk="LOW")
        def f(): Git()
        def other(): httpx.get("x")
    """)
    assert found.reaches == (UseKind.PROCESS,)


def test_secrets_and_modules_of_the_application_are_found() -> None:
    found = read(
        """
        from .db import Database
        REFERENCE = "secret://mail"
        def f(context, x):
            "secret://no: a docstring"
            context.secret("token")
            context.secret(x)
            context.app.get(Database)
            context.app.get("key")
        def setup(app): app.register(Database())
    """,
        db="class Database: ...",
    )
    assert [secret.name for secret in found.secrets] == [None, "mail", "token"]
    assert [(one.name, one.is_registered) for one in found.app_modules] == [
        ("notes.db.Database", False),
        ("notes.db.Database", True),
    ]


def test_imports_say_where_a_module_comes_from() -> None:
    found = read("import json, httpx, assent\nfrom . import db\n__import__('csv')", db="")
    assert {(one.name, one.origin, one.is_dynamic) for one in found.modules[0].imports} == {
        ("assent", "assent", False),
        ("csv", "stdlib", True),
        ("httpx", "third_party", False),
        ("json", "stdlib", False),
        ("notes", "own", False),
    }


# -- sources that can't be read ----------------------------------------------------------------------------------------


def fault(data: bytes) -> InputError:
    with pytest.raises(InputError) as raised:
        scan({"notes.py": data}, Declaration(name="notes"), SourceKind.FILE)
    assert raised.value.code == "PLUGIN_SOURCE_INVALID"
    return raised.value


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"def f(:", "notes.py:1:7"),
        (b"x = 1\nx = \xff", "notes.py:2:1"),
        (b"x = 1\nx = '\0'", "notes.py:2:1"),
        (b"# coding: latin-1\nx = '\xe4'", "notes.py:1:1"),
        (b"# coding: utf-7\n", "notes.py:1:1"),
        (b"# coding: nonsense\n", "notes.py:1:1"),
        (b"x = " + b"(" * 500 + b")" * 500, None),
        (b"x = " + b"-" * 100_000 + b"1", "notes.py"),
        (b"x = " + b"+".join([b"1"] * 50_000), "notes.py"),
        (b"x = a" + b".b" * 100_000, "notes.py"),
        (b"#" * (1 << 20) + b"\n", "notes.py"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_error(data: bytes, place: str | None) -> None:
    error = fault(data)
    assert error.path is not None
    assert error.path == place or place is None


def test_all_files_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(InputError) as raised:
        scan({"a.py": b"(", "b.py": b"\xff", "c.py": b""}, Declaration(name="x"), SourceKind.FOLDER)
    assert raised.value.path == "a.py:1:1"
    assert len(raised.value.details["faults"]) == 1  # type: ignore[arg-type]  # a list of objects


@pytest.mark.parametrize(
    "source",
    [
        "x = 'a' * 10**9",
        "x = 2 ** 10**9",
        "x = 1 << 10**9",
        "x = '%1000000000d' % 1",
        "x = f'{1:1000000000}'",
        "x = '{:1000000000}'.format(1)",
        "x = bytes(10**10)",
        "a = b\nb = a\nx = a",
        "x = [" + "0," * 100_000 + "]",
        "x = ''.join(['a' * 60000, 'b' * 60000])",
        "x = 10**100 * 10**100",
        "x = str(1)[:10**9] + [][5]",
    ],
)
def test_a_constant_that_would_fill_the_memory_is_unknown(source: str) -> None:
    found = only(
        f"from assent import capability\n{source}\n@capability(x, operation='READ', risk='LOW')\ndef f(): ..."
    )
    assert found.unknown == ("id",)


def test_deep_but_readable_code_is_read() -> None:
    read("x = " + "+".join(["1"] * 500))
    read("x = a" + ".b" * 500 + "()")


def test_kinds_of_files_are_told_apart() -> None:
    files = {"a.so": b"", "b.pyc": b"", "c.txt": b"", "d.py": b"", "e.so.1": b"", "F.PYD": b""}
    found = scan(files, Declaration(name="x"), SourceKind.FOLDER)
    assert [file.kind for file in found.files] == ["native", "native", "bytecode", "data", "python", "native"]


def doubled(line: str, last: str, *, of: int = 60) -> str:
    """Definitions each of which names the next one twice."""
    return "\n".join([*(line.format(i=i, j=i + 1) for i in range(of)), last.format(i=of)])


@pytest.mark.parametrize(
    "source",
    [
        doubled("x{i} = x{j} if c else x{j}", "x{i} = os") + "\nx0.system('ls')",
        doubled("x{i} = x{j} if c else x{j}", "x{i} = x0") + "\nx0.system('ls')",
        doubled("x{i} = x{j} + x{j}", "x{i} = 'a'") + "\ngetattr(os, x0)",
        doubled("T{i} = T{j} | list[T{j}]", "T{i} = int") + "\nclass M(BaseModel):\n  a: T0",
        doubled(
            "class A{i}(A{j}, B{j}): ...\nclass B{i}(A{j}, B{j}): ...", "class A{i}: ...\nclass B{i}: ..."
        ),
        doubled("class A{i}(A{j}): ...", "class A{i}(A0): ..."),
    ],
)
def test_names_that_tangle_cost_a_bounded_time(source: str) -> None:
    """Either they can be followed, or the source is refused: it never takes longer than anybody can wait."""
    head = "import os\nfrom pydantic import BaseModel\n"
    try:
        read(head + source)
    except InputError as error:
        assert error.code == "PLUGIN_SOURCE_INVALID"  # noqa: PT017  # both ends are right; what is not is to hang


def test_modules_that_take_everything_from_each_other_are_followed() -> None:
    names = [f"m{i}" for i in range(6)]
    text = "\n".join(f"from .{name} import *" for name in names)
    found = read(
        "from .m0 import *\ndef f(): system('x'); nothing()",
        **dict.fromkeys(names[:5], text),
        m5=text + "\nfrom os import *",
    )
    assert "os.system" in {use.name for use in found.uses}
