"""What `assent doctor` says of others' code: what plugins were granted (services, secrets by value), and MCP servers."""

from __future__ import annotations

from collections.abc import Iterator

from assent.capabilities.area import Check
from assent.errors import AssentError
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugin_reach import shut_services, trusted_manifests
from assent.spec.words.sizes import count_text


def value_checks(settings: Settings) -> Iterator[Check]:
    """Secrets whose values a trusted plugin may have: those that its calls are granted, and that are bound to no hosts."""
    from assent.invocation import SecretGrant

    said = settings.secrets.secrets
    grants = {name: SecretGrant(one.capabilities, one.hosts) for name, one in said.items()}
    given: dict[str, dict[str, list[str]]] = {}
    for plugin, manifest in trusted_manifests(settings).items():
        for one in manifest.capabilities:
            if one.id is None or not one.is_registered:
                continue
            granted = [*one.secrets, *(name for name, grant in grants.items() if grant.names(one.id))]
            for name in dict.fromkeys(granted):
                if name not in said or not said[name].hosts:
                    listed = given.setdefault(name, {}).setdefault(plugin, [])
                    listed += [] if one.id in listed else [one.id]
    for name, plugins in sorted(given.items()):
        who = "; ".join(f"`{plugin}` ({', '.join(ids)})" for plugin, ids in plugins.items())
        yield Check(
            f"secret: {name}",
            "warning",
            f"its value may be handed to the code of {count_text(len(plugins), 'plugin')}: {who}",
            f'where it is only sent: `hosts = ["…"]` under `[secrets."{name}"]`, and Assent puts it into requests to them',
        )


def reach_checks(settings: Settings) -> Iterator[Check]:
    """For each trusted plugin that declares services, those that `[net]` would refuse. No host is looked up for it."""
    for plugin, manifest in trusted_manifests(settings).items():
        declared = manifest.declaration.permissions.network
        shut = shut_services(plugin, declared, settings)
        for one in shut:
            yield Check(f"plugin: {plugin}", "warning", f"`{one.what}` would be refused: {one.why}", one.hint)
        if declared and not shut:
            seen = f"{count_text(len(declared), 'service')} declared, and let out by `[net]`"
            yield Check(f"plugin: {plugin}", "ok", seen)


def server_checks(settings: Settings) -> Iterator[Check]:
    """For each MCP server, whether its tools are there; none is asked."""
    if not settings.servers:
        return
    from assent.plugins.upstream import load_pins
    from assent.runtime.capabilities._registered import Capabilities
    from assent.runtime.wiring._servers import Servers

    try:
        pins = load_pins(settings.server_lock)
    except AssentError as error:
        yield Check(settings.server_lock.name, "fault", error.message, error.hint)
        return
    servers = Servers(settings)
    servers.register(Capabilities())
    for name in settings.servers:
        faults = [fault for key, fault in servers.faults.items() if key.partition(".")[0] == name]
        if name not in pins:
            seen, hint = "nobody has trusted it, so none of its tools is there", f"assent mcp trust {name}"
            yield Check(f"mcp server: {name}", "warning", seen, hint)
        elif faults:
            seen = "; ".join(fault.message for fault in faults)
            yield Check(f"mcp server: {name}", "warning", seen, faults[0].hint)
        else:
            seen = f"{count_text(len(pins[name].tools), 'tool')} trusted by {pins[name].trusted_by}"
            yield Check(f"mcp server: {name}", "ok", seen)
