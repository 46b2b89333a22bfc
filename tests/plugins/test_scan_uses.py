"""What a source reaches for is understood without running it: by its real name, however it is called."""

from __future__ import annotations

import pytest

from assent.plugins.manifest import UseKind
from tests.support.scanning import only, read, uses


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
