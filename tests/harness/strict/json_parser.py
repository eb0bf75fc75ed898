"""JSON by RFC 8259, in plain Python and without recursion. Numbers keep their digits as they were written."""

import re

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:([{}\[\],:])|"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"'
    r"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9.eE+-])|(true|false|null)(?![a-z]))"
)
_BLANK = re.compile(r"[ \t\n\r]*")
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
_IS_STRING, _IS_NUMBER = 2, 3
_DEEPEST = 900
_LONGEST_NUMBER = 4300


class Rejected(Exception):
    """This must not be believed."""


class Number:
    """A number of JSON: its *text*."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Number) and float(self.text) == float(other.text)

    def __hash__(self):
        return hash(float(self.text))


def need(condition, reason):
    """Raise Rejected if *condition* is false."""
    if not condition:
        raise Rejected(reason)


def parse(body):
    """Read JSON in UTF-8, with or without a byte-order mark; Rejected for anything else, and for two equal keys."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("not UTF-8") from None
    root = []
    open_ = [root]
    key, expect, at = None, "value", int(text.startswith("\ufeff"))
    while expect != "end":
        match = _TOKEN.match(text, at)
        need(match, f"JSON at {at}")
        at = match.end()
        sign, kind = match[1], match.lastindex
        into = open_[-1]
        if sign in ("}", "]"):
            need(expect in (("key or }", ", or }") if sign == "}" else ("value or ]", ", or ]")), "closing")
            open_.pop()
        elif sign == ",":
            need(expect in {", or }", ", or ]"}, "comma")
            expect = "key" if expect == ", or }" else "value"
            continue
        elif sign == ":":
            need(expect == ":", "colon")
            expect = "value"
            continue
        elif expect in {"key", "key or }"}:
            need(kind == _IS_STRING, "key")
            key, expect = _string(match[0]), ":"
            need(key not in into, "two equal keys")
            into[key] = None
            continue
        else:
            need(expect in {"value", "value or ]"}, "value")
            value = {"{": dict, "[": list}[sign]() if sign else _scalar(match, kind)
            if isinstance(into, dict):
                into[key] = value
            else:
                into.append(value)
            if sign:
                open_.append(value)
                need(len(open_) < _DEEPEST, "depth")
                expect = "key or }" if sign == "{" else "value or ]"
                continue
        outer = open_[-1]
        expect = "end" if outer is root else ", or }" if isinstance(outer, dict) else ", or ]"
    need(_BLANK.fullmatch(text, at), "trailing")
    return root[0]


def _scalar(match, kind):
    if kind == _IS_STRING:
        return _string(match[0])
    if kind == _IS_NUMBER:
        need(len(match[_IS_NUMBER]) <= _LONGEST_NUMBER, "size of a number")
        return Number(match[_IS_NUMBER])
    return _WORDS[match[kind]]


def _string(token):
    inside = token[token.index('"') + 1 : -1]
    if "\\" not in inside:
        return inside
    joined = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPED.get(m[2], m[2]), inside)
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") if joined else joined
