"""`sys.info.os`, `sys.info.env` and `sys.info.time`, described: looking at the machine, and nothing else."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from assent.capabilities.describing import reads
from assent.capabilities.info import Machine
from assent.invocation import LocalContext, NoEffectError
from assent.spec.capability import SpecModel

VALUE_CHARACTERS_MAX: Final = 32 << 10


class AboutSystem(SpecModel):
    """What to tell of the system."""

    identity: Annotated[
        bool, Field(description="also the machine's and the user's names, which say who somebody is")
    ] = False


class System(SpecModel):
    """The system; `host` and `user` are null unless they were asked for."""

    system: str
    release: str
    architecture: str
    distribution: str | None
    python: str
    cpus: Annotated[int, Field(ge=1)]
    host: str | None
    user: str | None


class AboutEnvironment(SpecModel):
    """Which variables to tell."""

    names: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=255)]] | None,
        Field(max_length=200, description="null: all that may be told and are set"),
    ] = None


class Variables(SpecModel):
    """The variables by name; null for one that is not set."""

    values: dict[str, str | None]


class AboutTime(SpecModel):
    """Where the time is wanted."""

    zone: Annotated[
        str,
        Field(
            min_length=1, max_length=64, description="a time zone of the IANA database, e.g. `Europe/Vienna`"
        ),
    ] = "UTC"


class Now(SpecModel):
    """The time by the clock of the runtime: since the Unix epoch, and as RFC 3339 writes it in the zone."""

    unix_ms: int
    iso: str
    zone: str
    offset_minutes: int
    weekday: Annotated[int, Field(ge=1, le=7, description="1 is Monday")]


def about_system(context: LocalContext, parameters: AboutSystem) -> System:
    """Which system this is, without names of the machine or the user unless asked"""
    del context
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        distribution = None
    return System(
        system=platform.system(),
        release=platform.release(),
        architecture=platform.machine(),
        distribution=distribution,
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
        host=platform.node() if parameters.identity else None,
        user=_user() if parameters.identity else None,
    )


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def environment(context: LocalContext, parameters: AboutEnvironment) -> Variables:
    """Environment variables that may be told: those that `[info] env` names, and never one that sounds like a secret"""
    machine = context.app.get(Machine)
    if parameters.names is None:
        names = [name for name in sorted(machine.environment) if machine.may_tell(name)]
    else:
        names = list(dict.fromkeys(parameters.names))
        refused = [name for name in names if not machine.may_tell(name)]
        if refused:
            raise NoEffectError(
                "ENV_NOT_ALLOWED",
                f"the environment variable `{refused[0]}` may not be told",
                path="names",
                hint='allow it by name in assent.toml: `[info] env = ["…"]`; one that sounds like a secret is never told',
                details={"names": [*refused]},
            )
    values = {name: machine.environment.get(name) for name in names}
    too_long = next((name for name, value in values.items() if len(value or "") > VALUE_CHARACTERS_MAX), None)
    if too_long is not None:
        raise NoEffectError(
            "OUTPUT_TOO_LARGE", f"`{too_long}` has more than {VALUE_CHARACTERS_MAX} characters"
        )
    # What is no UTF-8 came in as half characters, which no answer can hold.
    return Variables(
        values={
            name: None if value is None else value.encode("utf-8", "backslashreplace").decode()
            for name, value in values.items()
        }
    )


def now(context: LocalContext, parameters: AboutTime) -> Now:
    """What time it is, in any time zone"""
    zone = _zone(parameters.zone)
    unix_ms = context.app.clock.now_ms()
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=unix_ms)).astimezone(zone)
    offset = moment.utcoffset() or timedelta()
    return Now(
        unix_ms=unix_ms,
        iso=moment.isoformat(timespec="milliseconds"),
        zone=parameters.zone,
        offset_minutes=int(offset.total_seconds() // 60),
        weekday=moment.isoweekday(),
    )


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NoEffectError(
            "ZONE_UNKNOWN",
            f"there is no time zone `{name}`",
            path="zone",
            hint="for example `Europe/Vienna` or `UTC`",
        ) from None


_looks = partial(reads, labels=("reads_private",), timeout=30)

CAPABILITIES: Final = (
    _looks(
        "sys.info.os",
        "Which system this is, without names of the machine or the user unless asked",
        about_system,
    ),
    _looks(
        "sys.info.env",
        "Environment variables that may be told: those that `[info] env` names, and never one that sounds like a secret",
        environment,
        justification="reads only, and only variables that assent.toml allows by name",
    ),
    reads(
        "sys.info.time", "What time it is, in any time zone", now, justification="reads the clock", timeout=30
    ),
)
