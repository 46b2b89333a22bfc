"""An agent that puts its questions to a person, and goes on with what they said, also days later and in another process.

The model is a script. A real one is asked between its calls, and is told `result.to_json()`.
"""

from pathlib import Path

from assent.sync import Runtime

PLACE = Path(".session")  # where this program keeps its conversation; here only the session's id

SCRIPT = [
    ("io-fs-write_file", '{"path": "reports/summary.txt", "content": "2024: 12\\n2025: 14\\n"}'),
    ("io-fs-delete", '{"path": "reports/2024.txt"}'),
    ("io-fs-delete", '{"path": "reports/2025.txt"}'),
]

with Runtime.open() as rt:
    if PLACE.exists():
        session = rt.session(PLACE.read_text())
    else:
        session = rt.session(principal="agent:clerk")
        PLACE.write_text(session.run_id)
    waiting = 0
    for number, (name, arguments) in enumerate(SCRIPT):
        # The same id is the same step, however often the program begins anew.
        result = session.call_tool(name, arguments, id=f"{session.run_id}:{number}")
        why = f": {result.error['message']}" if result.error else ""
        print(f"{name} {arguments[:30]}… {result.status}{why}")
        waiting += result.status == "awaiting_approval"
    if not waiting:
        session.close()
        PLACE.unlink()
        print("done")
