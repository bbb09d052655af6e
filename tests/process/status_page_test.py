#!/usr/bin/env python3
"""The status page of a real server in a real browser: it is live, it shows a shutdown while it happens, and it says so when
nobody answers any more."""

import http.server
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from written_file import read_when_written

SERVER = sys.argv[1]
LIMIT = 240  # Seconds; only how long a broken test takes to fail. A browser starts slowly on a busy machine.
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=20000"]


def is_ready(http_address):
    try:
        with urllib.request.urlopen("http://%s/readyz" % http_address, timeout=LIMIT) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


class Between(http.server.BaseHTTPRequestHandler):
    """Asks the server for the browser: its first look sees it serving, the second one shutting down, and then nobody."""

    server_process = None
    http_address = None
    looks = []

    def do_GET(self):
        if self.path != "/statusz":
            return self.send_error(404)
        self.looks.append(self.path)
        if len(self.looks) == 2:
            self.server_process.send_signal(signal.SIGTERM)
            while is_ready(self.http_address):
                pass
        if len(self.looks) > 2:
            return self.send_error(502)
        with urllib.request.urlopen("http://%s/statusz" % self.http_address, timeout=LIMIT) as answer:
            page = answer.read()
            policy = answer.headers["Content-Security-Policy"]
        if len(self.looks) == 1 and b"<b>Serving</b>" not in page:
            raise SystemExit("it does not serve")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args):
        pass


def look(url, profile):
    browser = shutil.which("chromium")
    if not browser:
        raise SystemExit("chromium is missing: apt-get install chromium")
    shown = subprocess.run([browser, *CHROMIUM, "--user-data-dir=" + profile, "--dump-dom", url],
                           capture_output=True, text=True, timeout=LIMIT)
    return shown.stdout


def main(directory):
    port = directory + "/http"
    server = subprocess.Popen(
        [SERVER, "--address=127.0.0.1:0", "--admin_http_address=127.0.0.1:0", "--admin_http_port_file=" + port,
         "--termination_grace=1h", "--shutdown_lame_duck=10m"], stderr=subprocess.DEVNULL)
    try:
        Between.server_process, Between.http_address = server, read_when_written(port, LIMIT)
        end = time.monotonic() + LIMIT
        while not is_ready(Between.http_address) and time.monotonic() < end:
            pass
        between = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
        threading.Thread(target=between.serve_forever, daemon=True).start()
        page = look("http://127.0.0.1:%d/statusz" % between.server_port, directory + "/profile")
        for what, pattern in (
                ("what the second look saw", r"<b>LameDuck</b>"),
                ("its title", r"<title>echo: LameDuck</title>"),
                ("the timeline", r"The shutdown so far"),
                ("an event", r"<td>ShutdownRequested</td>"),
                ("that nobody answers any more", r'<body class="gone">')):
            if not re.search(pattern, page):
                raise SystemExit("the page does not show %s after %d looks:\n%s" % (what, len(Between.looks), page))
        server.send_signal(signal.SIGINT)  # Expedites it.
        if server.wait(LIMIT) != 0:
            raise SystemExit("the server ended with %d" % server.returncode)
    finally:
        server.kill()
        server.wait()


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
    main(made)
