"""How fast the gate answers, beside a naive scan that evaluates each rule in turn: `python benchmarks/policy.py`.

Every figure is CPU time of this process. "Rules by `when`": 1 000 rules over principals, roles, capability patterns, risk and
labels; the contexts are 20 000 different ones in random order, so no answer can be remembered whole. "Rules by `if`": 50
expressions over about 1 kB of inputs, all evaluated, with the time of building the context included and apart.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence

from assent.errors import Json
from assent.policy import PolicyContext, PolicyEngine
from assent.policy._match import matches
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.language.expression import Expression
from assent.spec.policy import Policy
from assent.spec.principal import Principal

WHEN_TARGET_PER_S = 300_000
IF_TARGET_PER_S = 15_000
SEED = 20_261_121


def main() -> None:
    """Measure and print, one line per figure."""
    chance = random.Random(SEED)
    engine = PolicyEngine.from_dict({"version": 1, "rules": [when_rule(chance, i) for i in range(1000)]})
    contexts = [when_context(chance) for _ in range(20_000)]
    sample = contexts[:40]
    for context in sample:
        decided, scanned = engine.decide(context).rule, scan(engine.policy, {}, context)
        assert decided == scanned, f"the index says {decided}, the scan {scanned}"
    baseline = rate(lambda: [scan(engine.policy, {}, context) for context in sample], len(sample), rounds=3)
    cold = rate_once(PolicyEngine(engine.policy), contexts)
    warm = max(rate_once(engine, contexts) for _ in range(5))
    print("1 000 rules decided by `when`, 20 000 distinct contexts")
    report("naive scan", baseline, baseline)
    report("index, first time it meets each context", cold, baseline)
    report("index", warm, baseline, WHEN_TARGET_PER_S)

    inputs = if_inputs()
    size = len(json.dumps(inputs))
    assert size <= 1024, f"{size} bytes of inputs"
    measure_conditions(
        f"50 rules decided by `if`, all evaluated, {size} bytes of inputs", inputs, SCALAR, IF_TARGET_PER_S
    )
    measure_conditions(
        "the same with every fifth rule looking through a list of ten", inputs, [*SCALAR, LISTED], None
    )


def measure_conditions(
    title: str, inputs: dict[str, Json], shapes: Sequence[str], target: float | None
) -> None:
    rules: list[Json] = [
        {"id": f"rule-{i}", "if": shapes[i % len(shapes)].replace("@", str(i)), "decision": "ALLOW"}
        for i in range(50)
    ]
    engine = PolicyEngine.from_dict({"version": 1, "rules": rules})
    compiled = {rule.condition: Expression(rule.condition) for rule in engine.policy.rules if rule.condition}
    asked = [if_context(inputs) for _ in range(500)]
    assert engine.decide(asked[0]).rule == scan(engine.policy, compiled, asked[0]) == "default"
    baseline = rate(
        lambda: [scan(engine.policy, compiled, context) for context in asked], len(asked), rounds=3
    )
    figure = max(rate_once(engine, asked) for _ in range(5))
    whole = rate(lambda: [engine.decide(if_context(inputs)) for _ in asked], len(asked), rounds=5)
    print(title)
    report("one conversion per rule", baseline, baseline)
    report("one conversion per decision", figure, baseline, target)
    report("the same, building the context included", whole, baseline, target)


def when_rule(chance: random.Random, i: int) -> dict[str, Json]:
    capability = f"io.group{i % 200}." + chance.choice(["*", "read", "write_*"])
    when: dict[str, Json] = {
        "capability": capability,
        "risk_level": {"at_least": chance.choice(list(RiskLevel)).value},
    }
    if i % 2:
        when["principal"] = chance.choice(["agent:*", f"user:u{i % 50}", f"service:s{i % 20}"])
    if i % 3 == 0:
        when["roles"] = {"any": [f"role{i % 10}", f"role{i % 7}"]}
    if i % 5 == 0:
        when["labels"] = {"all": [f"label{i % 4}"]}
    if i % 7 == 0:
        when["not"] = {"environment": "staging"}
    decision = chance.choice(["ALLOW", "DENY", "REQUIRE_APPROVAL"])
    return {"id": f"rule-{i}", "when": when, "decision": decision}


def when_context(chance: random.Random) -> PolicyContext:
    kind = chance.choice(["agent", "user", "service"])
    principal = Principal.parse(
        f"{kind}:{kind[0]}{chance.randrange(50)}", roles=frozenset({f"role{chance.randrange(10)}"})
    )
    return PolicyContext(
        principal=principal,
        capability=f"io.group{chance.randrange(250)}.{chance.choice(['read', 'write_file', 'delete'])}",
        risk_level=chance.choice(list(RiskLevel)),
        operation_type=chance.choice(list(OperationType)),
        labels=frozenset({f"label{chance.randrange(4)}"}),
        environment=chance.choice(["production", "staging"]),
    )


SCALAR = [
    "inputs.amount > 1000@",
    'inputs.path.startsWith("/srv/@/") && risk_rank < 2',
    'inputs.target.host == "host-@" || inputs.target.port == @',
    'size(inputs.body) > 500@ && "ops" in principal.roles',
]
LISTED = 'inputs.tags.exists(tag, tag == "none-@")'
"""Conditions, `@` standing for the number of the rule; none of them holds for the inputs below."""


def if_inputs() -> dict[str, Json]:
    return {
        "amount": 250,
        "path": "/data/some/project/file.txt",
        "tags": [f"tag-{i}" for i in range(10)],
        "target": {"host": "db.internal", "port": 5432, "tls": True},
        "body": "x" * 700,
    }


def if_context(inputs: dict[str, Json]) -> PolicyContext:
    return PolicyContext(
        principal=ALICE,
        capability="io.fs.write_file",
        risk_level=RiskLevel.LOW,
        operation_type=OperationType.WRITE,
        inputs=inputs,
    )


ALICE = Principal.parse("user:alice", roles=frozenset({"dev"}))


def scan(policy: Policy, conditions: Mapping[str, Expression], context: PolicyContext) -> str:
    """The baseline: each rule in turn, each expression with a conversion of its own."""
    for rule in policy.rules:
        if not matches(rule.when, context) or (rule.unless is not None and matches(rule.unless, context)):
            continue
        if rule.condition is None or conditions[rule.condition].evaluate(context.facts()) is True:
            return rule.id
    return "default"


def rate(work: Callable[[], object], count: int, *, rounds: int) -> float:
    """Items per CPU second, the best of the rounds: the others met somebody else's work."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return count / best


def rate_once(engine: PolicyEngine, contexts: Sequence[PolicyContext]) -> float:
    start = time.process_time()
    for context in contexts:
        engine.decide(context)
    return len(contexts) / (time.process_time() - start)


def report(name: str, figure: float, baseline: float, target: float | None = None) -> None:
    aim = "" if target is None else f"   target {target:>9,.0f}/s: {'met' if figure >= target else 'MISSED'}"
    print(f"  {name:<42}{figure:>12,.0f}/s   {figure / baseline:>7.1f} x{aim}")


if __name__ == "__main__":
    main()
