"""Programs that run confined, with what they write kept apart until somebody takes it over.

    with Sandbox.detect() as sandbox:
        ended = await sandbox.run(["make"], Confinement(root=workspace, layer=folder))
        capture = sandbox.captured(folder)

The names are resolved when they are first asked for: the launcher imports its own few modules from here, and must load nothing
else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.sandbox._advice import Advice as Advice
    from assent.sandbox._advice import advice as advice
    from assent.sandbox._capture import Capture as Capture
    from assent.sandbox._capture import Captured as Captured
    from assent.sandbox._capture import CaptureLimits as CaptureLimits
    from assent.sandbox._capture import Refused as Refused
    from assent.sandbox._child import Child as Child
    from assent.sandbox._child import OnOutput as OnOutput
    from assent.sandbox._confinement import Confinement as Confinement
    from assent.sandbox._confinement import Ended as Ended
    from assent.sandbox._confinement import LimitName as LimitName
    from assent.sandbox._confinement import SandboxLimits as SandboxLimits
    from assent.sandbox._confinement import Usage as Usage
    from assent.sandbox._held import bytes_on_disk as bytes_on_disk
    from assent.sandbox._held import hold as hold
    from assent.sandbox._plan import SYSTEM_FOLDERS as SYSTEM_FOLDERS
    from assent.sandbox._programs import forbid_programs as forbid_programs
    from assent.sandbox._reach import NetworkScope as NetworkScope
    from assent.sandbox._reach import plain_network as plain_network
    from assent.sandbox._sandbox import BackendChoice as BackendChoice
    from assent.sandbox._sandbox import Sandbox as Sandbox
    from assent.sandbox._scratch import Scratch as Scratch
    from assent.sandbox._walls import Holds as Holds
    from assent.sandbox._walls import Wall as Wall

_HOMES = {
    "._advice": "Advice advice",
    "._capture": "Capture CaptureLimits Captured Refused",
    "._child": "Child OnOutput",
    "._confinement": "Confinement Ended LimitName SandboxLimits Usage",
    "._held": "bytes_on_disk hold",
    "._plan": "SYSTEM_FOLDERS",
    "._programs": "forbid_programs",
    "._reach": "NetworkScope plain_network",
    "._sandbox": "BackendChoice Sandbox",
    "._scratch": "Scratch",
    "._walls": "Holds Wall",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
