# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache without a bound: the leak of the web application."""

PAGES = {}


def lookup(key):
    return PAGES.get(key)


def store(key, text):
    PAGES[key] = (key, [text, text.upper(), text.title()])
