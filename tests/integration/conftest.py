# SPDX-License-Identifier: GPL-2.0-or-later
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

FOUND, MISSING = harness.find_interpreters()


def pytest_configure(config):
    if not os.access(harness.BINARY, os.X_OK):
        pytest.exit("%s is missing: run make first" % harness.BINARY, returncode=2)
    if os.geteuid() != 0:
        pytest.exit("the integration tests need root", returncode=2)


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        metafunc.parametrize("interpreter", FOUND, ids=[i.label for i in FOUND], scope="module")


def pytest_terminal_summary(terminalreporter):
    for title, text in REPORTS:
        terminalreporter.section(title)
        terminalreporter.write(text)
    terminalreporter.section("interpreters")
    for interpreter in FOUND:
        terminalreporter.write_line("tested: %s" % interpreter.label)
    for name in MISSING:
        terminalreporter.write_line("NOT TESTED, not on this machine: %s" % name)


REPORTS = []


@pytest.fixture
def show():
    """Print a table at the end of the run, whether the test passes or not."""
    def add(title, text):
        REPORTS.append((title, text))
    return add


@pytest.fixture
def debian():
    """The stock interpreter."""
    for interpreter in FOUND:
        if interpreter.label.startswith("debian"):
            return interpreter
    pytest.fail("/usr/bin/python3 is missing")


@pytest.fixture
def program():
    """Start targets; all of them end with the test."""
    started = []

    def start(*argv, **kw):
        p = harness.Program([str(a) for a in argv], **kw)
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
