# SPDX-License-Identifier: GPL-2.0-or-later
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

FOUND, MISSING = harness.find_interpreters()


def pytest_configure(config):
    config.addinivalue_line("markers", "quick_set: with the interpreters of harness.QUICK only, also when all are "
                            "tested: it takes minutes each and looks at what does not differ between builds")
    config.addinivalue_line("markers", "free_threaded: with free-threaded builds as well, which have no pools and so "
                            "no coverage by the tool")
    if not os.access(harness.BINARY, os.X_OK):
        pytest.exit("%s is missing: run make first" % harness.BINARY, returncode=2)
    if os.geteuid() != 0:
        pytest.exit("the integration tests need root", returncode=2)


def chosen(metafunc):
    """The interpreters of a test."""
    marked = lambda name: metafunc.definition.get_closest_marker(name) is not None  # noqa: E731
    few, any_gil = marked("quick_set"), marked("free_threaded")
    return [i for i in FOUND if (any_gil or not i.free_threaded)
            and (not few or i.name in harness.QUICK or i.name.startswith("extra"))]


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        interpreters = chosen(metafunc)
        metafunc.parametrize("interpreter", interpreters, ids=[i.label for i in interpreters], scope="module")


def pytest_runtest_logreport(report):
    if report.when == "teardown":
        REPORTS.extend(report.user_properties)


def pytest_terminal_summary(terminalreporter):
    for title, text in sorted(REPORTS):
        terminalreporter.section(title)
        terminalreporter.write(text)
    terminalreporter.section("interpreters")
    for interpreter in FOUND:
        terminalreporter.write_line("tested: %s %s" % (interpreter.name, interpreter.version))
    for name, reason in MISSING:
        terminalreporter.write_line("NOT TESTED: %s: %s" % (name, reason))
    if not harness.FULL:
        terminalreporter.write_line("TMBPF_FULL=1 tests these too: %s" % ", ".join(
            i.name for i in harness.interpreter_list()[0] if i.name not in harness.QUICK))


REPORTS = []


@pytest.fixture
def show(request):
    """Print a table at the end of the run, whether the test passes or not; also from a worker process."""
    def add(title, text):
        request.node.user_properties.append((title, text))
    return add


@pytest.fixture
def debian():
    """The stock interpreter."""
    for interpreter in FOUND:
        if interpreter.name == "system":
            return interpreter
    pytest.fail("/usr/bin/python3 is missing")


@pytest.fixture
def program():
    """Start targets, program(INTERPRETER or path, arguments...); all of them end with the test."""
    started = []

    def start(*argv, **kw):
        p = harness.Program(argv, **kw)
        started.append(p)
        return p
    yield start
    for p in started:
        p.close()


@pytest.fixture
def tool():
    """Start the tool; every instance is stopped with the test."""
    started = []

    def start(*args, **kw):
        t = harness.Tool(*args, **kw)
        started.append(t)
        return t
    yield start
    for t in started:
        t.close()


@pytest.fixture
def target_script():
    def path(name):
        return os.path.join(harness.TARGETS, name)
    return path
