# WEBHOOK_SECRET=... python3 python_receiver.py
import hashlib
import hmac
import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET", "").encode()
if not SECRET:
    raise SystemExit("WEBHOOK_SECRET is not set")

MAX_BODY = 512 * 1024
# While secrets rotate, the other secret signs the -previous or -next header.
SIGNATURES = ("x-tengine-signature", "x-tengine-signature-previous", "x-tengine-signature-next")

inbox = queue.Queue()
seen, seen_lock = set(), threading.Lock()  # in production: a table with a unique event id


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds a client may be silent

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(int(length))
        if not verified(self.headers, body):
            return self.answer(401)
        event = json.loads(body)
        with seen_lock:
            is_new = event["id"] not in seen
            seen.add(event["id"])
        if is_new:
            inbox.put(event)  # in production: insert the event here, before you answer
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


def verified(headers, body):
    want = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(headers.get(name, "").encode(), want.encode()) for name in SIGNATURES)


def work():
    while True:
        event = inbox.get()
        print("handled", event["id"], event["type"], flush=True)


threading.Thread(target=work, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}/webhook", flush=True)
server.serve_forever()
