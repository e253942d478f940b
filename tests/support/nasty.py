"""Texts and bodies that somebody sends who means harm, or whose program is broken.

``KEPT`` are texts: stored and given back letter by letter, wherever a text may stand. ``NOT_KEPT``
are JSON texts that no database keeps. ``BROKEN`` are bodies that are refused whatever they order.
"""

import json

KEPT = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "out of an attribute": "\"><svg onload=alert(1)> '--><b",
    "link": "javascript:alert(1)//https://a.example",
    "end of a script": "</script><script>alert(1)</script>]]>",
    "entity": "&lt;script&gt;&amp;&#x27;&nbsp",
    "template": "{{7*7}} {% raw %}{{config}} ${7*7} #{7*7} <%= 7*7 %>",
    "format": "%s%s%n %(x)s {0} {x.__class__.__mro__}",
    "sql": "'; DROP TABLE job; -- \\' OR '1'='1",
    "sql like": "%_\\%",
    "jsonpath": '$.* ? (@ like_regex ".*") "',
    "path": "../../../../etc/passwd",
    "other path": "..\\..\\C:\\Windows\\win.ini",
    "encoded path": "%2e%2e%2f%2e%2e%2fetc%2fpasswd%00",
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\x9b31m",
    "lines": "one\r\ntwo\nthree\rfour\u2028five\u2029six\x85seven\x0beight\x0cnine",
    "header": "x\r\nSet-Cookie: a=b\r\n\r\n<h1>",
    "event": "x\n\nevent: end\ndata: {}\n\n",
    "log": '\n{"event": "all.good", "level": "info"}',
    "bidi": "\u202egpj.exe\u202c \u2066a\u2069 \u200fb\u200e",
    "unseen": "a\u200bb\u00adc\ufeffd\u2060e\U000e0041",
    "zalgo": "Z\u0351\u036b\u0343a\u0327\u0326l\u0335go" * 8,
    "surrogate pair": "😀👩\u200d👩\u200d👧\u200d👦🏳️\u200d🌈",
    "not normal": "e\u0301 \u00e9 \ufb01 \u212b \uff1cscript\uff1e",
    "private": "\ue000\U000f0000\U0010ffff\ufffe",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f",
    "korean": "새벽 두 시의 암실",
    "shell": "$(touch /tmp/x) `id` ; | & > /dev/null",
    "csv": '=HYPERLINK("http://evil.example",1)\t+1-1@SUM(A1)',
    "spaces": "  \t  ",
    "proto": "__proto__",
    "null": "null",
    "number": "1e309",
    "long word": "w" * 200,
}

# As they stand in JSON, between quotes.
NOT_KEPT = {
    "nul": r"a\u0000b",
    "half a pair": r"a\ud800b",
    "the other half": r"\udfff",
    "the wrong way round": r"\ude00\ud83d",
}

# (body, the path that is named)
BROKEN = {
    "a name twice": (b'{"recipe": "sound-effect", "recipe": "x"}', "recipe"),
    "a name twice, deep": (b'{"metadata": {"a": [{"b": 1, "b": 2}]}}', "metadata.a.0.b"),
    "not a number": (b'{"metadata": {"a": NaN}}', "metadata.a"),
    "infinity": (b'{"metadata": {"a": [1, -Infinity]}}', "metadata.a.1"),
    "beyond a float": (b'{"metadata": {"a": 1e999}}', "metadata.a"),
    "too many digits": (b'{"metadata": {"a": ' + b"9" * 301 + b"}}", "metadata.a"),
    "more digits than are read": (
        b'{"deadline_seconds": ' + b"9" * 9000 + b"}",
        "deadline_seconds",
    ),
    "nested": (b'{"metadata": ' + b'{"a":' * 60 + b"1" + b"}" * 61, "metadata" + ".a" * 50),
    "nested lists": (
        b'{"metadata": {"a": ' + b"[" * 400 + b"]" * 400 + b"}}",
        "metadata.a" + ".0" * 49,
    ),
    "nested beyond reading": (
        b'{"metadata": {"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}}",
        "body",
    ),
    "a name with nul": (b'{"metadata": {"a\\u0000": 1}}', "metadata"),
    "a name with half a pair": (b'{"metadata": {"\\ud800": 1}}', "metadata"),
}

# No JSON at all, or none that is read.
UNREADABLE = {
    "nothing": b"",
    "space": b"   ",
    "half": b'{"recipe": "sound-effect"',
    "more behind it": b'{"recipe": "sound-effect"} {}',
    "single quotes": b"{'recipe': 'x'}",
    "a comment": b'{"recipe": "x" /* */}',
    "a comma too many": b'{"recipe": "x",}',
    "latin-1": '{"recipe": "é"}'.encode("latin-1"),
    "overlong utf-8": b'{"recipe": "\xc0\xaf"}',
    "surrogates as utf-8": b'{"recipe": "\xed\xa0\x80"}',
    "a raw control": b'{"recipe": "a\x01b"}',
    "a raw nul": b'{"recipe": "a\x00b"}',
    "a bad escape": b'{"recipe": "\\x41"}',
    "zip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
}


def in_json(text: str) -> str:
    """A text between its quotes."""
    return json.dumps(text)
