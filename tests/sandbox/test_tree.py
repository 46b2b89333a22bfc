"""The processes of a user who exists for a while only: counted, told from those of others, and ended as one."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from assent.sandbox import _tree


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_user_for_a_while_is_counted_and_ended_as_one() -> None:
    user = _tree.unused_user()
    assert _tree.processes_of(user) == 0
    with subprocess.Popen(["sleep", "60"], user=user) as one, subprocess.Popen(["sleep", "60"], user=user):
        assert _tree.processes_of(user) == 2
        assert _tree.unused_user() != user
        _tree.end_user(user)
        assert one.wait() == -signal.SIGKILL
    assert _tree.processes_of(user) == 0
