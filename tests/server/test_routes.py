"""Every operation of the service is behind HTTP, or has its reason."""

from __future__ import annotations

from assent.runtime.service.requests import OPERATIONS
from assent.runtime.service.routes import OF_FILES, ROUTES


def test_every_operation_has_a_path_or_a_reason() -> None:
    routed = {route.kind for route in ROUTES}
    assert routed | OF_FILES.keys() == set(OPERATIONS)
    assert not routed & OF_FILES.keys()


def test_paths_name_fields_and_no_two_are_alike() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert set(route.named) <= set(route.kind.__struct_fields__), route.path
