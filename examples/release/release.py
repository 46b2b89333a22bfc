"""A build service asks for a release over HTTP, waits, and two people agree to it, each with a key of their own."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import httpx2


def client(socket: str, who: str) -> httpx2.Client:
    """HTTP over the daemon's Unix socket, as whoever the key makes one."""
    key = json.loads(Path(f"{who}.key").read_text())["key"]
    transport, bearer = httpx2.HTTPTransport(uds=socket), {"Authorization": f"Bearer {key}"}
    return httpx2.Client(transport=transport, base_url="http://assent", headers=bearer, timeout=60)


def ask(socket: str) -> None:
    """The service: asks once, whatever happens to its connection, then listens until the run has ended."""
    with client(socket, "ci") as http:
        asked = {"workflow": Path("release.yaml").read_text(), "inputs": {"version": "1.0.0"}}
        answer = http.post("/v1/runs", json=asked, headers={"Idempotency-Key": "release-1.0.0"})
        place = answer.headers["Location"]
        print(f"ci: {answer.status_code}, {answer.json()['status']}")
        refused = http.post(f"{place}/approve", json={"unseen": True})
        print(f"ci: may not agree itself: {refused.json()['error']['code']}")
        asking.set()
        with http.stream("GET", f"{place}/events") as events:
            heard = [
                line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")
            ]
        print(f"ci: heard {heard.count('approval.granted')} people agree")
        print(f"ci: {http.get(place).json()['status']}")


def agree(socket: str, who: str) -> None:
    """A person: looks at what waits, and agrees to exactly that."""
    with client(socket, who) as http:
        (asked,) = http.get("/v1/approvals").json()
        print(f"{who}: sees {asked['inputs']['path']}, agreed so far: {len(asked['granted_by'])}")
        http.post(f"/v1/runs/{asked['run_id']}/approve", json={"digest": asked["digest"]}).raise_for_status()


asking = threading.Event()
serve = [sys.executable, "-m", "assent", "serve"]
daemon = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
socket = daemon.stdout.readline().split()[1]
service = threading.Thread(target=ask, args=(socket,))
service.start()
asking.wait()
agree(socket, "ann")
agree(socket, "bob")
service.join()
daemon.terminate()
daemon.wait()
