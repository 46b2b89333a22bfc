"""A meter that reads on while the daemon is away, and hands in what it read when it is back."""

import subprocess
import sys
from pathlib import Path

from assent.client import Deferred
from assent.errors import AssentError
from assent.sync import Client, connect


def serve() -> subprocess.Popen[str]:
    """The daemon, as a terminal would start it; it says when it listens."""
    command = [sys.executable, "-m", "assent", "serve"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
    assert daemon.stdout is not None
    daemon.stdout.readline()
    return daemon


def told(call: Deferred) -> None:
    """What became of a reading."""
    print(call.status, call.parameters["path"])


def read(rt: Client, hour: int) -> None:
    """Hand in one reading, now or later."""
    path, content = f"readings/{hour:02}.txt", f"{hour * 7 % 24} kWh\n"
    rt.defer("io.fs.write_file", {"path": path, "content": content, "create_dirs": True})


with connect(Path(".assent/api.sock"), spool=".spool", patience_s=0, told=told) as rt:
    daemon = serve()
    read(rt, 1)
    rt.flush()
    daemon.kill()
    daemon.wait()
    print("the daemon is away")
    for hour in (2, 3):
        read(rt, hour)
    try:
        rt.call("io.fs.write_file", {"path": "readings/total.txt", "content": "?"})
    except AssentError as error:
        print(error.code, [call.parameters["path"] for call in rt.deferred()])
    print("it comes back")
    daemon = serve()
    total = rt.call("io.fs.write_file", {"path": "readings/total.txt", "content": "3 readings\n"})
    print(total.status, "readings/total.txt, after what was read before it")
    daemon.terminate()
    daemon.wait()
