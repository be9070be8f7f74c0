# SPDX-License-Identifier: GPL-2.0-or-later
"""A Flask application whose cache key contains the query string, so it caches every request for ever.

    app.py plain|tracemalloc

Prints "READY PORT" when it listens. /counts (reference run only) starts tracing at the first call and
returns blocks and bytes per line of page_cache.py at the second.
"""
import gc
import json
import os
import sys
import tracemalloc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from flask import Flask, request  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

import page_cache  # noqa: E402

app = Flask(__name__)


@app.route("/page")
def page():
    key = request.full_path
    cached = page_cache.lookup(key)
    if cached is None:
        text = "<h1>%s</h1>" % key + "lorem ipsum " * 20
        page_cache.store(key, text)
    return "<p>ok</p>"


@app.route("/collect")
def collect():
    return json.dumps(gc.collect())


@app.route("/counts")
def counts():
    if not tracemalloc.is_tracing():
        tracemalloc.start(1)
        return "{}"
    table = {}
    for trace in tracemalloc._get_traces():
        file, line = trace[2][0]
        if os.path.basename(file) == "page_cache.py":
            entry = table.setdefault(line, {})
            entry[trace[1]] = entry.get(trace[1], 0) + 1
    return json.dumps(table)


def main():
    import logging
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=False)
    print("READY %d" % server.server_port, flush=True)
    server.serve_forever()


main()
