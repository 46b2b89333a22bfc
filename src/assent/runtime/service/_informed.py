"""What is answered from what is installed, configured and in force here: plans, replays, capabilities, policy, plugins, secrets.

Nothing is owned. Where a runtime is open, its own capabilities and policy are asked; else one is made that opens nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from assent import system
from assent.errors import AssentError, InputError, RefusedError
from assent.runtime._core import Core
from assent.runtime._ledger import accept_tail
from assent.runtime.runs._loading import load_policy
from assent.runtime.runs._saved_plans import PlanStore, SavedPlan
from assent.runtime.runs._tools import told_of
from assent.runtime.service import answers, knowledge_admin, requests, secret_admin, server_admin
from assent.runtime.service._asking import OWNER_S_MAX, ask
from assent.runtime.service._owning import actor_of, read_words, reporting, workflow_of
from assent.runtime.service.requests import OnProgress
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._call_pipeline import spellings
from assent.spec.capability import CapabilitySpec, RiskLevel
from assent.spec.decision import PolicyDecision
from assent.spec.states import Mode
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert
from assent.spec.words.globs import glob_matches
from assent.spec.workflow.inputs import kept as kept_inputs

if TYPE_CHECKING:
    from assent.plugins import PluginSource, Sources


@dataclass(frozen=True, slots=True)
class Scene:
    """Where something is asked, by whom, and the runtime that is open there."""

    settings: Settings
    by: requests.Asker
    runtime: Core | None = None
    tell: OnProgress | None = None

    @asynccontextmanager
    async def planning(self) -> AsyncIterator[Core]:
        """A runtime that can look ahead: the one that is open, or one that owns nothing and works in memory."""
        runtime = self.runtime or Core(self.settings)
        try:
            if self.runtime is None:
                runtime.prepare_to_plan()
            with reporting(self.tell):
                yield runtime
        finally:
            if self.runtime is None:
                await runtime.close()

    @asynccontextmanager
    async def informed(self) -> AsyncIterator[Core]:
        """A runtime that knows what the ledger says of capabilities."""
        if self.runtime is not None:
            yield self.runtime
            return
        runtime = Core(self.settings)
        try:
            runtime.versions.consult(self.settings)
            yield runtime
        finally:
            await runtime.close()

    def tell_of_secret(self, name: str) -> bool:
        """Have the owner fetch a secret anew; whether there is one. Its own service asks nobody: it would wait for itself."""
        if self.runtime is None:
            return secret_admin.tell_owner(self.settings, name)
        self.runtime.secrets.forget(name)
        return True

    async def secrets_of_specs(self) -> Mapping[str, tuple[str, ...]]:
        """The secrets that each capability's spec names, of those that name any; the owner's own capabilities included."""
        told: answers.Capabilities | None = None
        if self.runtime is None and self.settings.state.is_dir():
            # One that can't answer now has, but for what its program registered, what is here.
            with suppress(AssentError):
                told = ask(requests.Capabilities(), self.settings, within_s=OWNER_S_MAX)
        if told is not None:
            return {one.id: tuple(one.secrets) for one in told.capabilities if one.secrets}
        async with self.informed() as runtime:
            return {spec.id: spec.secrets for spec in runtime.registry.list() if spec.secrets}


async def _plan(scene: Scene, request: requests.Plan) -> answers.Plan:
    settings = scene.settings
    settings.create_state()
    spec = workflow_of(request)
    plan, actor = system.SystemIds().plan_id(), actor_of(settings, scene.by)
    async with scene.planning() as runtime:
        found, _ = await runtime.look_ahead(
            plan,
            spec,
            request.inputs,
            actor,
            request.environment,
            execute_captured=request.execute_captured,
            reads=request.reads,
        )
    if request.keep:
        saved = SavedPlan(
            plan_id=plan,
            document={"workflow": spec.to_json()},
            # What its inputs do not keep, its file does not either: it can be shown, and not run.
            inputs=dict(kept_inputs(spec.inputs, request.inputs, system.SystemEntropy().salt)),
            principal=str(actor.principal),
            environment=request.environment,
            digest=found.digest,
            execute_captured=request.execute_captured,
            reads=request.reads,
            steps=[step.to_json() for step in found.steps],
        )
        plans = PlanStore(settings.state, expiry_ms=settings.limits.plan_expiry_ms)
        plans.sweep(system.SystemClock().now_ms())
        plans.save(saved)
    return convert({"plan_id": plan, **found.to_json()}, answers.Plan)


async def _plan_undo(scene: Scene, request: requests.PlanUndo) -> answers.UndoPlan:
    async with scene.planning() as runtime:
        by = actor_of(scene.settings, scene.by)
        found = await runtime.plan_undo(request.run, partial=request.partial, principal=by)
    return convert(found.to_json(), answers.UndoPlan)


async def _replay(scene: Scene, request: requests.Replay) -> answers.Replayed:
    from assent.engine.replay import Recording, recording_of
    from assent.invocation import Snapshot
    from assent.runtime._find_run import find_run, unknown_run
    from assent.runtime._ledger import open_reader

    async with scene.planning() as runtime:
        if request.snapshot is not None:
            recording = recording_of(Snapshot.load(request.snapshot))
        else:
            try:
                journal = open_reader(scene.settings.state)
            except InputError as error:
                raise (unknown_run(request.run) if error.code == "STATE_MISSING" else error) from None
            with journal:
                recording = await Recording.of_journal(journal, await find_run(journal, request.run))
        report = await runtime.replay_recording(recording, request.capability_version)
    return convert(report.to_json(), answers.Replayed)


async def _snapshot(scene: Scene, request: requests.Snapshot) -> answers.Snapshot:
    from assent.engine.replay import Recording  # a run does not pay for what only a replay needs
    from assent.runtime._find_run import find_run
    from assent.runtime._ledger import open_reader

    async with scene.informed() as runtime:
        with open_reader(scene.settings.state) as journal:
            recording = await Recording.of_journal(journal, await find_run(journal, request.run))
            return answers.Snapshot(data=runtime.snapshot_of(recording).dump())


async def _capabilities(scene: Scene, request: requests.Capabilities) -> answers.Capabilities:
    glob = _glob_of(request.pattern)
    async with scene.informed() as runtime:
        specs = [spec for spec in runtime.registry.list() if glob_matches(glob, spec.id)]
        return answers.Capabilities(capabilities=[_described(runtime, spec) for spec in specs])


def _glob_of(pattern: str | None) -> str:
    return "*" if pattern is None else pattern if "*" in pattern else f"*{pattern}*"


async def _tools(scene: Scene, request: requests.Tools) -> answers.Tools:
    async with scene.informed() as runtime:
        if scene.runtime is None:
            runtime.reload_policy()
        offered = runtime.offered(
            [_glob_of(request.pattern)], actor_of(scene.settings, scene.by), request.environment
        )
        return answers.Tools(tools=[_offered(runtime, spec, said) for spec, said in offered])


def _offered(runtime: Core, spec: CapabilitySpec, said: frozenset[PolicyDecision]) -> answers.Tool:
    """A capability as a tool, made once as long as it and its standing are the same: agents list all of them again and again."""
    standing = runtime.versions.status(spec.id, spec.version)
    upstream = runtime.servers.names.get(spec.id, UNSET)
    key = (spec.id, spec.version, said)
    # `entry` by itself: whatever is registered or recorded anew has another one.
    seen = (id(standing.entry), standing.state, standing.labels, standing.is_latest, upstream)
    found = runtime.told_tools.get(key)
    if found is None or found[0] is not spec or found[1] is not standing.entry or found[2] != seen:
        told = answers.Tool(
            capability=_described(runtime, spec),
            told=told_of(spec, said),
            decisions=sorted(said),
            upstream=upstream,
        )
        found = runtime.told_tools[key] = (spec, standing.entry, seen, told)
    return found[3]


async def _capability(scene: Scene, request: requests.Capability) -> answers.Capability:
    async with scene.informed() as runtime:
        found = runtime.registry.resolution(request.reference)
        return _described(runtime, found.spec, how=found.how.value)


def _described(runtime: Core, spec: CapabilitySpec, **how: str) -> answers.Capability:
    standing = runtime.versions.status(spec.id, spec.version).to_json()
    # The spec has labels of its own, which say what information flows.
    told = {**spec.to_json(), "fingerprint": spec.fingerprint, "standing": standing, **how}
    return convert(told, answers.Capability)


async def _parameters(scene: Scene, request: requests.Parameters) -> answers.Parameters:
    async with scene.informed() as runtime:
        spec = runtime.registry.snapshot().spoken(request.reference)
    return convert({"id": spec.id, "schema": thaw(spec.parameters)}, answers.Parameters)


async def _capability_history(scene: Scene, request: requests.CapabilityHistory) -> answers.CapabilityHistory:
    async with scene.informed() as runtime:
        told = runtime.versions.told(request.capability)
    return convert(told, answers.CapabilityHistory)


async def _capability_diff(scene: Scene, request: requests.CapabilityDiff) -> answers.CapabilityDiff:
    async with scene.informed() as runtime:
        told = runtime.versions.diff_told(request.capability, request.old, request.new)
    return convert(told, answers.CapabilityDiff)


async def _explain_policy(scene: Scene, request: requests.ExplainPolicy) -> answers.Explained:
    async with scene.informed() as runtime:
        if scene.runtime is None:
            runtime.reload_policy()
        request = read_words(runtime, request)
        explained, is_whole = await runtime.explain(
            request.capability,
            request.parameters,
            principal=actor_of(scene.settings, scene.by),
            environment=request.environment,
            workflow=request.workflow,
            step=request.step,
            mode=Mode(request.mode),
            run_labels=frozenset(request.run_labels),
            risk_level=None if request.risk_level is None else RiskLevel(request.risk_level),
            keeps_undo=request.keeps_undo,
        )
    return convert({**explained.to_json(), "complete": is_whole}, answers.Explained)


async def _check_policy(scene: Scene, request: requests.CheckPolicy) -> answers.PolicyChecked:
    from assent.policy import PolicyEngine, check

    text = scene.settings.policy_bytes() or b"" if request.text is None else request.text
    async with scene.informed() as runtime:
        known = runtime.registry.list()
    findings = check(text, request.path, known, spellings(scene.settings.workspace))
    is_sound = not any(finding.severity == "error" for finding in findings)
    told = convert(findings, list[answers.Finding], from_attributes=True)
    policy = PolicyEngine.load(text).policy if is_sound else None
    return answers.PolicyChecked(
        path=request.path,
        ok=is_sound,
        rules=None if policy is None else len(policy.rules),
        constraints=None if policy is None else len(policy.constraints),
        limits=None if policy is None else len(policy.limits),
        findings=told,
    )


async def _test_policy(scene: Scene, request: requests.TestPolicy) -> answers.PolicyTested:
    from assent.policy import load_cases, run_cases

    async with scene.informed() as runtime:
        specs = {spec.id: spec for spec in runtime.registry.list()}
    forms = spellings(scene.settings.workspace)
    cases = load_cases(request.text, source=request.path, capabilities=specs, spellings=forms)
    results = run_cases(load_policy(scene.settings), cases)
    told = {
        "path": request.path,
        "ok": all(result.passed for result in results),
        "cases": [result.to_json() for result in results],
    }
    return convert(told, answers.PolicyTested)


async def _policy(scene: Scene, request: requests.PolicyInForce) -> answers.PolicyInForce:
    del request
    engine, path = load_policy(scene.settings), scene.settings.policy_path
    return answers.PolicyInForce(
        path=None if path is None else str(path), rules=len(engine.policy.rules), digest=engine.digest
    )


async def _plugins(scene: Scene, request: requests.Plugins) -> answers.Plugins:
    from assent.plugins import PluginState
    from assent.runtime.wiring._plugins import plugin_loader

    found = [convert(one.to_json(), answers.Plugin) for one in plugin_loader(scene.settings).list()]
    trusted = [one for one in found if one.status == PluginState.TRUSTED.value]
    # What a trusted one brings is known from its last load, or asked of its worker; one that would be imported into this process
    # is not asked, nor is anybody where nothing was recorded yet.
    is_asked = request.with_ledger and trusted and scene.settings.state.is_dir()
    if not is_asked or any(one.in_process for one in trusted):
        return answers.Plugins(plugins=found)
    faults = await _faults(scene, trusted)
    return answers.Plugins(
        plugins=[
            msgspec.structs.replace(one, status=PluginState.REFUSED.value, error=_fault(faults[one.name]))
            if one in trusted and one.name in faults
            else one
            for one in found
        ]
    )


async def _faults(scene: Scene, trusted: list[answers.Plugin]) -> Mapping[str, AssentError]:
    try:
        return await _left_out(scene)
    except AssentError as fault:
        # A required one keeps everything shut, so it is raised; what it says names what it would bring.
        told = {one.name for one in trusted if any(f"`{id_}" in fault.message for id_ in one.capabilities)}
        return dict.fromkeys(told, fault)


async def _left_out(scene: Scene) -> Mapping[str, AssentError]:
    async with scene.informed() as runtime:
        runtime.plugins.leave_out_unrecordable()
        return dict(runtime.plugins.faults)


def _fault(error: AssentError) -> answers.Fault:
    return convert(error.to_dict(), answers.Fault)


async def _inspect_plugin(scene: Scene, request: requests.InspectPlugin) -> answers.PluginInspected:
    from assent.plugins import ManifestCache, read_plugin, warnings_of

    manifest = ManifestCache().manifest(read_plugin(Path(request.base, request.path)))
    # A folder that is no workspace has no ids that are taken; Assent's own are known in any case.
    known: frozenset[str] = frozenset()
    with suppress(AssentError):
        async with scene.informed() as runtime:
            known = frozenset(spec.id for spec in runtime.registry.list())
    return answers.PluginInspected(
        path=request.path,
        fingerprint=manifest.fingerprint,
        warnings=[one.to_json() for one in warnings_of(manifest, known)],
        manifest={**manifest.to_json()},
    )


async def _look_at_plugin(scene: Scene, request: requests.LookAtPlugin) -> answers.PluginFound:
    from assent.runtime.wiring._plugin_reach import shut_services
    from assent.runtime.wiring._plugins import plugin_loader

    loader, settings = plugin_loader(scene.settings), scene.settings
    found = loader.read(_named(loader.sources(), request, settings).name)
    found.require_trustworthy(native=request.native)
    entry = loader.lock().plugins.get(found.name)
    differences = found.differences(entry) if entry is not None else []
    how = (request.native, request.in_process)
    declared = found.manifest.declaration.permissions.network
    shut = shut_services(found.name, declared, settings)
    return answers.PluginFound(
        name=found.name,
        digest=found.digest,
        trusted=entry is not None and not differences and (entry.native, entry.in_process) == how,
        lock=str(settings.plugin_lock),
        differences=[one.to_json() for one in differences],
        warnings=[one.to_json() for one in found.warnings],
        is_new=entry is None,
        manifest={**found.manifest.to_json()},
        dependencies=found.dependencies,
        shut=convert(shut, list[answers.ShutService], from_attributes=True),
    )


def _named(sources: Sources, request: requests.LookAtPlugin, settings: Settings) -> PluginSource:
    """The plugin of this name, or at this path, among those that the workspace names or that are installed."""
    plugin, place = request.plugin, Path(request.base, request.plugin)
    if plugin in sources.plugins or plugin in sources.faults or not os.path.exists(place):  # noqa: PTH110 - `Path.exists` raises for a name that is too long
        return sources.get(plugin)
    here = [one for one in sources.plugins.values() if one.path is not None and one.path.samefile(place)]
    if len(here) == 1:
        return here[0]
    workspace = settings.workspace
    path = place.relative_to(workspace) if place.is_relative_to(workspace) else place
    raise InputError(
        "PLUGIN_UNKNOWN",
        f"no plugin of this workspace is at `{plugin}`",
        hint=f'name it in assent.toml: `[plugins]`, `paths = ["{path}"]`',
    )


async def _trust_plugin(scene: Scene, request: requests.TrustPlugin) -> answers.PluginTrusted:
    from assent.runtime.wiring._plugins import plugin_loader

    loader, by = plugin_loader(scene.settings), str(actor_of(scene.settings, scene.by).principal)
    found = loader.read(request.name)
    found.require_trustworthy(native=request.native)
    if request.digest != found.digest:
        raise RefusedError(
            "PLUGIN_CHANGED",
            f"plugin `{found.name}` is not what `{request.digest[:64]}` names",
            hint=f"look again: `assent plugin trust {found.name}`",
            details={"digest": found.digest},
        )
    entry = loader.lock().plugins.get(found.name)
    differences = found.differences(entry) if entry is not None else []
    loader.trust(found, native=request.native, trusted_by=by, in_process=request.in_process)
    return answers.PluginTrusted(
        name=found.name,
        digest=found.digest,
        trusted=True,
        lock=str(scene.settings.plugin_lock),
        differences=[one.to_json() for one in differences],
        warnings=[one.to_json() for one in found.warnings],
    )


async def _untrust_plugin(scene: Scene, request: requests.UntrustPlugin) -> answers.PluginUntrusted:
    from assent.runtime.wiring._plugins import plugin_loader

    was_trusted = plugin_loader(scene.settings).untrust(request.name)
    return answers.PluginUntrusted(name=request.name, trusted=False, was_trusted=was_trusted)


async def _plugin_faults(scene: Scene, request: requests.PluginFaults) -> answers.PluginFaults:
    del request
    faults = await _left_out(scene)
    return answers.PluginFaults(faults={name: _fault(fault) for name, fault in faults.items()})


async def _plugins_health(scene: Scene, request: requests.PluginsHealth) -> answers.PluginsHealth:
    async with scene.informed() as runtime:
        runtime.plugins.leave_out_unrecordable()
        found = await runtime.plugins.healths(request.name)
    return answers.PluginsHealth(
        plugins=[
            answers.PluginHealth(name=name, status=one.status.value, detail=one.detail)
            for name, one in found.items()
        ]
    )


async def _scanners(scene: Scene, request: requests.Scanners) -> answers.Scanners:
    from assent.runtime.service.findings._scanners import told

    return await told(scene.settings, is_asked=request.is_asked, tested=request.tested)


async def _servers(scene: Scene, request: requests.Servers) -> answers.Servers:
    del request
    async with scene.informed() as runtime:
        return server_admin.listed(scene.settings, runtime)


async def _look_at_server(scene: Scene, request: requests.LookAtServer) -> answers.ServerFound:
    async with scene.informed() as runtime:
        return await server_admin.look(scene.settings, runtime, request.name)


async def _server_log(scene: Scene, request: requests.ServerLog) -> answers.ServerLog:
    # What it printed has who started it.
    told = ask(request, scene.settings) if scene.runtime is None else None
    if told is not None:
        return told
    async with scene.informed() as runtime:
        return answers.ServerLog(name=request.name, printed=runtime.servers.printed(request.name))


async def _add_server(scene: Scene, request: requests.AddServer) -> answers.ServerWritten:
    if scene.runtime is None:
        # Whoever owns the state has to know of it, too: a command under other settings than the owner's is refused.
        return ask(request, scene.settings) or server_admin.add(scene.settings, request)
    written = server_admin.add(scene.settings, request)
    await scene.runtime.reload_servers()
    return written


async def _add_repository(scene: Scene, request: requests.AddRepository) -> answers.RepositoryWritten:
    return knowledge_admin.add(scene.settings, request)


async def _secrets(scene: Scene, request: requests.Secrets) -> answers.Secrets:
    del request
    specs = await scene.secrets_of_specs()
    return answers.Secrets(secrets=await secret_admin.listed(scene.settings, specs))


async def _secret_users(scene: Scene, request: requests.SecretUsers) -> answers.SecretUsers:
    secret_admin.require_name(request.name)
    return await secret_admin.users(scene.settings, request.name, await scene.secrets_of_specs())


async def _require_secret(scene: Scene, request: requests.RequireSecret) -> answers.SecretWritable:
    secret_admin.require_name(request.name)
    if request.is_written:
        secret_admin.require_writable(scene.settings, request.name)
    return answers.SecretWritable(name=request.name)


async def _set_secret(scene: Scene, request: requests.SetSecret) -> answers.SecretStored:
    return secret_admin.store(scene.settings, request.name, request.value, scene.tell_of_secret)


async def _rotate_secret(scene: Scene, request: requests.RotateSecret) -> answers.SecretRotated:
    return await secret_admin.rotate(scene.settings, request.name, request.value, scene.tell_of_secret)


async def _confirm_secret(scene: Scene, request: requests.ConfirmSecret) -> answers.SecretRotated:
    return secret_admin.confirm(scene.settings, request.name, scene.tell_of_secret)


async def _undo_secret(scene: Scene, request: requests.UndoSecret) -> answers.SecretRotated:
    return await secret_admin.undo(scene.settings, request.name, scene.tell_of_secret)


async def _hand_over(scene: Scene, request: requests.HandOver) -> answers.HandedOver:
    from assent.capabilities.handed import Handed

    scene.settings.create_state()
    handed = Handed(scene.settings.state)
    principal = str(actor_of(scene.settings, scene.by).principal)

    def take() -> tuple[str | None, int]:
        if request.last:
            handed.sweep(system.SystemClock().now_ms())
        return handed.add(
            request.upload,
            request.data,
            principal=principal,
            capability=request.capability,
            offset=request.offset,
            is_last=request.last,
        )

    digest, size = await asyncio.to_thread(take)
    return answers.HandedOver(upload=request.upload, blob=digest, bytes=size)


async def _doctor(scene: Scene, request: requests.Doctor) -> answers.Doctor:
    from assent.runtime.doctor._files import checks, findings_checks

    del request
    settings = scene.settings
    found = [*checks(settings), *findings_checks(settings)]
    return answers.Doctor(has_state=settings.state.is_dir(), settings=[*settings.effective], checks=found)


async def _accept_tail(scene: Scene, request: requests.AcceptTail) -> answers.TailAccepted:
    who = actor_of(scene.settings, scene.by).who()
    entries, runs = accept_tail(scene.settings.state, scene.settings.key_path, request.start, who)
    return answers.TailAccepted(start=request.start, entries=entries, runs=[*runs])
