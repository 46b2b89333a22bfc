"""The archive capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.archive._pack import PackEffect
from assent.capabilities.archive._parameters import Pack, Unpack
from assent.capabilities.archive._results import Packed, Unpacked
from assent.capabilities.archive._unpack import UnpackEffect
from assent.invocation import LocalContext, capability

_EFFECT: Final = "changes files of the workspace"
_TIMEOUT_S: Final = 300
"""The limit in time of one archive; a step may have a shorter one."""

_PACK: Final = PackEffect()
_UNPACK: Final = UnpackEffect()


@capability(
    "sys.archive.pack",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    timeout=_TIMEOUT_S,
    labels=("reads_private",),
    revision="sys.archive.pack/1",
    rehearsable=True,
)
def pack(context: LocalContext, parameters: Pack) -> Packed:
    """Pack files and folders into an archive whose bytes can be reproduced"""
    return _PACK.execute(context, parameters)


pack.prepare(_PACK.prepare)
pack.compensate(_PACK.compensate)
pack.reconcile(_PACK.reconcile)
pack.preview(_PACK.preview)


@capability(
    "sys.archive.unpack",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect=_EFFECT,
    timeout=_TIMEOUT_S,
    labels=("reads_private", "reads_untrusted"),
    revision="sys.archive.unpack/1",
    rehearsable=True,
)
def unpack(context: LocalContext, parameters: Unpack) -> Unpacked:
    """Unpack an archive into a new folder, counting what comes out"""
    return _UNPACK.execute(context, parameters)


unpack.prepare(_UNPACK.prepare)
unpack.compensate(_UNPACK.compensate)
unpack.reconcile(_UNPACK.reconcile)
unpack.preview(_UNPACK.preview)
