# SPDX-License-Identifier: GPL-2.0-or-later
"""Deterministic workloads for the two-run comparison with tracemalloc.

Each function allocates about n objects, keeps what it says it keeps in its result, and depends on
nothing but n. A comment "# inplace" marks a line where CPython may shrink or grow a block in place
(pymalloc's realloc keeps a block whose new size is above 3/4 of its class): there tracemalloc knows the
new requested size and the allocator keeps the class, so bytes may differ, blocks may not.
"""
import collections
import datetime
import decimal
import json
import re
import threading

try:
    import dataclasses
except ImportError:  # before CPython 3.7
    dataclasses = None

WORKLOADS = {}
SINCE = {"dataclass_instances": (3, 7)}  # those that cannot exist before a version


def workload(default_n):
    def register(f):
        WORKLOADS[f.__name__] = (f, default_n)
        return f
    return register


class Point:
    __slots__ = ("x", "y", "tag")

    def __init__(self, x, y, tag):
        self.x = x
        self.y = y
        self.tag = tag


@workload(8000)
def slots_objects(n):
    table = {}
    for i in range(n):
        point = Point(i + 100000, i * 0.5, None)
        row = [point]
        table[i % (n // 4)] = row
    return table


class Account:
    def __init__(self, number):
        self.number = number + 70000
        self.owner = "owner-%d" % number
        self.limits = None


@workload(6000)
def instances_with_dict(n):
    kept = []
    for i in range(n):
        account = Account(i)
        if i % 3:
            account.limits = {"day": i, "month": i * 30}
        kept.append(account)
    return kept


@workload(8000)
def lists_tuples_strs(n):
    kept = {}
    for i in range(n):
        name = "key-%06d" % i
        pair = (name, i + 300000)
        values = [pair, i, None, name]
        kept[name] = values
    return kept


@workload(8000)
def sessions_ring(n):
    live = n * 5 // 8
    ring = [None] * live
    for i in range(n):
        session = {"id": i + 1000000, "user": "user-%d" % i}
        session["seen"] = float(i) + 0.25
        ring[i % live] = session
    return ring


def _counter(start):
    step = start + 500000

    def advance(by):
        return step + by
    return advance


def _produce(limit):
    total = limit + 100000
    for i in range(3):
        total += i
        yield total


@workload(5000)
def closures_and_generators(n):
    kept = []
    for i in range(n):
        advance = _counter(i)
        kept.append(advance)
        if i % 2:
            generator = _produce(i)
            next(generator)
            kept.append(generator)
        kept.append(lambda x, i=i: x + i)
    return kept


class Refused(Exception):
    pass


@workload(4000)
def exceptions_kept(n):
    kept = []
    for i in range(n):
        try:
            if i % 2:
                raise Refused("refused", i + 4000)
            else:
                {}["missing-%d" % i]
        except (Refused, KeyError) as e:
            e.__traceback__ = None
            e.__context__ = None
            kept.append(e)
    return kept


def _thread_part(slot, n):
    part = {}
    for i in range(n):
        part[i] = {"thread": slot, "value": i + 90000}
    return part


def _thread_main(results, slot, n):
    results[slot] = _thread_part(slot, n)


@workload(6000)
def threads_with_dicts(n):
    results = [None] * 4
    threads = []
    for slot in range(4):
        threads.append(threading.Thread(target=_thread_main, args=(results, slot, n // 4)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@workload(4000)
def json_tuples_kept(n):
    text = json.dumps({"rows": [[1.5, 2, "a"], [3.25, 4, "b"]], "id": 123456, "tags": ["x", "y"]})
    kept = []
    for i in range(n):
        record = json.loads(text)
        row = (i + 50000, record["id"])
        kept.append(row)
        if i % 4 == 0:
            kept.append(record)
    return kept


@workload(12000)
def floats_from_temporaries(n):
    kept = []
    x = 0.5
    for i in range(n):
        x = x * 1.0001 + i * 0.25 - (i / 3.0)
        kept.append(x * 2.0 + 1.0)
    return kept


@workload(6000)
def lists_dicts_among_churn(n):
    kept = []
    for i in range(n):
        for j in range(3):
            scratch = [i, j]
            other = {i: j}
        keep_list = [i, i]
        keep_dict = {"a": i}
        kept.append(keep_list)
        kept.append(keep_dict)
    del scratch, other
    return kept


@workload(5000)
def regex_matches_kept(n):
    pattern = re.compile(r"(\w+)=(\d+);(\w+)?")
    kept = []
    for i in range(n):
        text = "name%d=%d;tail" % (i, i)
        match = pattern.match(text)
        kept.append(match)
        kept.append(match.group(2))
    return kept


@workload(1500)
def big_blocks(n):
    kept = []
    table = {}
    for i in range(n):
        kept.append(bytearray(600 + (i % 50) * 137))
        kept.append([None] * (80 + i % 40))
        kept.append(bytes(513 + i % 9))
        table[i] = None
    growing = []
    for i in range(n * 8):
        growing.append(i & 0x7f)
    kept.append(growing)
    kept.append({j: None for j in range(n)})
    kept.append(frozenset(range(n)))
    return kept, table


@workload(5000)
def strings_and_bytes(n):
    kept = []
    for i in range(n):
        head = "item " + str(i)
        line = ",".join((head, "x" * (i % 60), "end"))
        kept.append(line)
        kept.append(line.encode("utf-8"))
        kept.append(line.upper())
        kept.append("\u0416%d\u4e16" % i)  # inplace
        kept.append(line.replace("item", "a longer word"))
        kept.append(line[3:40])
    return kept


@workload(4000)
def generators_running(n):
    kept = []

    def numbers(start):
        buffer = [start, start + 1]
        while True:
            yield buffer
            buffer = buffer + [start]

    for i in range(n):
        running = numbers(i + 1000)
        next(running)
        if i % 2:
            next(running)
        kept.append(running)
    squares = (i * i + 100000 for i in range(n))
    kept.append([next(squares) for i in range(n // 2)])  # inplace
    kept.append(squares)
    return kept


Entry = collections.namedtuple("Entry", "key value")


@workload(2000)
def collections_mixed(n):
    kept = []
    queue = collections.deque()
    groups = collections.defaultdict(list)
    for i in range(n):
        queue.append(i + 60000)
        groups[i % 500].append(i + 120000)
        ordered = collections.OrderedDict()
        ordered["first"] = i + 1000
        ordered["second"] = None
        kept.append(ordered)
        kept.append(Entry(i + 2000, None))
        kept.append(set((i, i + 1)))
    kept.append(queue)
    kept.append(groups)
    return kept


if dataclasses:
    @dataclasses.dataclass
    class Order:
        number: int
        title: str
        items: list = dataclasses.field(default_factory=list)

    @workload(5000)
    def dataclass_instances(n):
        kept = []
        for i in range(n):
            order = Order(i + 100000, "order %d" % i)
            order.items.append(i)
            kept.append(order)
        return kept


@workload(150)
def classes_created(n):
    kept = []
    for i in range(n):
        kept.append(type("Made%d" % i, (), {"number": i, "get": lambda self: self.number}))
    return kept


@workload(4000)
def numbers_and_dates(n):
    kept = []
    day = datetime.timedelta(days=1)
    start = datetime.datetime(2020, 1, 1)
    for i in range(n):
        kept.append(decimal.Decimal(i) / decimal.Decimal(7))  # inplace
        kept.append(start + day * (i % 900))
        kept.append((1 << 64 + i % 200) + i)
        kept.append(complex(i, 1.5))
    return kept


def _descend(depth, kept, i):
    if depth:
        return _descend(depth - 1, kept, i)
    row = [i, (i, depth)]
    kept.append(row)
    return i + 1000


@workload(5000)
def recursion_depth_20(n):
    kept = []
    total = 0
    for i in range(n):
        total += _descend(20, kept, i)
    return kept, total


class Node:
    def __init__(self, left, right):
        self.left = left
        self.right = right


def _tree(depth):
    if depth == 0:
        return None
    return Node(_tree(depth - 1), _tree(depth - 1))


@workload(4096)
def linked_nodes(n):
    return _tree(max(2, n.bit_length() - 1))


@workload(4000)
def bound_methods_partials(n):
    import functools
    kept = []
    for i in range(n):
        account = Point(i, None, None)
        kept.append(account.__init__)
        kept.append(functools.partial(_counter, i))
        kept.append(slice(i, i + 1000))
        kept.append(iter([i]))
        kept.append(range(i, i + 100000))
        kept.append(memoryview(b"view"))
    return kept
