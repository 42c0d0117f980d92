"""Receive Stampbook's webhooks: check each signature, then print the event.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python webhook_receiver.py [PORT]

The secret is in the answer to `PUT /v1/endpoints/ID`, once. An event may come more than once,
always under the same `webhook-id`: whoever acts on events keeps the ids that were dealt with.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            event = webhook.verify(body, dict(self.headers.items()))
        except WebhookVerificationError as refusal:
            self.send_error(401, str(refusal))
            return
        print(
            event["position"], event["type"], event.get("subject", "-"), json.dumps(event["data"])
        )
        sys.stdout.flush()
        self.send_response(204)  # only now: what is not answered with 2xx is sent again
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver)
print(f"Listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
