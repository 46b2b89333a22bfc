"""A workspace whose knowledge is asked through the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from assent import Runtime
from assent.spec.principal import Principal
from tests.support.bodies import user

ADA: Final = user("ada")
POLICY: Final = """\
version: 1
rules:
  - {id: all, decision: ALLOW, without_approval: true, reason: "for the test", when: {principal: "user:*"}}
"""


def furnish(root: Path, files: Mapping[str, str | bytes] | None = None, said: str = "") -> Path:
    """A workspace in which everything is allowed, with files below `src`, which is the repository `code`."""
    work = root / "work"
    (work / "src").mkdir(parents=True)
    (work / "assent.toml").write_text(
        f'policy = "policy.yaml"\n[ledger]\nkey = "{root}/keys/ledger.key"\n'
        f'[knowledge.repositories.code]\nfolder = "src"\n{said}'
    )
    (work / "policy.yaml").write_text(POLICY)
    (work / "policy.yaml").chmod(0o600)
    write(work, files or {})
    return work


def write(work: Path, files: Mapping[str, str | bytes]) -> None:
    """Files below `src`."""
    for path, data in files.items():
        place = work / "src" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data if isinstance(data, bytes) else data.encode())


@asynccontextmanager
async def opened(work: Path) -> AsyncIterator[Runtime]:
    """The runtime of a workspace."""
    async with Runtime.open(workspace=work) as rt:
        yield rt


async def called(  # `Any`: JSON
    rt: Runtime, capability: str, by: Principal = ADA, **parameters: Any
) -> Any:
    """What a call of `knowledge.*` gave, which succeeded."""
    result = await rt.call(f"knowledge.{capability}", parameters, principal=by)
    assert result.error is None, result.error
    return result.outputs


async def refused(rt: Runtime, capability: str, **parameters: Any) -> str:  # `Any`: as above
    """The code with which a call of `knowledge.*` was refused."""
    result = await rt.call(f"knowledge.{capability}", parameters, principal=ADA)
    assert result.error is not None
    return str(result.error["code"])
