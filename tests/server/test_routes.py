"""Every operation of the service is behind HTTP, or has its reason."""

from __future__ import annotations

import pytest

from assent.runtime.service.requests import OPERATIONS
from assent.runtime.service.routes import OF_FILES, ROUTES, find


def test_every_operation_has_a_path_or_a_reason() -> None:
    routed = {route.kind for route in ROUTES}
    assert routed | OF_FILES.keys() == set(OPERATIONS)
    assert not routed & OF_FILES.keys()


def test_paths_name_fields_and_no_two_are_alike() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert set(route.named) <= set(route.kind.__struct_fields__), route.path


FOUND: dict[str, tuple[str | None, list[str]]] = {
    "/v1/runs/prunable": ("prunable", []),
    "/v1/runs/run_1": ("show_of_run", ["run_1"]),
    "/v1/runs/a%2Fundo": ("show_of_run", ["a/undo"]),
    "/v1/audit/tile/0/x001/067": ("tile", ["0/x001/067"]),
    "/v1/runs/": (None, []),
    "//v1/runs": (None, []),
    "/v1/runs//undo": (None, []),
    "x/v1/runs": (None, []),
}


def test_a_path_is_split_before_it_is_decoded() -> None:
    found = {path: find(path) for path in FOUND}
    told = {
        path: (routes["GET"].operation if routes else None, said) for path, (routes, said) in found.items()
    }
    assert told == FOUND
    with pytest.raises(ValueError, match="utf-8"):
        find("/v1/runs/%ff")
