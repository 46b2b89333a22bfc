"""`[notify]` of assent.toml is read strictly, shown with its place, and repeats no credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.capabilities.notify.area import endpoints_of
from assent.errors import InputError
from assent.runtime.settings.effective import Settings

GOOD = (
    '[notify.endpoints.ops]\nurl = "https://hooks.example.org/in?token=8a1f"\nsecret = "secret://hooks/ops"\n'
)


def resolve(root: Path, text: str) -> Settings:
    (root / "assent.toml").write_text(text)
    return Settings.resolve(environ={"HOME": str(root)}, cwd=root)


def test_endpoints_are_what_the_file_says(tmp_path: Path) -> None:
    settings = resolve(tmp_path, f'[notify]\ngrace = "500ms"\n{GOOD}timeout = "3s"\npaused = true\n')
    (endpoint,) = endpoints_of(settings.areas["notify"]).values()
    assert (endpoint.name, endpoint.secret, endpoint.timeout_ms, endpoint.is_paused) == (
        "ops",
        "hooks/ops",
        3000,
        True,
    )
    assert endpoint.url == "https://hooks.example.org/in?token=8a1f"
    assert settings.areas["notify"]["grace"] == 500
    shown = {one.name: one for one in settings.effective}
    assert "8a1f" not in str(shown["notify.endpoints.ops"].value)
    assert shown["notify.grace"].source == f"{tmp_path / 'assent.toml'}:2"


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    settings = resolve(tmp_path, GOOD)
    (endpoint,) = endpoints_of(settings.areas["notify"]).values()
    assert (endpoint.timeout_ms, endpoint.is_paused, settings.areas["notify"]["grace"]) == (
        15_000,
        False,
        2_000,
    )
    assert endpoints_of(resolve(tmp_path, "").areas["notify"]) == {}


@pytest.mark.parametrize(
    "text",
    [
        '[notify]\ngrace = "6s"\n',
        '[notify]\ngrace = "soon"\n',
        "[notify]\nendpoint = 1\n",
        '[notify.endpoints.ops]\nurl = "https://hooks.example.org/"\n',
        '[notify.endpoints.ops]\nsecret = "secret://a"\n',
        '[notify.endpoints."no name!"]\nurl = "https://hooks.example.org/"\nsecret = "secret://a"\n',
        f'{GOOD}timeout = "10ms"\n',
        f'{GOOD}timeout = "2m"\n',
        f'{GOOD}paused = "yes"\n',
        GOOD.replace("https://", "ftp://"),
        GOOD.replace("https://", "https://user:8a1f@"),
        GOOD.replace('"https://hooks.example.org/in?token=8a1f"', "8"),
        GOOD.replace("secret://hooks/ops", "whsec_8a1f"),
        GOOD.replace("secret://hooks/ops", "secret://8a1f secret://b"),
    ],
)
def test_other_values_are_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(tmp_path, text)
    assert caught.value.code == "CONFIG_INVALID"
    assert "8a1f" not in str(caught.value.to_dict())
