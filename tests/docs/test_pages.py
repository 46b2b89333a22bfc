"""The documentation is true: links lead somewhere, generated pages are current, terms are used as the glossary binds them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from assent.errors.explanations import explanations
from assent.spec.events.kinds import EVENT_TYPES
from tests.docs.pages import PAGES, ROOT, anchors, links, prose
from tests.support.properties import PROPERTIES
from tools import write_api, write_errors, write_observability, write_properties


def test_every_link_leads_somewhere() -> None:
    """To a file of the repository, and to a heading that it has; links to elsewhere are not followed."""
    broken = [
        (source.name, link)
        for source in PAGES
        for link in links(source)
        if not link.startswith(("https://", "http://")) and not _leads_somewhere(source, link)
    ]
    assert broken == []


def _leads_somewhere(source: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (source.parent / name).resolve() if name else source
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_command_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {(source.name, one) for source in PAGES for one in re.findall(r"`make ([a-z]+)`", prose(source))}
    assert [one for one in sorted(named) if one[1] not in targets] == []


def test_page_of_errors_is_what_the_explanations_say() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == write_errors.page(explanations())
    assert write_errors.main(["--check"]) == 0


def test_the_page_of_the_api_is_written_from_the_code() -> None:
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == write_api.page()


def test_the_page_of_observability_lists_every_event_metric_and_attribute() -> None:
    assert write_observability.main(["--check"]) == 0


def test_page_of_properties_is_what_the_tests_hold() -> None:
    """Every property is held by a test that generates its inputs, and the page names each of these tests."""
    found = write_properties.held()
    assert write_properties.missing(found) == []
    assert (ROOT / "docs" / "properties.md").read_text(encoding="utf-8") == write_properties.page(found)
    assert write_properties.main(["--check"]) == 0


def test_numbers_of_properties_are_given_once_and_without_gaps() -> None:
    assert [number for number, _ in PROPERTIES.values()] == [*range(1, len(PROPERTIES) + 1)]


def test_every_error_code_that_a_page_names_exists() -> None:
    """What looks like a code (three words or an underscore, in backticks) is one, or a word of the design."""
    gone = {"INPUT_INVALID"}  # told of where it is said what became of it
    words = {"REQUIRE_APPROVAL", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "NO_COLOR", "CLICOLOR_FORCE"}
    words |= {"INPUT_INVALID"}  # what a code was called before, where the pages say so
    for source in PAGES:
        named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", prose(source)))
        unknown = {
            name
            for name in named
            if not name.startswith(("ASSENT_", "OTEL_", "XDG_", "RESOLVE_", "O_", "VAULT_", "LC_", "WSL_"))
        }
        was = gone if source.name in ("CHANGELOG.md", "upgrade.md") else set()
        assert unknown - words - was - set(explanations()) == set(), source.name


def test_the_ledger_page_describes_every_kind_of_event() -> None:
    text = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert [kind for kind in EVENT_TYPES if f"`{kind}`" not in text] == []
    described = set(
        re.findall(
            r"^\| `((?:run|step|wait|signal|approval|compensation|consequence|secret|http|delivery|capability|release|ledger"
            r"|payload|policy|plan|identity|key|schedule)\.[a-z_]+)`",
            text,
            re.MULTILINE,
        )
    )
    assert described == set(EVENT_TYPES)


def test_architecture_names_every_floor_and_every_library() -> None:
    """A package or a dependency that nobody gave a reason for has no place yet."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["id"] == "floors")
    floors = [name for layer in contract["layers"] for name in re.findall(r"[a-z_]+", layer)]
    libraries = [re.split(r"[><=]", line)[0] for line in project["project"]["dependencies"]]
    assert [name for name in floors if f"`{name}`" not in text] == []
    assert [name for name in libraries if not re.search(rf"^\| `{name}` \|", text, re.MULTILINE)] == []


def test_modules_that_a_page_names_exist() -> None:
    for source in PAGES:
        named = re.findall(r"`((?:[a-z]+/)+_?[a-z_]+\.py)`", prose(source))
        missing = [
            name for name in named if not any((ROOT / top / name).is_file() for top in ("", "src/assent"))
        ]
        assert missing == [], source.name


def test_glossary_is_in_order_and_says_each_word_once() -> None:
    """The glossary is binding, so a word has one place in it."""
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", text.split("## Glossary")[1], re.MULTILINE)
    assert len(rows) > 30
    assert rows == sorted(set(rows), key=str.lower)
