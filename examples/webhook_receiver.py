"""Receive Stampbook's webhooks: check each signature, then print the event.

    WEBHOOK_SECRET=whsec_... python3 webhook_receiver.py [PORT]

The secret is in the answer to `PUT /v1/endpoints/ID`, once. An event may come more than once,
always under the same `webhook-id`: whoever acts on events keeps the ids that were dealt with.
This needs no package; in your own code take one of the libraries of standardwebhooks.com.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERANCE_S = 300


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        sent_at, id_ = self.headers.get("webhook-timestamp", "0"), self.headers.get("webhook-id")
        digest = hmac.digest(KEY, f"{id_}.{sent_at}.".encode() + body, hashlib.sha256)
        expected = "v1," + base64.b64encode(digest).decode()
        signatures = self.headers.get("webhook-signature", "").split()
        is_signed = any(hmac.compare_digest(expected, signature) for signature in signatures)
        if not is_signed or abs(time.time() - int(sent_at)) > TOLERANCE_S:
            self.send_error(401, "not signed by Stampbook, or too long ago")
            return
        event = json.loads(body)
        data = json.dumps(event["data"])
        line = f"{event['position']} {event['type']} {event.get('subject', '-')} {data}"
        sys.stdout.write(line + "\n")  # in one piece: several may come at once
        sys.stdout.flush()
        self.send_response(204)  # only now: what is not answered with 2xx is sent again
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What matters is printed above."""


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver)
print(f"Listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
