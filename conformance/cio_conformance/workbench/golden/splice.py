"""Changes values in the text of a YAML document, and leaves every other character as it is. PURE.

No library does: those that keep comments write every collection anew, in a layout of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import yaml

from cio_conformance.workbench.golden.flow import INDENT, WIDTH, flow, quoted, scalar

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SHORT_FORMS: Final = frozenset({"$repeat", "$numbered", "$merge"})

WriteBlock = Callable[[str, Any, int], str]
"""Writes ``key: value`` as lines of a block, the first at the column that is given."""


class SpliceError(Exception):
    """A value can't be changed in place; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters from ``start`` to before ``end`` become ``text``."""

    start: int
    end: int
    text: str


def compose(text: str) -> yaml.Node:
    """The nodes of a document that was read before, with the places where they stand."""
    return cast("yaml.Node", yaml.compose(text, Loader=_LOADER))


def child(node: yaml.Node, key: str | int) -> yaml.Node:
    """The node of a key or an index. Raises SpliceError."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return cast("yaml.Node", node.value[key])
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if name.value == key:
            return cast("yaml.Node", value)
    raise SpliceError(f"expected the key {key}")


def write_flow(key: str, value: Any, column: int, indent: int | None = None) -> str:
    """``key: value`` on a line; where it is long it goes on at ``indent``, which is a step further
    in than the column if not given.
    """
    head = f"{scalar(key)}: "
    return head + flow(value, column + len(head), indent or column + INDENT)


class Splicer:
    """Finds the edits that make a value another one, as few as it takes.

    ``same`` says whether an old value may stay for a new one.
    """

    def __init__(self, text: str, same: Callable[[Any, Any], bool]) -> None:
        self._text = text
        self._same = same

    def apply(self, edits: Iterable[Edit]) -> str:
        """The text with edits. Raises SpliceError where they get into each other's way."""
        parts: list[str] = []
        at = 0
        for edit in sorted(edits, key=lambda each: (each.start, each.end)):
            if edit.start < at:
                raise SpliceError("it shares lines with others (an anchor?)")
            newline = "\r\n" if "\r\n" in self._text else "\n"
            parts += [self._text[at : edit.start], edit.text.replace("\n", newline)]
            at = edit.end
        return "".join([*parts, self._text[at:]])

    def mapping(
        self,
        node: yaml.MappingNode,
        old: dict[str, Any],
        new: dict[str, Any],
        write_block: WriteBlock = write_flow,
    ) -> list[Edit]:
        """The edits of a mapping that has at least one key of its new value."""
        pairs = [(key.value, key, value) for key, value in node.value]
        kept = [name in new for name, _, _ in pairs]
        edits: list[Edit] = []
        for name, key, value in pairs:
            if name in new:
                edits += self._value(value, old[name], new[name], self._after_colon(key))
        spans = [_Span(key.start_mark.index, self._pair_end(key, value)) for _, key, value in pairs]
        edits += self._removed(spans, kept, flows=bool(node.flow_style))
        added: dict[str | None, list[str]] = {}
        before: str | None = None
        for name in new:
            if name in old:
                before = name
            else:
                added.setdefault(before, []).append(name)
        column = self._column(spans[0].start)
        for after, names in added.items():
            if node.flow_style:
                write = [partial(write_flow, name, new[name]) for name in names]
            else:
                write = [partial(_block, write_block, name, new[name]) for name in names]
            index = next((i for i, pair in enumerate(pairs) if pair[0] == after), None)
            edits += self._added(spans, kept, index, write, column, flows=bool(node.flow_style))
        return edits

    def append(self, node: yaml.Node, item: Callable[[int], str]) -> Edit:
        """The edit that adds an item to the end of a sequence in block style.

        ``item`` gives its lines, the dash at the column that it is given. Raises
        SpliceError where the sequence is in brackets.
        """
        if not isinstance(node, yaml.SequenceNode) or node.flow_style or not node.value:
            raise SpliceError("expected a list of lines that begin with a dash")
        column = self._column(self._dash(node.value[-1]))
        return self._lines_after(self._end(node.value[-1]), item(column))

    def _value(self, node: yaml.Node, old: Any, new: Any, lead: int) -> list[Edit]:
        """``lead`` is the place after the colon or the dash that the value stands behind."""
        if self._same(old, new):
            return []
        if isinstance(node, yaml.MappingNode) and isinstance(old, dict) and isinstance(new, dict):
            if not _SHORT_FORMS.isdisjoint(key.value for key, _ in node.value):
                return self._merged(node, old, new, lead)
            if self._is_plain(node) and old.keys() & new.keys():
                return self.mapping(node, old, new)
        are_lists = isinstance(old, list) and isinstance(new, list) and old and new
        if isinstance(node, yaml.SequenceNode) and are_lists and self._is_plain(node):
            return self._sequence(node, old, new)
        return [self._replaced(node, new, lead)]

    def _sequence(self, node: yaml.SequenceNode, old: list[Any], new: list[Any]) -> list[Edit]:
        """What is alike at both ends stays; what is between is paired from the front."""
        shorter = min(len(old), len(new))
        front = next((i for i in range(shorter) if not self._same(old[i], new[i])), shorter)
        back = 0
        while back < shorter - front and self._same(old[-1 - back], new[-1 - back]):
            back += 1
        paired = shorter - back
        flows = bool(node.flow_style)
        spans = [
            _Span(item.start_mark.index if flows else self._dash(item), self._end(item))
            for item in node.value
        ]
        edits: list[Edit] = []
        for index in range(front, paired):
            lead = spans[index].start + (0 if flows else 1)
            edits += self._value(node.value[index], old[index], new[index], lead)
        kept = [index < paired or index >= len(old) - back for index in range(len(old))]
        edits += self._removed(spans, kept, flows=flows)
        added = new[paired : len(new) - back]
        mark = "" if flows else "- "
        write = [partial(_item, mark, item) for item in added]
        column = self._column(spans[0].start)
        last = paired - 1 if paired else None
        return edits + self._added(spans, kept, last, write, column, flows=flows)

    def _merged(
        self, node: yaml.MappingNode, old: dict[str, Any], new: dict[str, Any], lead: int
    ) -> list[Edit]:
        """A short form stays, with what is other beside it, where nothing has to go."""
        if old.keys() - new.keys():
            return [self._replaced(node, new, lead)]
        more = {
            key: value
            for key, value in new.items()
            if key not in old or not self._same(old[key], value)
        }
        start, end = node.start_mark.index, self._end(node)
        if not node.flow_style:
            return [self._replaced(node, new, lead)]
        shown = flow(more, self._column(end), self._indent(end) + INDENT)
        parts = node.value[0][1]
        if isinstance(parts, yaml.SequenceNode) and parts.flow_style and parts.value:
            last = self._end(parts.value[-1])
            return [Edit(last, last, f", {shown}")]
        return [Edit(start, end, f"{{$merge: [{self._text[start:end]}, {shown}]}}")]

    def _replaced(self, node: yaml.Node, new: Any, lead: int) -> Edit:
        start, end = node.start_mark.index, self._end(node)
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        if is_block or start == end or getattr(node, "style", None) in ("|", ">"):
            column = self._column(lead) + 1
            return Edit(lead, max(lead, end), f" {flow(new, column, self._indent(lead) + INDENT)}")
        if isinstance(new, str) and getattr(node, "style", None) == '"':
            return Edit(start, end, quoted(new))
        return Edit(start, end, flow(new, self._column(start), self._indent(start) + INDENT))

    def _removed(self, spans: Sequence["_Span"], kept: list[bool], *, flows: bool) -> list[Edit]:
        edits: list[Edit] = []
        first = kept.index(True)
        if first and (flows or not self._begins_line(spans[0].start)):
            edits.append(Edit(spans[0].start, spans[first].start, ""))
        else:
            first = 0
        for index in range(first, len(spans)):
            span = spans[index]
            if kept[index]:
                continue
            if flows:
                edits.append(Edit(spans[index - 1].end, span.end, ""))
            else:
                start = self._line_start(span.start)
                edits.append(Edit(start, self._next_line(span.end), ""))
        return edits

    def _added(
        self,
        spans: Sequence["_Span"],
        kept: list[bool],
        after: int | None,
        write: Sequence[Callable[[int, int], str]],
        column: int,
        *,
        flows: bool,
    ) -> list[Edit]:
        """Items after that with the index, or before the first that is kept."""
        if not write:
            return []
        if after is None:
            start = spans[kept.index(True)].start
            gap = ", " if flows else "\n" + " " * column
            return [
                Edit(start, start, "".join(each(column, column + INDENT) + gap for each in write))
            ]
        end = spans[after].end
        if not flows:
            lines = [" " * column + each(column, column + INDENT) for each in write]
            return [self._lines_after(end, "\n".join(lines))]
        text = ""
        at, rest = self._column(end), self._line_end(end) - end
        begin_lines = [span.start for span in spans if self._begins_line(span.start)]
        inner = self._column(begin_lines[-1]) if begin_lines else self._indent(end) + INDENT
        for each in write:
            shown = each(at + 2, inner + INDENT)
            if "\n" in shown or at + 2 + len(shown) + rest > WIDTH:
                shown = each(inner, inner + INDENT)
                text += f",\n{' ' * inner}{shown}"
                at = 0 if "\n" in shown else inner
            else:
                text += f", {shown}"
                at += 2
            at += len(shown.rpartition("\n")[2])
        return [Edit(end, end, text)]

    def _lines_after(self, at: int, lines: str) -> Edit:
        """Adds lines after that of a place: before the next, since its own may be removed."""
        start = self._next_line(at)
        if start == len(self._text) and not self._text.endswith("\n"):
            return Edit(start, start, f"\n{lines}")
        return Edit(start, start, f"{lines}\n")

    def _is_plain(self, node: yaml.CollectionNode) -> bool:
        """Whether everything in it stands where it seems to: no alias."""
        start, end = node.start_mark.index, node.end_mark.index
        nodes = [part for item in node.value for part in (item if type(item) is tuple else (item,))]
        return all(start <= n.start_mark.index and n.end_mark.index <= end for n in nodes)

    def _end(self, node: yaml.Node) -> int:
        """Where a node's own characters end; a block's mark stands before what comes next."""
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            return self._pair_end(*node.value[-1])
        if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return max(self._dash(last) + 1, self._end(last))
        end: int = node.end_mark.index
        if getattr(node, "style", None) in ("|", ">"):
            return len(self._text[:end].rstrip())
        return end

    def _pair_end(self, key: yaml.Node, value: yaml.Node) -> int:
        colon = self._after_colon(key)
        return colon if value.start_mark.index == value.end_mark.index else self._end(value)

    def _after_colon(self, key: yaml.Node) -> int:
        return self._text.index(":", key.end_mark.index) + 1

    def _dash(self, item: yaml.Node) -> int:
        return self._text.rindex("-", 0, item.start_mark.index)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _begins_line(self, at: int) -> bool:
        return not self._text[self._line_start(at) : at].strip()

    def _next_line(self, at: int) -> int:
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found + 1

    def _line_end(self, at: int) -> int:
        found = self._text.find("\n", at)
        end = len(self._text) if found < 0 else found
        return end - 1 if self._text[end - 1 : end] == "\r" and end > at else end

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _indent(self, at: int) -> int:
        start = self._line_start(at)
        line = self._text[start : self._line_end(start)]
        return len(line) - len(line.lstrip())


def _block(write: WriteBlock, key: str, value: Any, column: int, _: int) -> str:
    return write(key, value, column)


def _item(mark: str, value: Any, column: int, indent: int) -> str:
    return mark + flow(value, column + len(mark), indent)


@dataclass(frozen=True, slots=True)
class _Span:
    """Where an item stands, its key or dash with it."""

    start: int
    end: int
