"""A notice board: `python3 board.py PORT TOKEN_FILE`. It takes notices from whoever knows the token."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Board(BaseHTTPRequestHandler):
    """`PUT /notices/NAME` and `DELETE /notices/NAME`, with `Authorization: Bearer TOKEN`."""

    def do_PUT(self):
        notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.becomes("pinned", f", signed {notice['signature'][:8]}")

    def do_DELETE(self):
        self.becomes("taken down")

    def becomes(self, state, more=""):
        token = Path(sys.argv[2]).read_text().strip()
        known = self.headers["Authorization"] == f"Bearer {token}"
        print(self.path, state + more if known else "refused: wrong token", flush=True)
        self.send_response(204 if known else 401)
        self.end_headers()

    def log_message(self, *said):
        pass


server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Board)
print(f"listening at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
