# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations below every construct of the language, nested in each other, for the comparison of stacks.

run(n) walks n chains of constructs in the main thread and n in each of three threads at the same time. At the
end of a chain stand allocations: some above 512 bytes, each with a size that no other has, and some small ones.
All are kept in slots that exist before. A construct gets rest() and a number k that is the same in every run,
and calls rest() exactly once.

The same source runs on CPython 3.6 to 3.15; what needs a later version or a module that may be missing stands
in a string or behind an import, and LEFT_OUT says why it is not there.
"""
import abc
import ast
import bisect
import collections
import contextlib
import copy
import enum
import functools
import heapq
import io
import itertools
import json
import operator
import pickle
import re
import sys
import threading
import types
import weakref

CONSTRUCTS = []
LEFT_OUT = []
VERSION = sys.version_info[:2]


def construct(f):
    CONSTRUCTS.append(f)
    return f


def optional(name):
    """A module that not every build has, or None."""
    try:
        return __import__(name)
    except ImportError as e:
        LEFT_OUT.append("%s: %s" % (name, e))
        return None


class Stop(Exception):
    pass


# ---- calls ----

@construct
def plain_call(rest, k):
    rest()


@construct
def call_of_a_lambda(rest, k):
    (lambda: rest())()


@construct
def arguments_by_star(rest, k):
    def callee(first, *args, **kwargs):
        args[0](**kwargs)
    callee(*(k, rest), **{})


@construct
def keywords_by_star(rest, k):
    def callee(*, number, go, **kwargs):
        go()
    callee(**{"number": k, "go": rest, "more": None})


@construct
def argument_is_a_call(rest, k):
    def callee(a, b, c):
        return c
    callee(k,
           rest(),
           k)


@construct
def default_of_an_argument(rest, k):
    def callee(a=rest()):
        return a
    callee()


@construct
def annotation(rest, k):  # evaluated at once, or from 3.14 on when it is asked for
    def callee(a: rest()):
        return a
    callee.__annotations__


@construct
def recursion(rest, k):
    def descend(depth):
        if depth == 0:
            return rest()
        return descend(depth - 1)
    descend(1 + k % 23)


@construct
def mutual_recursion(rest, k):
    def ping(depth):
        return pong(depth - 1) if depth else rest()

    def pong(depth):
        return ping(depth - 1) if depth else rest()
    ping(k % 4)


@construct
def closures(rest, k):
    count = 0

    def outer():
        def inner():
            nonlocal count
            count += 1
            rest()
        return inner
    outer()()


@construct
def decorators(rest, k):
    def twice_wrapped(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs)
        return wrapper

    @twice_wrapped
    @twice_wrapped
    def decorated():
        rest()
    decorated()


@construct
def decoration_itself(rest, k):
    def decorator(f):
        rest()
        return f

    @decorator
    def decorated():
        pass


# ---- statements ----

@construct
def while_loop(rest, k):
    n = 3
    while n:
        n -= 1
        if n == 1:
            rest()


@construct
def for_loop_with_else(rest, k):
    for i in range(3):
        if i == 5:
            break
    else:
        rest()


@construct
def condition(rest, k):
    if k < 0:
        pass
    elif rest() is None:
        pass


@construct
def handler(rest, k):
    try:
        raise Stop(k)
    except Stop:
        rest()


@construct
def handler_of_a_callee(rest, k):
    def fail():
        raise Stop(k)
    try:
        fail()
    except (ValueError, Stop) as e:
        rest()
        del e


@construct
def finally_block(rest, k):
    def callee():
        try:
            return k
        finally:
            rest()
    callee()


@construct
def else_of_try(rest, k):
    try:
        pass
    except Stop:
        pass
    else:
        rest()


@construct
def body_of_try_with_cause(rest, k):
    try:
        try:
            rest()
            raise Stop
        except Stop as e:
            raise KeyError(k) from e
    except KeyError:
        pass


@construct
def with_enter(rest, k):
    class Manager:
        def __enter__(self):
            rest()

        def __exit__(self, *exc):
            pass
    with Manager():
        pass


@construct
def with_exit_after_exception(rest, k):
    class Manager:
        def __enter__(self):
            pass

        def __exit__(self, *exc):
            rest()
            return True
    with Manager():
        raise Stop


@construct
def with_body_two_managers(rest, k):
    with contextlib.suppress(Stop), \
            contextlib.closing(io.StringIO()):
        rest()


@construct
def contextmanager_before(rest, k):
    @contextlib.contextmanager
    def manager():
        rest()
        yield
    with manager():
        pass


@construct
def contextmanager_after(rest, k):
    @contextlib.contextmanager
    def manager():
        try:
            yield
        finally:
            rest()
    with manager():
        pass


@construct
def exit_stack(rest, k):
    with contextlib.ExitStack() as stack:
        stack.callback(rest)


@construct
def unpacking(rest, k):
    def values():
        yield 1
        rest()
        yield 2
    a, b = values()


@construct
def deletion(rest, k):
    class Table:
        def __delitem__(self, key):
            rest()
    table = Table()
    del table[k]


@construct
def assertion(rest, k):
    assert rest() is None, "unreachable"


@construct
def augmented_assignment(rest, k):
    class Sum:
        def __iadd__(self, other):
            rest()
            return self
    total = Sum()
    total += k


# ---- one statement, many lines ----

def take(*args, **kwargs):
    return args


@construct
def call_over_many_lines(rest, k):
    take(
        k,
        take(
            k
        ),
        more=rest(
        ),
        last=take(
            k,
        )
    )


@construct
def tuple_over_many_lines(rest, k):
    kept = (
        k,
        (
            k + 1,
            rest(),
        ),
        k + 2,
    )
    return kept


@construct
def list_over_many_lines(rest, k):
    return [
        k,

        rest(),
        k,
    ]


@construct
def dict_over_many_lines(rest, k):
    return {
        "a": k,
        "b":
            rest(),
        "c": k,
    }


@construct
def operators_over_many_lines(rest, k):
    return (k
            + 1
            and
            rest()
            or k)


@construct
def comparison_over_many_lines(rest, k):
    return (0
            <= k
            < (k + 1
               if rest() is None
               else 0))


@construct
def backslashes(rest, k):
    value = k + \
        1 if \
        rest() is None else \
        0
    return value


@construct
def subscript_over_many_lines(rest, k):
    return {
        None: k
    }[
        rest()
    ]


@construct
def attributes_over_many_lines(rest, k):
    return (take(k)
            .__len__()
            .__add__(
                0 if rest() is None else 1)
            .__str__())


@construct
def string_over_many_lines(rest, k):
    return """
    %s
    %s
    """ % (
        k,
        rest())


@construct
def fstring(rest, k):
    return f"{k} {rest()} {k}"


@construct
def forty_lines(rest, k):
    return take(
        1, 2, 3,
        4,
        5,
        6,
        7,
        8,
        9,
        take(k,
             10,
             11,
             12,
             13,
             14),
        15,
        16,
        17,
        18,
        19,
        20,
        # a comment

        21,
        22,
        23,
        24,
        25,
        26,
        27,
        28,
        [29,
         30,
         {31: 32,
          33: rest(),
          34: 35}],
        36,
        37,
        38,
        39,
        40)


# ---- comprehensions and generators ----

@construct
def list_comprehension(rest, k):
    return [rest() for _ in (0,)]


@construct
def set_comprehension(rest, k):
    return {rest() for _ in (0,)}


@construct
def dict_comprehension(rest, k):
    return {i: rest()
            for i in (0,)}


@construct
def nested_comprehension(rest, k):
    return [
        [rest()
         for b in (a,)]
        for a in (0,)
    ]


@construct
def condition_of_a_comprehension(rest, k):
    return [i for i in (0,)
            if rest() is None]


@construct
def comprehension_over_a_generator(rest, k):
    def values():
        rest()
        yield k
    return {v for v in values()}


@construct
def generator_expression(rest, k):
    return list(rest() for _ in (0,))


@construct
def sum_of_a_generator_expression(rest, k):
    return sum(i if rest() is None else 0 for i in (1,))


@construct
def join_of_a_generator_expression(rest, k):
    return ",".join("x" if rest() is None else
                    "y" for _ in (0,))


@construct
def any_of_a_generator_expression(rest, k):
    return any(rest() for _ in (0,))


@construct
def generator(rest, k):
    def values():
        yield 1
        rest()
        yield 2
    for _ in values():
        pass


@construct
def yield_from(rest, k):
    def inner():
        yield k
        rest()

    def middle():
        yield from inner()

    def outer():
        yield from middle()
    return list(outer())


@construct
def generator_send(rest, k):
    def values():
        while True:
            got = yield
            if got:
                rest()
    running = values()
    next(running)
    running.send(None)
    running.send(1)


@construct
def generator_throw(rest, k):
    def values():
        try:
            yield
        except Stop:
            rest()
            yield
    running = values()
    next(running)
    running.throw(Stop())


@construct
def generator_close(rest, k):
    def values():
        try:
            yield
        finally:
            rest()
    running = values()
    next(running)
    running.close()


@construct
def generator_dropped(rest, k):
    def values():
        try:
            yield
        finally:
            rest()
    running = values()
    next(running)
    del running


@construct
def generator_resumed_elsewhere(rest, k):
    """Each time below another frame."""
    def values():
        yield
        rest()
        yield

    def step(running):
        next(running)
    running = values()
    next(running)
    step(running)


@construct
def zip_and_enumerate(rest, k):
    def values():
        rest()
        yield k
    for i, (a, b) in enumerate(zip((1,), values())):
        pass


@construct
def iter_with_sentinel(rest, k):
    def step():
        rest()
        return 0
    for _ in iter(step, 0):
        pass


# ---- coroutines ----

def drive(coroutine):
    """Run a coroutine to its end by hand."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


@types.coroutine
def pause():
    yield


@construct
def coroutine(rest, k):
    async def main():
        rest()
    drive(main())


@construct
def awaits(rest, k):
    async def inner():
        await pause()
        rest()

    async def middle():
        await pause()
        await inner()

    async def outer():
        await middle()
    drive(outer())


@construct
def awaitable_object(rest, k):
    class Awaitable:
        def __await__(self):
            rest()
            yield

    async def main():
        await Awaitable()
    drive(main())


@construct
def async_generator(rest, k):
    async def values():
        yield 1
        await pause()
        rest()
        yield 2

    async def main():
        async for _ in values():
            await pause()
    drive(main())


@construct
def async_iterator(rest, k):
    class Values:
        def __aiter__(self):
            return self

        async def __anext__(self):
            rest()
            raise StopAsyncIteration

    async def main():
        async for _ in Values():
            pass
    drive(main())


@construct
def async_with(rest, k):
    class Manager:
        async def __aenter__(self):
            await pause()

        async def __aexit__(self, *exc):
            await pause()
            rest()

    async def main():
        async with Manager():
            await pause()
    drive(main())


@construct
def async_comprehension(rest, k):
    async def values():
        await pause()
        yield k

    async def main():
        return [rest() async for _ in values()]
    drive(main())


@construct
def coroutine_dropped(rest, k):
    async def main():
        try:
            await pause()
        finally:
            rest()
    running = main()
    running.send(None)
    running.close()


# ---- classes ----

@construct
def class_body(rest, k):
    class Made:
        a = k
        rest()
        b = k


@construct
def nested_class_body(rest, k):
    class Outer:
        class Inner:
            def method(self):
                return rest()
            kept = method(None)


@construct
def init(rest, k):
    class Base:
        def __init__(self):
            rest()

    class Made(Base):
        def __init__(self, number):
            self.number = number
            super().__init__()
    Made(k)


@construct
def new(rest, k):
    class Made:
        def __new__(cls, number):
            rest()
            return super().__new__(cls)
    Made(k)


@construct
def properties(rest, k):
    class Made:
        @property
        def value(self):
            return rest()
    return Made().value


@construct
def property_setter(rest, k):
    class Made:
        def value(self):
            return None

        def set_value(self, to):
            rest()
        value = property(value, set_value)
    Made().value = k


@construct
def static_method(rest, k):
    class Made:
        @staticmethod
        def make():
            rest()
    Made().make()


@construct
def class_method(rest, k):
    class Made:
        @classmethod
        def make(cls):
            rest()
    Made.make()


@construct
def bound_method_kept(rest, k):
    class Made:
        def go(self):
            rest()
    bound = Made().go
    bound()


@construct
def metaclass(rest, k):
    class Meta(type):
        def __new__(mcs, name, bases, space):
            rest()
            return super().__new__(mcs, name, bases, space)

    class Made(metaclass=Meta):
        pass


@construct
def metaclass_call(rest, k):
    class Meta(type):
        def __call__(cls, *args):
            rest()
            return super().__call__(*args)

    class Made(metaclass=Meta):
        pass
    Made()


@construct
def metaclass_prepare(rest, k):
    class Meta(type):
        @classmethod
        def __prepare__(mcs, name, bases):
            rest()
            return {}

    class Made(metaclass=Meta):
        pass


@construct
def init_subclass(rest, k):
    class Base:
        def __init_subclass__(cls, **kwargs):
            if kwargs.pop("deep", None):
                rest()
            super().__init_subclass__(**kwargs)

    class Made(Base, deep=True):
        pass


@construct
def set_name(rest, k):
    class Descriptor:
        def __set_name__(self, owner, name):
            rest()

    class Made:
        field = Descriptor()


@construct
def descriptor(rest, k):
    class Descriptor:
        def __get__(self, instance, owner):
            rest()
            return k

    class Made:
        field = Descriptor()
    return Made().field


@construct
def getattr_hook(rest, k):
    class Made:
        def __getattr__(self, name):
            rest()
            return k
    return Made().missing


@construct
def getattribute_hook(rest, k):
    class Made:
        def __getattribute__(self, name):
            rest()
            return k
    return Made().anything


@construct
def setattr_hook(rest, k):
    class Made:
        def __setattr__(self, name, value):
            rest()
    Made().anything = k


@construct
def class_from_type(rest, k):
    made = type("Made%d" % k, (), {"go": lambda self: rest()})
    made().go()


@construct
def class_decorator(rest, k):
    def decorator(cls):
        rest()
        return cls

    @decorator
    class Made:
        pass


@construct
def subclass_hook(rest, k):
    class Base(abc.ABC):
        @classmethod
        def __subclasshook__(cls, other):
            rest()
            return True
    return issubclass(int, Base)


@construct
def instance_check(rest, k):
    class Meta(type):
        def __instancecheck__(cls, instance):
            rest()
            return True

    class Made(metaclass=Meta):
        pass
    return isinstance(k, Made)


@construct
def enum_missing(rest, k):
    class Colour(enum.Enum):
        RED = 1

        @classmethod
        def _missing_(cls, value):
            rest()
            return cls.RED
    return Colour(7)


@construct
def destructor(rest, k):
    class Made:
        def __del__(self):
            rest()
    made = Made()
    del made


@construct
def destructor_at_return(rest, k):
    class Made:
        def __del__(self):
            rest()

    def callee():
        made = Made()
        return made is None
    callee()


@construct
def weakref_callback(rest, k):
    class Made:
        pass
    made = Made()
    ref = weakref.ref(made, lambda _: rest())
    del made
    return ref


@construct
def thread_local(rest, k):
    class Local(threading.local):
        def __init__(self):
            rest()
    return Local()


# ---- methods that the interpreter calls from C ----

def by_protocol(name, result, use):
    """use() makes the interpreter call the method; what it must return is given."""
    def protocol(rest, k):
        def method(self, *args):
            rest()
            return result
        use(type("Object", (), {name: method})())
    protocol.__name__ = "protocol" + name
    construct(protocol)


by_protocol("__eq__", True, lambda o: o == 1)
by_protocol("__ne__", True, lambda o: o != 1)
by_protocol("__lt__", True, lambda o: o < 1)
by_protocol("__gt__", True, lambda o: 1 < o)
by_protocol("__hash__", 7, lambda o: {o: 1})
by_protocol("__len__", 3, lambda o: len(o))
by_protocol("__bool__", True, lambda o: 1 if o else 2)
by_protocol("__contains__", True, lambda o: 1 in o)
by_protocol("__iter__", iter(()), lambda o: [*o])
by_protocol("__next__", 1, lambda o: next(o))
by_protocol("__reversed__", iter(()), lambda o: list(reversed(o)))
by_protocol("__getitem__", 1, lambda o: o[
    "key"])
by_protocol("__setitem__", None, lambda o: operator.setitem(o, 1, 2))
by_protocol("__call__", 1, lambda o: o(1, 2))
by_protocol("__add__", 1, lambda o: o + 1)
by_protocol("__radd__", 1, lambda o: 1 + o)
by_protocol("__rmatmul__", 1, lambda o: 1 @ o)
by_protocol("__pow__", 1, lambda o: pow(o, 2))
by_protocol("__neg__", 1, lambda o: -o)
by_protocol("__index__", 1, lambda o: [1, 2][o])
by_protocol("__int__", 1, lambda o: int(o))
by_protocol("__float__", 1.5, lambda o: float(o))
by_protocol("__round__", 1, lambda o: round(o))
by_protocol("__divmod__", 1, lambda o: divmod(o, 2))
by_protocol("__str__", "s", lambda o: "%s" % o)
by_protocol("__repr__", "r", lambda o: "%r" % (o,))
by_protocol("__repr__", "r", lambda o: str([o]))
by_protocol("__format__", "f", lambda o: "{:>10} {}".format(o, 1))
by_protocol("__format__", "f", lambda o: f"{o:x}")
by_protocol("__bytes__", b"b", lambda o: bytes(o))
by_protocol("__dir__", [], lambda o: dir(o))
by_protocol("__copy__", 1, lambda o: copy.copy(o))
by_protocol("__deepcopy__", 1, lambda o: copy.deepcopy([o]))
by_protocol("__reduce_ex__", (int, ()), lambda o: pickle.dumps(o))
by_protocol("__fspath__", "/", lambda o: open.__self__ and __import__("os").fspath(o))
by_protocol("__sizeof__", 16, lambda o: sys.getsizeof(o))
by_protocol("__length_hint__", 1, lambda o: operator.length_hint(o))
by_protocol("write", None, lambda o: print(file=o))
by_protocol("visit_Name", None, lambda o: type("V", (type(o), ast.NodeVisitor), {})().visit(
    ast.Name(id="x", ctx=ast.Load())))


# ---- the library ----

@construct
def sorted_key(rest, k):
    return sorted([k], key=lambda v: rest() or v)


@construct
def sort_with_cmp(rest, k):
    def compare(a, b):
        rest()
        return 0
    values = [1, 2]
    values.sort(key=functools.cmp_to_key(compare))


@construct
def max_key(rest, k):
    return max((k,), key=lambda v: (
        rest(), v)[1])


@construct
def mapped(rest, k):
    return list(map(lambda v: rest(), [k]))


@construct
def filtered(rest, k):
    return tuple(filter(lambda v: rest() is None, [k]))


@construct
def reduced(rest, k):
    return functools.reduce(lambda a, b: rest(), [1, 2])


@construct
def partial(rest, k):
    def callee(go, number):
        go()
    functools.partial(functools.partial(callee, rest), number=k)()


@construct
def cached(rest, k):
    @functools.lru_cache(maxsize=None)
    def compute(number):
        rest()
        return number
    return compute(k) + compute(k)


@construct
def single_dispatch(rest, k):
    @functools.singledispatch
    def callee(value):
        pass

    @callee.register(int)
    def for_int(value):
        rest()
    callee(k)


@construct
def total_ordering(rest, k):
    @functools.total_ordering
    class Ordered:
        def __lt__(self, other):
            rest()
            return True

        def __eq__(self, other):
            return False
    return Ordered() >= Ordered()


@construct
def regex_callback(rest, k):
    return re.sub("b", lambda m: rest() or m.group(), "abc")


@construct
def json_default(rest, k):
    return json.dumps({"a": [object()]}, default=lambda o: rest())


@construct
def json_object_hook(rest, k):
    return json.loads('[{"a": 1}]', object_hook=lambda o: rest())


@construct
def default_dict(rest, k):
    table = collections.defaultdict(lambda: rest())
    return table[k]


@construct
def missing_hook(rest, k):
    class Table(dict):
        def __missing__(self, key):
            rest()
            return key
    return Table()[k]


@construct
def ordered_dict_subclass(rest, k):
    class Table(collections.OrderedDict):
        def __setitem__(self, key, value):
            rest()
            super().__setitem__(key, value)
    table = Table()
    table.setdefault(k)
    if not len(table):
        table[k] = None
    return table


@construct
def user_dict(rest, k):
    class Table(collections.UserDict):
        def __getitem__(self, key):
            rest()
            return key
    return Table({k: 1}).get(k)


@construct
def itertools_callbacks(rest, k):
    def key(v):
        if v:
            rest()
        return v
    return [list(g) for _, g in itertools.groupby([0, 1], key)]


@construct
def itertools_chain(rest, k):
    def values():
        yield k
        rest()
    return list(itertools.takewhile(
        lambda v: True,
        itertools.starmap(take, itertools.chain([()], ((v,) for v in values())))))


@construct
def method_caller(rest, k):
    class Made:
        def go(self):
            rest()
    operator.methodcaller("go")(Made())


@construct
def bisection(rest, k):
    class Value:
        def __lt__(self, other):
            rest()
            return False
    return bisect.bisect_left([Value()], k)


@construct
def heap(rest, k):
    class Value:
        def __lt__(self, other):
            rest()
            return True
    queue = [Value()]
    heapq.heappush(queue, Value())


@construct
def dict_lookup_by_equality(rest, k):
    class Key:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            rest()
            return True
    return {Key(): 1}[Key()]


@construct
def translated(rest, k):
    class Table:
        def __getitem__(self, code):
            rest()
            return "y"
    return "x".translate(Table())


@construct
def buffered_reader(rest, k):
    class Raw(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            rest()
            return 0
    return io.BufferedReader(Raw()).read(1)


@construct
def import_of_a_module(rest, k):
    name = "constructs_made_%d_%d" % (threading.get_ident(), k)
    PENDING[name] = rest
    try:
        __import__(name)
    finally:
        sys.modules.pop(name, None)
        PENDING.pop(name, None)


PENDING = {}


class Importer(abc.ABC):
    """Finds and loads the modules of import_of_a_module: rest() runs below the frozen importlib."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in PENDING:
            return importlib_machinery.ModuleSpec(name, cls)
        return None

    @classmethod
    def create_module(cls, spec):
        return None

    @classmethod
    def exec_module(cls, module):
        PENDING[module.__name__]()


importlib_machinery = __import__("importlib.machinery").machinery
sys.meta_path.insert(0, Importer)


# ---- code made at run time; the names are of all widths that a str can have ----

@functools.lru_cache(maxsize=None)
def compiled(source, name, kind):
    return compile(source, name, kind)


@construct
def exec_of_source(rest, k):
    """Code that dies afterwards."""
    name = "/generated/\U0001f40d%d.py" % (k % 7)
    exec(compile("\n" * (k % 50) + "def f():\n    go()\nf()\n", name, "exec"), {"go": rest})


@construct
def eval_of_source(rest, k):
    eval(compiled("(\n1,\ngo(),\n)", "/generated/\u0436.py", "eval"), {"go": rest})


@construct
def eval_of_latin1(rest, k):
    eval(compiled("[go() for i in (1,)]", "/generated/caf\xe9.py", "eval"), {"go": rest})


@construct
def class_in_exec(rest, k):
    source = "class Made:\n\n    x = (1,\n         go())\n"
    exec(compiled(source, "/generated/\u4e16\u754c.py", "exec"), {"go": rest, "__name__": "made"})


@construct
def exec_of_long_lines(rest, k):
    """Columns above 255 and lines that jump far, forwards and back."""
    source = "f(%s1,%s go(),\n1)\n" % (" " * 400, "\n" * 300)
    exec(compiled("def f(*a): pass\n" + source, "/generated/long.py", "exec"), {"go": rest})


@construct
def exec_of_string(rest, k):
    exec("go()", {"go": rest})


@construct
def changed_code(rest, k):
    """A function that runs the code of another."""
    def first():
        go()

    def second():
        return go
    go = rest
    first.__code__, second.__code__ = first.__code__, first.__code__
    second()


# ---- later versions ----

def later(version, name, source):
    """A construct with syntax or a module that comes with version."""
    if VERSION < version:
        LEFT_OUT.append("%s: needs CPython %d.%d" % ((name,) + version))
        return
    space = {"rest": None}
    exec(compile(source, "/generated/%s.py" % name, "exec"), space)
    construct(space[name])


later((3, 8), "walrus", """
def walrus(rest, k):
    if (n := k) and (
            m := rest()) is None:
        return n, m
    return rest() if not k else None
""")
later((3, 8), "positional_only", """
def positional_only(rest, k):
    def callee(a, /, b, *, c):
        return c()
    callee(k, k, c=rest)
""")
later((3, 8), "cached_property", """
import functools

def cached_property(rest, k):
    class Made:
        @functools.cached_property
        def value(self):
            rest()
            return k
    made = Made()
    return made.value + made.value
""")
later((3, 7), "class_getitem", """
def class_getitem(rest, k):
    class Made:
        def __class_getitem__(cls, item):
            rest()
    return Made[k]
""")
later((3, 7), "module_getattr", """
import types

def module_getattr(rest, k):
    module = types.ModuleType("made")
    module.__getattr__ = lambda name: rest()
    return module.missing
""")
later((3, 7), "context_run", """
import contextvars

def context_run(rest, k):
    contextvars.copy_context().run(rest)
""")
later((3, 10), "match_statement", """
def match_statement(rest, k):
    class Point:
        __match_args__ = ("x",)
        @property
        def x(self):
            rest()
            return k
    match Point():
        case [a, b]:
            pass
        case Point(
                x):
            return x
""")
later((3, 10), "match_guard", """
def match_guard(rest, k):
    match {"a": k}:
        case {"a": n} if rest() is None:
            return n
""")
later((3, 11), "except_star", """
def except_star(rest, k):
    try:
        raise ExceptionGroup("g", [ValueError(k), KeyError(k)])
    except* KeyError:
        rest()
    except* ValueError:
        pass
""")
later((3, 12), "type_parameters", """
def type_parameters(rest, k):
    type Lazy[T] = rest()
    def generic[U](a: U):
        return a
    generic(Lazy.__value__)
""")
later((3, 12), "fstring_over_lines", '''
def fstring_over_lines(rest, k):
    return f"{k} {
        rest()
    } {"nested"}"
''')
later((3, 14), "template_string", '''
def template_string(rest, k):
    return t"{k} {rest()}"
''')

# ---- C code that calls back ----

ctypes = optional("ctypes")
pyexpat = optional("pyexpat")
greenlet = optional("greenlet")

if ctypes:
    CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    QSORT = ctypes.CDLL(None).qsort
    QSORT.restype = None

    @construct
    def ctypes_callback(rest, k):
        """libc's qsort() calls Python; the interpreter's lock is released and taken again."""
        def compare(a, b):
            rest()
            return 0
        numbers = (ctypes.c_int * 2)(1, 1)
        QSORT(numbers, 2, ctypes.sizeof(ctypes.c_int), CALLBACK(compare))

if pyexpat:
    @construct
    def expat_callback(rest, k):
        parser = pyexpat.ParserCreate()
        parser.StartElementHandler = lambda name, attributes: rest()
        parser.Parse("<a/>", True)

if greenlet:
    @construct
    def greenlet_switch(rest, k):
        """A stack of its own: the frames of the parent are not below it."""
        def child():
            main.switch()
            rest()
        main = greenlet.getcurrent()
        other = greenlet.greenlet(child)
        other.switch()
        other.switch()


# ---- what is allocated ----

class Cell:
    __slots__ = ("a", "b")


KEPT = SMALL_KEPT = None  # lists while run() runs
BYTES = sys.getsizeof(b"")
STR = sys.getsizeof("")
BYTEARRAY = 1 if VERSION < (3, 15) else BYTES  # a terminating zero; since 3.15 a bytes object


def size_of(slot, slots):
    """What is asked of malloc for a slot: odd, as blocks of the interpreter itself are not, and in no order."""
    return 521 + 2 * (slot * 2741 % slots)


def form_bytes(slot, size):
    n = size - BYTES
    KEPT[slot] = bytes(n)


def form_bytearray(slot, size):
    n = size - BYTEARRAY
    KEPT[slot] = bytearray(n)


def form_bytes_repeat(slot, size):
    n = size - BYTES
    KEPT[slot] = b"x" * n


def form_str_repeat(slot, size):
    n = size - STR
    KEPT[slot] = "x" * n


def form_many_lines(slot, size):
    n = size - BYTES
    KEPT[slot] = (
        None
        if not n
        else

        b"y"
        *
        n
        or
        None
    )


def form_comprehension(slot, size):
    lengths = [size - BYTES]
    KEPT[slot] = [
        b"x"
        * n
        for n
        in lengths
    ][0]


def form_generator_expression(slot, size):
    lengths = [size - STR]
    KEPT[slot] = next(
        "z" * n
        for n in lengths)


def form_method(slot, size):
    n = size - BYTES
    KEPT[slot] = b"z".ljust(
        n)


FORMS = (form_bytes, form_bytearray, form_bytes_repeat, form_str_repeat, form_many_lines, form_comprehension,
         form_generator_expression, form_method)
FORMS_OF_A_CHAIN = 6


def small_instance(slot):
    SMALL_KEPT[slot] = Cell()


def small_str(slot):
    SMALL_KEPT[slot] = "x" * (40 + slot % 16)


def small_bytes(slot):
    SMALL_KEPT[slot] = b"x" * (20 + slot % 100)


def small_reused_tuple(slot):
    SMALL_KEPT[slot] = (slot, None)


def small_reused_list(slot):
    SMALL_KEPT[slot] = [None]


def small_reused_float(slot):
    SMALL_KEPT[slot] = (
        slot
        * 1.5
    )


SMALL = (small_instance, small_str, small_bytes)
if VERSION >= (3, 8):
    # No dict: no version re-books the tables of dicts.
    SMALL += (small_reused_tuple, small_reused_list, small_reused_float)
else:
    # There tracemalloc, and so tmbpf, leaves a block from a free list with the line that had it first, and
    # with threads that line is another in every run.
    LEFT_OUT.append("small tuples, lists, floats: before CPython 3.8 objects from free lists keep their first line")
SMALL_OF_A_CHAIN = 3


def warm_up():
    """CPython 3.8 to 3.10 give a function tables of its own at its 1024th call, which is somewhere with threads."""
    global KEPT, SMALL_KEPT
    KEPT, SMALL_KEPT = [None], [None]
    for _ in range(1100):
        for f in FORMS:
            f(0, 600)
        for f in SMALL:
            f(0)
    KEPT = SMALL_KEPT = None


warm_up()


class Leaf:
    """The end of chain number: allocates into the slots of that chain."""
    __slots__ = ("number", "calls")

    def __init__(self, number):
        self.number = number
        self.calls = 0

    def __call__(self):
        self.calls += 1
        first = self.number * FORMS_OF_A_CHAIN
        for slot in range(first, first + FORMS_OF_A_CHAIN):
            FORMS[slot % len(FORMS)](slot, size_of(slot, len(KEPT)))
        first = self.number * SMALL_OF_A_CHAIN
        for slot in range(first, first + SMALL_OF_A_CHAIN):
            SMALL[slot % len(SMALL)](slot)


# ---- chains ----

def follow(chain, at, number, leaf):
    """What the construct before calls: the construct at, or at the end of the chain the allocations."""
    if at == len(chain):
        return leaf

    def rest():
        chain[at](after, number + at)
    after = follow(chain, at + 1, number, leaf)
    return rest


class Numbers:
    """The same in every version, unlike random.Random."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % n


def chains(n, thread):
    """n tuples of constructs: in the main thread each construct alone first, then 0 to 8 at random."""
    numbers = Numbers(thread + 1)
    made = [(c,) for c in CONSTRUCTS] if thread == 0 else []
    while len(made) < n:
        made.append(tuple(CONSTRUCTS[numbers.below(len(CONSTRUCTS))] for _ in range(numbers.below(9))))
    return made[:n]


WRONG = []


def walk(n, thread):
    for i, chain in enumerate(chains(n, thread)):
        number = thread * n + i
        leaf = Leaf(number)
        follow(chain, 0, number, leaf)()
        if leaf.calls != 1:
            WRONG.append("%d calls of rest() in %s" % (leaf.calls, [c.__name__ for c in chain]))


THREADS = 4


def run(n):
    global KEPT, SMALL_KEPT
    KEPT = [None] * (THREADS * n * FORMS_OF_A_CHAIN)
    SMALL_KEPT = [None] * (THREADS * n * SMALL_OF_A_CHAIN)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    threads = [threading.Thread(target=walk, args=(n, t)) for t in range(1, THREADS)]
    for t in threads:
        t.start()
    walk(n, 0)
    for t in threads:
        t.join()
    sys.setswitchinterval(interval)
    if WRONG:
        raise RuntimeError("; ".join(WRONG[:5]))
    kept = KEPT, SMALL_KEPT
    KEPT = SMALL_KEPT = None
    return kept


DEFAULT_N = 200  # chains of each thread


def notes(n):
    """For the test."""
    large = THREADS * n * FORMS_OF_A_CHAIN
    return {"constructs": len(CONSTRUCTS), "left_out": LEFT_OUT, "small": THREADS * n * SMALL_OF_A_CHAIN,
            "sizes": [size_of(slot, large) for slot in range(large)]}
