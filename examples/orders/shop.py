"""A shop: `python3 shop.py PORT`. It takes orders and payments, and says what becomes of them."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ORDERS = {}


class Shop(BaseHTTPRequestHandler):
    """`POST /orders` and `DELETE /orders/ID`, `POST /orders/ID/payment` and `DELETE /orders/ID/payment`."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path.strip("/").split("/"):
            case ["orders"]:
                self.becomes(f"order-{len(ORDERS) + 1}", "placed")
            case ["orders", name, "payment"] if asked["card"] == "expired":
                self.answer(402, {"id": name, "problem": "this card has expired"})
            case ["orders", name, "payment"]:
                self.becomes(name, "paid")

    def do_DELETE(self):
        match self.path.strip("/").split("/"):
            case ["orders", name, "payment"]:
                self.becomes(name, "refunded")
            case ["orders", name]:
                self.becomes(name, "cancelled")

    def becomes(self, name, state):
        ORDERS[name] = state
        print(name, state, flush=True)
        self.answer(200, {"id": name, "state": state})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said):
        pass


server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Shop)
print(f"listening at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
