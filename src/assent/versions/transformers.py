"""Transformers between neighbouring versions of a capability, and the way from the version asked for to the one that serves.

A caller who speaks version 1 sends inputs of version 1 and reads outputs of version 1, whichever version does the work. So inputs
travel from the asked-for version to the serving one, link by link in the order of versions, and outputs travel back. Where a
neighbour breaks nobody, values pass as they are and no transformer is needed.

What compares schemas and makes samples is loaded where it is used: every start passes here, and most meet one version only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from assent.errors import AssentError, InputError, Json
from assent.spec.values.canonical import canonical_json
from assent.spec.words.semver import precedence
from assent.spec.workflow.inputs import violations
from assent.versions.transform import HOPS_MAX, LIMIT_S, Chain, Function, Link, unchanged

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

SAMPLES: Final = 60
"""Values that each function of a transformer is tried on before its version can be used."""

Side = Literal["inputs", "outputs"]


class Transformer(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of calls between two neighbouring versions of a capability.

    Each function takes plain JSON and returns plain JSON; it must have no effect and depend on nothing else. What is left out
    passes unchanged where nobody is broken by that, and leads nowhere otherwise. To serve callers of the older version,
    `inputs_forward` and `outputs_backward` are what counts; the other two serve callers of the newer version by the older.
    """

    older: str
    newer: str
    inputs_forward: Function | None = None
    outputs_backward: Function | None = None
    inputs_backward: Function | None = None
    outputs_forward: Function | None = None
    limit_s: float = LIMIT_S


class Route(msgspec.Struct, frozen=True):
    """How calls that ask for one version are served by another."""

    asked: CapabilitySpec
    served: CapabilitySpec
    inputs: tuple[Link, ...]
    outputs: tuple[Link, ...]
    chain: Chain

    def to_served(self, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """Inputs of the asked-for version as inputs of the serving one. Raises what stopped them, with the version reached."""
        what = f"the inputs of `{self.asked.id}`"
        value = self.chain.carry(dict(inputs), self.inputs, start=self.asked.version, what=what).unwrap()
        if not isinstance(value, dict):
            raise InputError(
                "TRANSFORM_FAILED",
                f"{what} became something else than an object on the way to version `{self.served.version}`",
                details={"reached": self.served.version},
            )
        return value

    def to_asked(self, output: Json) -> Json:
        """An output of the serving version as one of the asked-for version; refused when that version could not have given it."""
        what = f"the output of `{self.asked.id}`"
        value = self.chain.carry(output, self.outputs, start=self.served.version, what=what).unwrap()
        faults = violations(self.asked.returns, value)
        if faults:
            raise InputError(
                "TRANSFORM_FAILED",
                f"{what} is not what version `{self.asked.version}` gives: it {faults[0][1]}",
                details={"reached": self.asked.version},
            )
        return value


class VersionChain:
    """The versions of one capability and the transformers between them. Versions and transformers are only ever added."""

    def __init__(self, capability: str) -> None:
        self.capability = capability
        self._specs: dict[str, CapabilitySpec] = {}
        self._transformers: dict[tuple[str, str], Transformer] = {}
        self._passes: dict[tuple[str, str, Side], bool] = {}
        self._chain = Chain()

    def has(self, version: str) -> bool:
        """Whether a version is there."""
        return version in self._specs

    def without(self, version: str) -> VersionChain:
        """The same without a version and the transformers that touch it: its plugin was unloaded. This one stays as it is."""
        other = VersionChain(self.capability)
        other._specs = {
            number: spec for number, spec in self._specs.items() if number != version
        }  # of this class
        other._transformers = {  # of this class
            pair: transformer for pair, transformer in self._transformers.items() if version not in pair
        }
        return other

    def knowing(self, spec: CapabilitySpec) -> VersionChain:
        """The same with a version that is not installed, and so takes no part: it is known for the sake of its callers alone."""
        other = VersionChain(self.capability)
        other._specs, other._transformers = {**self._specs, spec.version: spec}, self._transformers
        other._chain = self._chain
        return other

    def joined(self, spec: CapabilitySpec, transformers: Iterable[Transformer] = ()) -> VersionChain:
        """The same with another version; see `add`. This one stays as it is."""
        other = VersionChain(self.capability)
        other._specs, other._transformers = {**self._specs}, {**self._transformers}  # of this very class
        other._chain = self._chain  # what hangs, hangs for both
        other.add(spec, transformers)
        return other

    def add(self, spec: CapabilitySpec, transformers: Iterable[Transformer] = ()) -> None:
        """Add a version with the transformers that come with it, after trying them; nothing is added when one is refused.

        Raises TRANSFORMER_INVALID, TRANSFORMER_DUPLICATE, SAMPLES_MISSING; VERSION_BREAKING when a neighbour under the same major
        number is broken and nothing leads around it.
        """
        known = {**self._specs, spec.version: spec}
        accepted: dict[tuple[str, str], Transformer] = {}
        for transformer in transformers:
            pair = (transformer.older, transformer.newer)
            self._check_place(transformer, spec, known)
            if pair in self._transformers or pair in accepted:
                raise InputError(
                    "TRANSFORMER_DUPLICATE",
                    f"`{self.capability}` has a transformer from `{pair[0]}` to `{pair[1]}` already",
                    hint="a transformer is never replaced: register a new version with one of its own",
                )
            try_transformer(transformer, known[transformer.older], known[transformer.newer])
            accepted[pair] = transformer
        before = self._specs, self._transformers
        self._specs, self._transformers = known, {**self._transformers, **accepted}
        try:
            for older, newer in self._neighbours(spec.version):
                if compatible_range(older) == compatible_range(newer):
                    self.require_served(older, newer)
        except InputError:
            self._specs, self._transformers = before
            raise

    def _neighbours(self, version: str) -> list[tuple[str, str]]:
        """The version with the release before it and the one after it. A pre-release has none: nobody is led to it unasked."""
        if not _is_release(version):
            return []
        releases = sorted(filter(_is_release, self._specs), key=precedence)
        at = releases.index(version)
        return [*pairwise(releases[max(0, at - 1) : at + 2])]

    def require_served(self, older: str, newer: str) -> None:
        """Pass when callers of the older version can be served by the newer one; else VERSION_BREAKING with each change."""
        from assent.versions.version_diff import diff_specs

        diff = diff_specs(self._specs[older], self._specs[newer])
        if not diff.is_breaking:
            return
        try:
            self.route(older, newer)
        except InputError as error:
            first, *others = diff.breaking
            more = f" (and {len(others)} more)" if others else ""
            same = compatible_range(older) == compatible_range(newer)
            raise InputError(
                "VERSION_BREAKING",
                f"`{self.capability}@{newer}` breaks callers of `{older}`: `{first.path}`: {first.reason}{more}",
                path=first.path,
                hint="mend it, or register it with `transformers=[…]`"
                + (", or give it another major number" if same else f", or retire `{older}` first"),
                details={
                    "changes": [change.to_json() for change in diff.breaking],
                    "missing": error.message,
                },
            ) from None

    def _check_place(
        self, transformer: Transformer, spec: CapabilitySpec, known: Mapping[str, CapabilitySpec]
    ) -> None:
        named = f"the transformer of `{self.capability}` from `{transformer.older}` to `{transformer.newer}`"
        missing = [version for version in (transformer.older, transformer.newer) if version not in known]
        if missing:
            listed = ", ".join(f"`{version}`" for version in sorted(known, key=precedence))
            raise InputError(
                "TRANSFORMER_INVALID",
                f"{named} speaks of version `{missing[0]}`, which is not registered",
                hint=f"registered: {listed}; an older version may stay registered without a handler",
            )
        if spec.version not in (transformer.older, transformer.newer):
            raise InputError(
                "TRANSFORMER_INVALID", f"{named} comes with version `{spec.version}`, which it does not touch"
            )
        low, high = precedence(transformer.older), precedence(transformer.newer)
        if low >= high:
            raise InputError(
                "TRANSFORMER_INVALID", f"{named} does not lead from an older version to a newer one"
            )
        between = [version for version in known if _is_release(version) and low < precedence(version) < high]
        if between:
            raise InputError(
                "TRANSFORMER_INVALID",
                f"{named} passes over version `{min(between, key=precedence)}`",
                hint="transformers stand between neighbours; longer ways are put together from them",
            )

    def transformer(self, older: str, newer: str) -> Transformer | None:
        """The transformer between two versions."""
        return self._transformers.get((older, newer))

    def route(self, asked: str, served: str) -> Route:
        """How callers of `asked` are served by `served`.

        Raises TRANSFORM_MISSING or TRANSFORM_LIMIT, with the version that was reached.
        """
        for version in (asked, served):
            if version not in self._specs:
                raise InputError(
                    "TRANSFORM_MISSING",
                    f"`{self.capability}@{version}` is not registered",
                    hint="an older version may stay registered without a handler",
                    details={"reached": asked, "wanted": served},
                )
        rises = precedence(asked) < precedence(served)
        low, high = (asked, served) if rises else (served, asked)
        pairs = self._pairs(low, high)
        if len(pairs) > HOPS_MAX:
            raise InputError(
                "TRANSFORM_LIMIT",
                f"`{self.capability}@{asked}` is {len(pairs)} versions away from `{served}`, and at most {HOPS_MAX} are crossed",
                details={"reached": asked, "wanted": served},
            )
        there: list[Link] = []
        back: list[Link] = []
        for older, newer in pairs:
            transformer = self._transformers.get((older, newer))
            limit_s = transformer.limit_s if transformer is not None else LIMIT_S
            ends = ((older, newer), (newer, older)) if rises else ((newer, older), (older, newer))
            there.append(Link(*ends[0], self._function("inputs", *ends[0], transformer), limit_s))
            back.append(Link(*ends[1], self._function("outputs", *ends[1], transformer), limit_s))
        if not rises:
            there.reverse()
        else:
            back.reverse()
        route = Route(self._specs[asked], self._specs[served], tuple(there), tuple(back), self._chain)
        self._require_whole(route)
        return route

    def _require_whole(self, route: Route) -> None:
        for links, what in ((route.inputs, "inputs"), (route.outputs, "outputs")):
            missing = next((link for link in links if link.function is None), None)
            if missing is not None:
                raise InputError(
                    "TRANSFORM_MISSING",
                    f"`{self.capability}@{route.asked.version}` can't be served by `{route.served.version}`: nothing brings "
                    f"{what} from `{missing.source}` to `{missing.target}`",
                    hint=f"register a transformer between `{missing.source}` and `{missing.target}`",
                    details={"reached": missing.source, "wanted": links[-1].target},
                )

    def _pairs(self, low: str, high: str) -> list[tuple[str, str]]:
        """The neighbours to pass from one version up to another: by a transformer where one starts, else to the next version."""
        ordered = sorted(self._specs, key=precedence)
        # Of several that start at one version the longest counts: a version that came later does not cut a way that was there.
        starts = sorted(self._transformers, key=lambda pair: precedence(pair[1]))
        ends = {older: newer for older, newer in starts if precedence(newer) <= precedence(high)}
        pairs: list[tuple[str, str]] = []
        at = low
        while at != high:
            after = ends.get(at) or ordered[ordered.index(at) + 1]
            pairs.append((at, after))
            at = after
        return pairs

    def _function(
        self, side: Side, source: str, target: str, transformer: Transformer | None
    ) -> Function | None:
        if transformer is not None:
            way = "forward" if transformer.older == source else "backward"
            given: Function | None = getattr(transformer, f"{side}_{way}")
            if given is not None:
                return given
        if self._can_pass(side, source, target):
            return unchanged
        from assent.versions._older_reader import KnownFields
        from assent.versions.schema_diff import diff_schemas

        one, other = self._specs[source], self._specs[target]
        if side == "outputs" and not any(
            change.is_breaking for change in diff_schemas(other.returns, one.returns, "output")
        ):
            return KnownFields(other.returns)
        return None

    def _can_pass(self, side: Side, source: str, target: str) -> bool:
        """Whether what one version sends or gives suits another one as it is."""
        key = (source, target, side)
        known = self._passes.get(key)
        if known is None:
            known = self._passes[key] = fits_unchanged(self._specs[source], self._specs[target], side)
        return known


def compatible_range(version: str) -> tuple[int, ...]:
    """What two versions share when the newer must not break the older: the major number, or `0.minor` before 1.0.0."""
    major, minor, _ = precedence(version)[0]
    return (major,) if major else (0, minor)


def _is_release(version: str) -> bool:
    return "-" not in version.partition("+")[0]


def fits_unchanged(source: CapabilitySpec, target: CapabilitySpec, side: Side) -> bool:
    """Whether inputs (or outputs) of one version are inputs (or outputs) of another one without any change."""
    from assent.versions.schema_diff import diff_schemas

    # A value travels from source to target either way; as an input change that is what `refuses` tells.
    one, other = (
        (source.parameters, target.parameters) if side == "inputs" else (source.returns, target.returns)
    )
    return not any(change.is_breaking for change in diff_schemas(one, other, "input"))


def try_transformer(transformer: Transformer, old: CapabilitySpec, new: CapabilitySpec) -> None:
    """Try each function on generated values of the version it starts from: what comes out must fit the version it leads to.

    Also asks each twice, because a function that answers differently would make recovery differ from what was recorded. Raises
    TRANSFORMER_INVALID with the smallest value that came out wrong.
    """
    from assent.versions.samples import samples

    chain = Chain()
    for name, source, target in (
        ("inputs_forward", old, new),
        ("inputs_backward", new, old),
        ("outputs_backward", new, old),
        ("outputs_forward", old, new),
    ):
        function: Function | None = getattr(transformer, name)
        if function is None or (function is unchanged and fits_unchanged(source, target, _side(name))):
            continue
        one, other = (
            (source.parameters, target.parameters)
            if _side(name) == "inputs"
            else (source.returns, target.returns)
        )
        link = Link(source.version, target.version, function, transformer.limit_s)
        # The seed is made of what is tried: what was accepted once is accepted at every start.
        seed = f"{source.fingerprint}{target.fingerprint}{name}".encode()
        wrong: list[tuple[bytes, Json, Json, str]] = []
        for value in samples(one, seed=seed, count=SAMPLES):
            given = canonical_json(value)
            gave, fault = _try(chain, link, value, other)
            if fault is not None:
                wrong.append((given, value, gave, fault))
        if wrong:
            _, value, gave, fault = min(wrong, key=lambda found: (len(found[0]), found[0]))
            shown = canonical_json(value).decode()
            raise InputError(
                "TRANSFORMER_INVALID",
                f"`{name}` from `{old.reference}` to `{new.version}` does not carry `{shown[:160]}`: {fault}",
                hint="mend the function; the details show what it was given and what it gave",
                details={"function": name, "given": value, "gave": gave, "fault": fault},
            )


def _side(name: str) -> Side:
    return "inputs" if name.startswith("inputs") else "outputs"


def _try(chain: Chain, link: Link, value: Json, target: Mapping[str, Any]) -> tuple[Json, str | None]:
    """What the function gave, and what is wrong with it."""
    answers = [chain.carry(value, [link], start=link.source, what="it") for _ in range(2)]
    first, second = answers
    if first.error is not None or second.error is not None:
        failed: AssentError | None = first.error or second.error
        return None, failed.message if failed is not None else ""
    if canonical_json(first.value) != canonical_json(second.value):
        return first.value, "asked twice, it gave two different answers"
    faults = violations(target, first.value)
    if not faults:
        return first.value, None
    place = ".".join(str(part) for part in faults[0][0])
    return first.value, f"what it gave {faults[0][1]}" + (f" at `{place}`" if place else "")
