#!/usr/bin/env python3
"""A sample deployment: says its name, and what the gateway told it. Usage: sample_origin.py NAME PORT [ADDRESS]"""

import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: apart, the body would wait some 40 ms for the head's acknowledgement

    def respond(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        shown = ("x-user-id", "x-serin-deployment", "baggage")
        lines = [f"{self.server.name}: {self.command} {self.path}"]
        lines += [f"  {name}: {self.headers[name]}" for name in shown if name in self.headers]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = respond

    def log_message(self, *_):
        pass


def main():
    name, port = sys.argv[1], int(sys.argv[2])
    address = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    server = http.server.ThreadingHTTPServer((address, port), Handler)
    server.name = name
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
