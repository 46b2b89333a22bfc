"""`assent doctor`: what holds and why, and whether what it stands on is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from assent.capabilities.area import Check
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.cli.terminal._table import table
from assent.errors import AssentError
from assent.runtime import service
from assent.runtime.settings.effective import Effective
from assent.spec.values.json_fields import compact
from assent.spec.words.durations import write_duration
from assent.spec.words.legible import safe, safe_line
from assent.spec.words.sizes import size_text


@command("doctor", short_help="Show every setting with its source, and the health of the state.")
def doctor(door: Door) -> int:
    """Show every setting as it holds, with its source, and whether configuration, keys and state are sound."""
    examined = door.perform(service.requests.Doctor())
    health, seen = _application(door)
    checks = [*examined.checks, *_checks(door, has_state=examined.has_state)]
    if health is not None and health.in_force:
        checks.append(_guarded("in force", lambda: _in_force(door, health)))
    checks.append(seen)
    if door.out.is_json:
        door.out.object(
            {
                "settings": examined.settings,
                "checks": checks,
                "health": health,
            }
        )
    else:
        paint = door.out.paint()
        shown = [[one.name, safe_line(_shown(one)), safe_line(one.source)] for one in examined.settings]
        styles = {"ok": "green", "warning": "yellow", "fault": "red"}
        rows = [
            [paint(check.status, styles[check.status]), check.name, safe(check.seen), safe(check.hint or "")]
            for check in checks
        ]
        door.out.answer(table(shown, head=["setting", "value", "from"], paint=paint))
        door.out.answer("")
        door.out.answer(table(rows, head=["", "check", "seen", "to do"], paint=paint))
    return FAILED if any(check.status == "fault" for check in checks) else OK


def _shown(setting: Effective) -> str:
    """A value for people, with its unit. Durations stand as in the file, whatever else is said beside them."""
    value = setting.value
    if isinstance(value, int) and setting.unit == "ms":
        return write_duration(value)
    if isinstance(value, int) and setting.unit == "bytes":
        return size_text(value)
    if isinstance(value, dict):
        value = {
            name.removesuffix("_ms"): write_duration(one) if isinstance(one, int) and name in _TIMES else one
            for name, one in value.items()
        }
    return "-" if value is None else value if isinstance(value, str) else compact(value)


_TIMES: Final = frozenset({"window_ms", "timeout"})
"""Durations within the tables that users name: of rate limits and of endpoints."""


def _checks(door: Door, *, has_state: bool) -> Iterator[Check]:
    """What the record, its owner and what others made say of themselves."""
    yield _guarded("policy", lambda: _policy(door))
    yield _guarded("plugins", lambda: _plugins(door))
    if has_state:
        yield _guarded("runs", lambda: _runs(door))
        yield _guarded("deliveries", lambda: _deliveries(door))
        yield _guarded("public key", lambda: _public_key(door))


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except AssentError as error:
        return Check(name, "fault", str(error), error.hint)


def _policy(door: Door) -> Check:
    settings = door.settings
    if settings.policy_path is None:
        return Check("policy", "ok", "built-in")
    held = door.perform(service.requests.PolicyInForce())
    return Check("policy", "ok", f"{held.path}, {held.rules} rules, sha256 {held.digest}")


def _plugins(door: Door) -> Check:
    """Nothing is imported for this: whether a trusted plugin loads shows when a runtime opens."""
    from assent.plugins import PluginState

    found = door.perform(service.requests.Plugins()).plugins
    counts = {state.value: sum(one.status == state.value for one in found) for state in PluginState}
    seen = (
        ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        or "none is named or trusted"
    )
    inside = ", ".join(f"`{one.name}`" for one in found if one.in_process)
    seen += f"; in Assent's own process: {inside}" if inside else ""
    hint = door.command("plugin", "list")
    wrong = [one for one in found if one.status not in ("trusted", "untrusted")]
    if any(one.required and one.status != "trusted" for one in found):
        return Check("plugins", "fault", f"{seen}; a required one is not loaded", hint)
    return Check("plugins", "warning" if wrong else "ok", seen, hint if wrong else None)


def _deliveries(door: Door) -> Check:
    found = [one.status for one in door.perform(service.requests.Deliveries()).deliveries]
    failed, waiting = found.count("failed"), found.count("pending")
    seen = f"{waiting} pending, {failed} failed" if found else "none"
    hint = door.command("deliveries", "--status", "failed") if failed else None
    return Check("deliveries", "warning" if failed else "ok", seen, hint)


def _public_key(door: Door) -> Check:
    """Copied elsewhere, it lets anybody check the ledger and its proofs without trusting this machine."""
    try:
        return Check("public key", "ok", door.perform(service.requests.PublicKey()).key)
    except AssentError as error:
        if error.code != "STATE_MISSING":
            raise
        return Check("public key", "ok", "not there yet: the first run makes it")


def _application(door: Door) -> tuple[service.answers.Health | None, Check]:
    """How the process that owns the state says it is, as data and as a check. Nobody is started to be asked."""
    name = "application"
    try:
        found = door.perform(service.requests.Health())
    except AssentError as error:
        return None, Check(name, "fault", f"{error.message} [{error.code}]", error.hint)
    if found is None:
        return None, Check(name, "ok", "nobody to ask: no process serves this state")
    ill = [f"{part}: {one.detail or one.status}" for part, one in found.parts.items() if one.status != "ok"]
    status = {"ok": "ok", "degraded": "warning"}.get(found.status, "fault")
    return found, Check(name, status, "; ".join(ill) or f"all {len(found.parts)} ok")


_IN_FORCE: Final = {
    "policy": "another policy",
    "identity": "another `[identity]`",
    "serve": "other `[serve.issuers]` or `[serve.rate]`",
    "mcp": "other `[mcp]`",
    "settings": "other settings",
}


def _in_force(door: Door, owner: service.answers.Health) -> Check:
    """Whether the process that owns the state works by what the files say now."""
    from assent.journal import owner_pid

    settings = door.settings
    policy = door.perform(service.requests.PolicyInForce()).digest
    said = {"policy": policy, **settings.in_force()}
    older = [name for name, digest in said.items() if owner.in_force.get(name) != digest]
    words = ", ".join(_IN_FORCE[name] for name in older)
    pid = owner_pid(settings.state, runtime_dir=settings.runtime_dir())
    if not older:
        return Check("in force", "ok", f"process {pid} works by what the files say now")
    seen = f"process {pid} works by {words} than the files say now"
    if "settings" in older:
        return Check("in force", "warning", seen, "start it anew")
    return Check(
        "in force", "warning", seen, f"have it read them anew, as `assent serve` does: kill -HUP {pid}"
    )


def _runs(door: Door) -> Check:
    found = door.perform(service.requests.Unfinished())
    if found.count:
        return Check("runs", "warning", f"{found.of}, {found.count} to be resumed", door.command("resume"))
    return Check("runs", "ok", f"{found.of}, none to be resumed")
