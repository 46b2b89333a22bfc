"""`[exec]` of assent.toml: which programs may be run, by whom and with what. Without a rule none is.

[exec.rules.builds]
programs = ["make", "python3"]
principals = ["agent:*"]
environment = ["VERSION"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent._lazy import compiled_when_asked
from assent.errors import Json
from assent.spec.documents.settings import PRINCIPALS, Named, Setting, Table, Texts, flag, listed, tables
from assent.spec.values.json_fields import Object, mapping, number, text
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.exec import FolderState, ProgramRule, Programs
    from assent.invocation import GlobalContext

_VARIABLE: Final = compiled_when_asked(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PATTERN: Final = compiled_when_asked(r"[A-Za-z_*][A-Za-z0-9_*]{0,127}")
_NO_VARIABLE: Final = "it is not a name of a variable"


def _is_program(text: str) -> bool:
    if "\0" in text or text.endswith("/"):
        return False
    inner = text.removeprefix("./")
    if text.startswith("./"):
        return not inner.startswith("/") and ".." not in inner.split("/")
    return text.startswith("/") or ("/" not in text and text not in {".", ".."})


def _variables(value: object) -> Json:
    if not isinstance(value, dict) or not all(
        isinstance(one, str) and "\0" not in one for one in value.values()
    ):
        raise ValueError('must be a table of texts: `{ SOURCE_DATE_EPOCH = "0" }`')
    wrong = next((name for name in value if not _VARIABLE.fullmatch(name)), None)
    if wrong is not None:
        raise ValueError(f"can't hold `{wrong[:80]}`: {_NO_VARIABLE}")
    return value


SECTION: Final[Table] = {
    "rules": Named(
        "name of a rule",
        {
            "programs": Setting(
                Texts(
                    'must be a list of programs: `["make", "/opt/tool/bin/tool", "./scripts/build"]`',
                    _is_program,
                    "a program is a bare name, an absolute path, or `./` and a path in the workspace",
                ),
                "bare names, absolute paths, or `./` and a path in the workspace",
                is_required=True,
            ),
            "principals": Setting(PRINCIPALS, "patterns of principals who may", ["*"], "everybody"),
            "network": Setting(flag, "whether `sys.exec.run` may use the network", default=False),
            "read_only": Setting(
                Texts('must be a list of folders and files: `["/opt/toolchain"]`'),
                "more folders and files that the program can read",
            ),
            "environment": Setting(
                Texts(
                    'must be a list of names of variables: `["VERSION", "CI_*"]`',
                    _PATTERN.fullmatch,
                    _NO_VARIABLE,
                ),
                "patterns of variables that a caller may set",
            ),
            "inherit": Setting(
                Texts('must be a list of names of variables: `["TZ"]`', _VARIABLE.fullmatch, _NO_VARIABLE),
                "variables whose values come from Assent's own environment",
            ),
            "set": Setting(_variables, "variables with their values"),
        },
    )
}


def _program(output: Object) -> str:
    code = number(output, "exit_code")
    said = [f"exit {code}" if code is not None else f"ended by signal {text(output, 'signal', '?')}"]
    for name, words in (("stdout", ""), ("stderr", " of errors")):
        stream = mapping(output, name)
        if stream.get("is_cut"):
            said.append(size_text(number(stream, "bytes") or 0) + words)
        elif lines := text(stream, "text").splitlines():
            said.append(count_text(len(lines), "line") + words)
    if "changes" in output:
        said.append(count_text(number(output, "count") or 0, "path") + " changed")
    return ", ".join(said)


WORDS: Final[Words] = {frozenset({"exit_code", "stdout", "stderr"}): _program}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The programs that calls may run."""
    name = "assent.capabilities.exec._programs.Programs"
    app.offer(name, lambda: programs_of(ground), close=lambda programs: programs.close())


def programs_of(ground: Ground) -> Programs:
    """The programs that calls may run; nothing is started."""
    from assent.capabilities.exec import Programs

    return Programs(
        [_rule(name, said, ground.workspace) for name, said in tables(ground.said, "rules").items()],
        workspace=ground.workspace,
        home=home_in(ground.state),
        hidden=ground.hidden,
        environ=ground.environ,
        sandbox=ground.sandbox,
        limits=ground.program_limits,
        now_ms=ground.clock.now_ms,
        expiry_ms=ground.plan_expiry_ms,
    )


def home_in(state: Path) -> Path:
    """Where programs run, and what they wrote is kept until it is applied."""
    return state / "sandbox"


def _rule(name: str, said: Mapping[str, Json], workspace: Path) -> ProgramRule:
    from assent.capabilities.exec import ProgramRule

    given = said.get("set")
    return ProgramRule(
        name=name,
        programs=listed(said, "programs"),
        principals=listed(said, "principals"),
        network=said.get("network") is True,
        read_only=tuple(workspace / Path(one).expanduser() for one in listed(said, "read_only")),
        environment=listed(said, "environment"),
        inherit=listed(said, "inherit"),
        set={key: str(value) for key, value in given.items()} if isinstance(given, dict) else {},
    )


def checks(ground: Ground) -> Iterator[Check]:
    """The operator's rules, each with the programs that it names and that are not there; and what programs left."""
    yield from _rule_checks(ground)
    yield _captured(ground)


def _rule_checks(ground: Ground) -> Iterator[Check]:
    from assent.capabilities.area import Check

    if not tables(ground.said, "rules"):
        yield Check("programs", "ok", "no rule under `[exec.rules.NAME]`: none may be run")
        return
    from assent.capabilities.exec import place_of

    for rule in programs_of(ground).rules:
        missing = [one for one in rule.programs if place_of(one, ground.workspace) is None]
        missing += [str(one) for one in rule.read_only if not one.exists()]
        seen = f"{', '.join(rule.programs)} for {', '.join(rule.principals)}"
        seen += "; with the network" if rule.network else "; no network"
        unset = [one for one in rule.inherit if one not in ground.environ]
        lacks = [
            f"{what}: {', '.join(f'`{one}`' for one in names)}"
            for what, names in (("not there", missing), ("not set", unset))
            if names
        ]
        hint = f"install or set what is missing, or mend `[exec.rules.{rule.name}]`" if lacks else None
        yield Check(f"programs: {rule.name}", "warning" if lacks else "ok", "; ".join([seen, *lacks]), hint)


def _captured(ground: Ground) -> Check:
    """What programs wrote and nobody has applied yet, and what killed commands left."""
    from assent.capabilities.area import Check

    home = home_in(ground.state)
    if not home.is_dir():
        return Check("captured writes", "ok", "none")
    from assent.capabilities.exec import FolderState, look

    sizes: dict[FolderState, list[int]] = {state: [] for state in FolderState}
    for one in look(home):
        sizes[one.state].append(one.size_bytes)
    kept, used, left = (sizes[state] for state in (FolderState.KEPT, FolderState.USED, FolderState.LEFT))
    seen = f"{len(kept)} kept until applied ({size_text(sum(kept))}), {len(used)} in use"
    if left:
        seen += f", {len(left)} left by a killed command ({size_text(sum(left))})"
    hint = "they go when the next command opens the state: assent resume" if left else None
    return Check("captured writes", "warning" if left else "ok", seen, hint)
