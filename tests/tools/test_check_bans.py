"""Clock, randomness, ids, environment and tasks are handed in: the check for it finds every way around."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_bans import Rules, check_source, load_rules, main

CAUGHT = {
    "import time": "time",
    "import time as clock": "time",
    "from time import monotonic": "time",
    "from time import sleep as rest": "time",
    "def late():\n    import time": "time",
    "import random": "random",
    "from random import Random": "random",
    "import secrets": "secrets",
    "from secrets import token_bytes": "secrets",
    "import uuid": "uuid",
    "from uuid import uuid4": "uuid",
    "import os\nos.environ['HOME']": "os.environ",
    "import os as system\nsystem.environ": "os.environ",
    "import os\nsystem = os\nsystem.environ": "os.environ",
    "from os import environ": "os.environ",
    "from os import environb as e": "os.environb",
    "from os import *": "os.*",
    "import os.path\nos.getenv('HOME')": "os.getenv",
    "from os import getenv": "os.getenv",
    "import os\nos.urandom(8)": "os.urandom",
    "import os\nos.getrandom(8)": "os.getrandom",
    "import os\ngetattr(os, 'environ')": "os.environ",
    "import os\nread: object = os.getenv": "os.getenv",
    "import datetime\ndatetime.datetime.now()": "datetime.datetime.now",
    "import datetime as dt\ndt.datetime.utcnow()": "datetime.datetime.utcnow",
    "from datetime import datetime\ndatetime.now(tz=None)": "datetime.datetime.now",
    "from datetime import datetime as D\nnow = D.now": "datetime.datetime.now",
    "from datetime import datetime\ndatetime.today()": "datetime.datetime.today",
    "from datetime import date\ndate.today()": "datetime.date.today",
    "import asyncio\nasyncio.create_task(f())": "asyncio.create_task",
    "from asyncio import create_task": "asyncio.create_task",
    "from asyncio.tasks import create_task": "asyncio.create_task",
    "from asyncio.taskgroups import TaskGroup": "asyncio.TaskGroup",
    "import asyncio\nasyncio.ensure_future(f())": "asyncio.ensure_future",
    "import asyncio\nasyncio.TaskGroup()": "asyncio.TaskGroup",
    "from asyncio import TaskGroup": "asyncio.TaskGroup",
    "import asyncio\nasyncio.get_running_loop().create_task(f())": "create_task",
    "def f(loop): loop.create_task(1)": "create_task",
    "def f(loop): getattr(loop, 'create_task')(1)": "create_task",
    "import importlib\nimportlib.import_module('time')": "time",
    "from importlib import import_module\nimport_module('random')": "random",
    "__import__('uuid')": "uuid",
    "import sys\nsys.modules['time'].sleep(1)": "time",
    "import time  # noqa: TID251": "time",
    "import msgspec\nmsgspec.convert(1, int)": "msgspec.convert",
    "from msgspec import convert": "msgspec.convert",
    "import msgspec\nmsgspec.json.decode(b'1')": "msgspec.json.decode",
    "from msgspec.json import Decoder": "msgspec.json.Decoder",
    "import msgspec\nmsgspec.msgpack.decode(b'1')": "msgspec.msgpack.decode",
    "from msgspec.msgpack import Decoder": "msgspec.msgpack.Decoder",
}

ALLOWED = [
    "from datetime import UTC, datetime, timedelta\ndatetime.fromisoformat('2026-01-01').replace(tzinfo=UTC)",
    "import os\nos.open('x', os.O_RDONLY)",
    "def f(clock): return clock.now()",
    "def f(spawn): return spawn.start(1)",
    "from assent.spec import random_free",
    "from . import time",
    "from .time import zone",
    "import timeit",
    "time = 3\ntime + 1",
    "'import time'",
    "import asyncio\nasyncio.Event()",
    "from importlib import import_module\nimport_module('assent.runtime')",
]


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules()


@pytest.mark.parametrize(("source", "name"), CAUGHT.items(), ids=CAUGHT)
def test_every_way_to_a_banned_name_is_found(rules: Rules, source: str, name: str) -> None:
    assert name in {finding.name for finding in check_source(source, "module.py", rules)}


@pytest.mark.parametrize("source", ALLOWED)
def test_what_only_looks_like_a_banned_name_is_left_alone(rules: Rules, source: str) -> None:
    assert check_source(source, "module.py", rules) == []


def test_every_name_in_the_table_has_a_case_here(rules: Rules) -> None:
    """A name added to the ban comes with the proof that it is caught."""
    untested = set(rules.banned) - set(CAUGHT.values()) - {"os.getenvb", "os.putenv", "os.unsetenv"}
    assert untested == set()


def test_only_their_owners_use_banned_names(rules: Rules) -> None:
    assert rules.owners == {"src/assent/system.py", "src/assent/spec/values/typed.py"}


def test_the_owner_is_exempt_and_its_neighbour_is_not(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exemption is for one file, by its whole path: a file of the same name elsewhere is not exempt."""
    package = tmp_path / "src" / "assent"
    (package / "engine").mkdir(parents=True)
    shutil.copy(repository / "pyproject.toml", tmp_path)
    (package / "system.py").write_text("import time\n")
    assert main([str(tmp_path)]) == 0

    (package / "engine" / "system.py").write_text("\nimport time\n")
    assert main([str(tmp_path)]) == 1
    assert (
        "src/assent/engine/system.py:2: `time` is banned here: ask the Clock port" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "source",
    ["import time", "from os import environ", "import os\n\nos.environ", "import random", "import uuid"],
)
def test_ruff_refuses_the_same_names_while_one_types(repository: Path, source: str) -> None:
    """The editor says it at once; the check above is what ruff cannot see."""
    answer = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "ruff",
                "check",
                "--select=TID251",
                "--output-format=concise",
                "--no-cache",
            ),
            *("--stdin-filename", str(repository / "src/assent/engine/new.py"), "-"),
        ],
        input=source,
        cwd=repository,
        text=True,
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "TID251" in answer.stdout
