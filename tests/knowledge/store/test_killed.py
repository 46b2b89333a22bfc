"""A writer that is killed anywhere leaves the store as it was or as it was to be, and what is done again ends the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assent.knowledge.lexical import without
from assent.knowledge.store import MemoryKeys, SqlCipherStore
from assent.system import SystemEntropy
from tests.support.knowledge import indexed

_TREE = {f"{number}.py": b"def f%d():\n    return %d\n" % (number, number) for number in range(6)}
_LATER = {f"{number}.py": b"def g%d(): pass\n" % number for number in range(3)}

_DRIVER = """
import json, os, signal, sys
from pathlib import Path
from assent.errors import AssentError
from assent.failpoints import FAILPOINTS
from assent.knowledge.lexical import without
from assent.knowledge.manifest import verify
from assent.knowledge.store import SqlCipherStore, erase
from assent.system import SystemEntropy
from tests.support.knowledge import FolderKeys, indexed, put, put_all
from tests.knowledge.store.test_killed import _LATER, _TREE

ROOT, POINT = Path(sys.argv[1]), sys.argv[2]

def opened(place):
    return SqlCipherStore(place / "store", "tenant", keys=FolderKeys(place / "keys"), salt=SystemEntropy().salt)

def lives(place):
    store = opened(place)
    with store.index("repo") as run:
        put_all(run, _TREE)
        run.save()
        put(run, "late.py", b"late = 1\\n")
        run.commit()
    with store.index("repo") as run:
        put_all(run, _LATER)
        run.save()
    indexed(store, _LATER)
    store.undo(store.head().number)
    store.forget("repo", ["late.py"], {"lexical": without})
    while store.rotate(9):
        pass
    store.close()
    erase(place / "store", "tenant", keys=FolderKeys(place / "keys"))

def judged(place):
    # What is there is whole, and readable as far as it goes.
    try:
        store = opened(place)
    except AssentError as error:
        assert error.code == "KNOWLEDGE_KEY_MISSING", error  # killed while the tenant was erased
        erase(place / "store", "tenant", keys=FolderKeys(place / "keys"))
        store = opened(place)
    store.verify()
    head = store.head()
    assert opened(place).head() == head
    # What was begun is ended, and indexing again ends in the root of a fresh store.
    while store.is_rotating and store.rotate(9):
        pass
    store.forget("repo", ["late.py"], {"lexical": without})
    done = indexed(store, _TREE)
    store.verify()
    assert len(list((place / "keys").iterdir())) == 1, "no key of before is kept"
    assert not [one for one in (place / "store").iterdir() if one.suffix == ".new"]
    for held in store.files("repo"):
        assert verify(store.prove("repo", held.path, 0), done.root)
    store.close()
    return done.root

killed, roots = 0, set()
while True:
    place = ROOT / str(killed)
    place.mkdir()
    child = os.fork()
    if not child:
        FAILPOINTS.arm(f"{POINT}:{killed + 1}")
        try:
            lives(place)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) and not os.WEXITSTATUS(status) or os.WTERMSIG(status) == signal.SIGKILL, status
    roots.add(judged(place))
    if os.WIFEXITED(status):
        break
    killed += 1
print(json.dumps([killed, sorted(roots)]))
"""


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("point", ["knowledge.before", "knowledge.after"])
def test_killed_anywhere_it_opens_and_ends_in_the_root_of_a_fresh_one(
    tmp_path: Path, repository: Path, point: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(tmp_path), point],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed, roots = json.loads(done.stdout)
    assert killed > 8
    fresh = SqlCipherStore(tmp_path / "fresh", "tenant", keys=MemoryKeys(), salt=SystemEntropy().salt)
    root = indexed(fresh, _TREE).root
    fresh.forget("repo", rewriters={"lexical": without})
    fresh.close()
    assert roots == [root]
