# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that leaks through a real library: Debian's Flask, driven over loopback."""
import http.client
import json
import time

import exactness
import harness

WARM_UP = 60
REQUESTS = 600


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        c.request("GET", path)
        r = c.getresponse()
        body = r.read()
        assert r.status == 200, (r.status, body[:200])
        return body
    finally:
        c.close()


def load(port, first, count):
    for n in range(first, first + count):
        get(port, "/page?request=%06d" % n)


def test_unbounded_cache_of_a_flask_app(debian, program, tool, target_script, show):
    app = target_script("webapp/app.py")
    cache = target_script("webapp/page_cache.py")

    reference = program(debian, app)
    port = int(reference.ready_text)
    load(port, 0, WARM_UP)
    get(port, "/collect")
    get(port, "/counts")
    load(port, WARM_UP, REQUESTS)
    want = {int(n): sizes for n, sizes in json.loads(get(port, "/counts")).items()}
    assert len(want) == 1
    line, sizes = want.popitem()
    want_blocks = sum(sizes.values())
    want_bytes = sum(exactness.round_size(int(s)) * n for s, n in sizes.items())
    assert want_blocks >= 4 * REQUESTS

    p = program(debian, app)
    port = int(p.ready_text)
    load(port, 0, WARM_UP)
    get(port, "/collect")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    load(port, WARM_UP, REQUESTS)
    interval, sites, _ = t.stop()
    first = sites[0]
    assert (first["file"], first["line"]) == (cache, line), sites[:5]
    mine = [s for s in sites if s["file"] == cache]
    assert {s["line"] for s in mine} == {line}
    blocks = sum(s["blocks"] for s in mine)
    size = sum(s["bytes"] for s in mine)
    show("Flask, unbounded cache", harness.table(
        [["tracemalloc", want_blocks, want_bytes], ["tmbpf", blocks, size]],
        ["page_cache.py:%d after %d requests" % (line, REQUESTS), "blocks", "bytes"]))
    # Free lists differ a little at attach: the two processes served the same requests, but the
    # reference's /counts request came in between.
    assert abs(blocks - want_blocks) <= 4
    assert abs(size - want_bytes) <= 4 * exactness.SMALL_MAX
    assert harness.coverage(interval)[0] >= 0.999
    get(port, "/page?request=000001")
    assert p.alive()


def test_text_report_names_the_suspect(debian, program, target_script):
    """What a person reads after Ctrl-C."""
    p = program(debian, target_script("webapp/app.py"))
    port = int(p.ready_text)
    load(port, 0, WARM_UP)
    with harness.Tool("-p", p.pid, "--mode", "exact", 600, json_output=False) as t:
        t.lines.take(30)
        time.sleep(1)
        load(port, WARM_UP, 300)
        t.proc.send_signal(2)
        text = []
        while True:
            line = t.lines.take(30)
            if line is None:
                break
            text.append(line)
        assert "page_cache.py" in "\n".join(text) + t.stderr()
        assert "Biggest: " in "\n".join(text) + t.stderr()
