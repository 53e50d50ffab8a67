"""Which metrics and labels a PromQL expression names: as much of its grammar as that takes."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:ms|[smhdwy])?)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){},=<>@])
    """,
    re.VERBOSE,
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"}) | _GROUPING


class NotPromQL(ValueError):
    """The text cannot be an expression."""


@dataclass(frozen=True, slots=True)
class Named:
    """selected: metric and labels matched on it. grouped: labels that results are grouped by."""

    selected: tuple[tuple[str, frozenset[str]], ...] = ()
    grouped: frozenset[str] = frozenset()

    @property
    def metrics(self) -> frozenset[str]:
        """The names of all metrics."""
        return frozenset(metric for metric, _ in self.selected)


@dataclass(slots=True)
class _Reader:
    tokens: list[tuple[str, str]]
    at: int = 0
    selected: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.at == len(self.tokens):
            raise NotPromQL("it ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def names_until(self, end: str) -> set[str]:
        """Take the labels of a list in brackets; those of a selector with what they must be."""
        labels = set()
        self.take()
        while (token := self.take())[1] != end:
            if token[0] == "name":
                labels.add(token[1])
                if end == "}":
                    self._take_comparison(token[1])
            elif token[1] != ",":
                raise NotPromQL(f"{token[1]} is no label")
        return labels

    def _take_comparison(self, label: str) -> None:
        if self.take()[1] not in ("=", "!=", "=~", "!~") or self.take()[0] != "text":
            raise NotPromQL(f"label {label} is not compared with a text")

    def read(self) -> Named:
        depth = 0
        while self.at < len(self.tokens):
            kind, text = self.take()
            if kind == "name":
                self._read_name(text)
            elif text == "{":
                raise NotPromQL("a selector without a metric")
            elif text in "()":
                depth += 1 if text == "(" else -1
                if depth < 0:
                    raise NotPromQL("a bracket too many")
        if depth:
            raise NotPromQL("a bracket is open")
        return Named(tuple(self.selected), frozenset(self.grouped))

    def _read_name(self, name: str) -> None:
        if name.lower() in _GROUPING:
            if self.peek() == "(":
                self.grouped |= self.names_until(")")
        elif name.lower() not in _WORDS and self.peek() != "(" and not self._is_aggregation():
            labels = self.names_until("}") if self.peek() == "{" else set()
            self.selected.append((name, frozenset(labels)))

    def _is_aggregation(self) -> bool:
        return self.peek().lower() in ("by", "without")


def named(expression: str) -> Named:
    """Return the metrics and labels of an expression. Raises NotPromQL."""
    tokens, at = [], 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise NotPromQL(f"nothing begins with {expression[at : at + 20]!r}")
        if found.lastgroup != "space":
            tokens.append((str(found.lastgroup), found.group()))
        at = found.end()
    return _Reader(tokens).read()
