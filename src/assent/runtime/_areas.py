"""The areas of capabilities that bring something along: each is named here and nowhere else above its own folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.capabilities.agent import area as agent
from assent.capabilities.area import Area
from assent.capabilities.exec import area as programs
from assent.capabilities.findings import area as findings
from assent.capabilities.git import area as git
from assent.capabilities.info import area as info
from assent.capabilities.knowledge import area as knowledge
from assent.capabilities.net import area as net
from assent.capabilities.notify import area as notify
from assent.capabilities.resource import area as resource
from assent.capabilities.scan import area as scan
from assent.capabilities.schedule import area as schedule

AREAS: Final[Mapping[str, Area]] = {
    "agent": agent,
    "exec": programs,
    "findings": findings,
    "git": git,
    "info": info,
    "knowledge": knowledge,
    "net": net,
    "notify": notify,
    "resource": resource,
    "scan": scan,
    "schedule": schedule,
}
"""By the name of their table in `assent.toml`, in the order in which `assent doctor` looks at them."""

OF_THE_USER: Final = frozenset({"info"})
"""Those that the user's own configuration may speak of too; what may be run and reached is the workspace's affair."""
