"""Plain text, logs and reStructuredText: paragraphs at blank lines, underlined or numbered headings, lists, literal blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kb.blocks import Block, Reading
from kb.readers.decoding import decode
from kb.readers.limits import ReaderLimits

RULE = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}\s*$")
NUMBERED = re.compile(r"^(\d{1,3}(?:\.\d{1,3}){0,4})\.?\s+(\S.{1,78})$")
BULLET = re.compile(r"^(\s*)((?:[-*+•]|#\.|\(?\d{1,3}[.)]|[a-z][.)]))\s+(\S.*)$")
DIRECTIVE = re.compile(r"^\s*\.\. ([\w-]+)::\s*(.*)$")
CODE_DIRECTIVES = frozenset({"code", "code-block", "sourcecode", "literalinclude", "parsed-literal", "math"})
ROLE = re.compile(r":[\w:-]+:`([^`<]+?)(?:\s*<[^`>]*>)?`")
LINK = re.compile(r"`([^`<]+?)\s*<[^`>]+>`__?")


def read_text(path: Path, limits: ReaderLimits) -> Reading:
    """Read a text file; reStructuredText marks are understood wherever they occur."""
    return Reading("text", tuple(text_blocks(decode(path)[: limits.text_characters])))


def text_blocks(text: str) -> list[Block]:
    """Blocks of plain text. Levels of underlined headings follow the order in which their rules first occur, as in reStructuredText."""
    return _Walk(text.expandtabs(4).split("\n")).blocks()


@dataclass
class _Walk:
    """One pass over the lines. `rules` are the heading rules met so far, the outermost first."""

    lines: list[str]
    rules: list[str] = field(default_factory=list)
    group: int = 0
    at: int = 0
    after_list: bool = False

    def blocks(self) -> list[Block]:
        found: list[Block] = []
        while self.at < len(self.lines):
            if not self.lines[self.at].strip():
                self.at += 1
                continue
            found += self._next()
        return [block for block in found if block.text.strip()]

    def _next(self) -> list[Block]:
        heading = self._underlined() or self._numbered()
        if heading:
            self.after_list = False
            return [heading]
        if DIRECTIVE.match(self.lines[self.at]):
            return self._directive()
        if BULLET.match(self.lines[self.at]):
            return self._list()
        self.after_list = False
        return self._paragraph()

    def _line(self, offset: int) -> str:
        place = self.at + offset
        return self.lines[place] if 0 <= place < len(self.lines) else ""

    def _underlined(self) -> Block | None:
        over = RULE.match(self._line(0))
        if over and self._line(1).strip() and _is_rule(self._line(2), over.group(1)):
            title, mark, used = self._line(1), over.group(1) * 2, 3
        elif self._line(0).strip() and not over and (under := RULE.match(self._line(1))) and self._is_title(under.group(0)):
            title, mark, used = self._line(0), under.group(1), 2
        else:
            return None
        if mark not in self.rules:
            self.rules.append(mark)
        self.at += used
        return Block("heading", inline(title), level=self.rules.index(mark) + 1)

    def _is_title(self, rule: str) -> bool:
        """A title stands alone above a rule about as long as itself: a log's separator lines are not headings."""
        title = self._line(0).strip()
        return not self._line(-1).strip() and len(title) <= 120 and len(rule.strip()) >= min(len(title) * 0.6, 40)

    def _numbered(self) -> Block | None:
        match = NUMBERED.match(self._line(0).strip())
        alone = not self._line(-1).strip() and not self._line(1).strip()
        if not match or not alone or match.group(2).rstrip()[-1] in ".;,:!?" or self._continues(match.group(1)):
            return None
        self.at += 1
        return Block("heading", match.group(0).strip(), level=len(self.rules) + match.group(1).count(".") + 1)

    def _continues(self, number: str) -> bool:
        """Whether lines numbered like this one follow it closely, as in a list whose items stand apart."""
        if "." in number:
            return False
        near = [line.strip() for line in self.lines[max(self.at - 3, 0) : self.at + 4] if line.strip() and line is not self._line(0)]
        return any(re.match(r"^\d{1,3}\.?\s", line) for line in near)

    def _indent(self, line: str) -> int:
        return len(line) - len(line.lstrip())

    def _indented_block(self, than: int) -> list[str]:
        """The following lines that are indented by more than `than`, blank ones between them included."""
        taken: list[str] = []
        while self.at < len(self.lines) and (not self._line(0).strip() or self._indent(self._line(0)) > than):
            taken.append(self._line(0))
            self.at += 1
        return taken

    def _directive(self) -> list[Block]:
        match = DIRECTIVE.match(self._line(0))
        assert match is not None
        indent = self._indent(self._line(0))
        self.at += 1
        body = [line for line in self._indented_block(indent) if not re.match(r"^\s*:[\w-]+:", line)]
        if match.group(1) in CODE_DIRECTIVES:
            return [Block("code", _dedented(body))]
        title = (
            [Block("paragraph", inline(match.group(2)))] if match.group(2) and match.group(1) not in ("image", "figure", "include") else []
        )
        return title + _Walk(_dedented(body).split("\n"), self.rules, self.group).blocks()

    def _list(self) -> list[Block]:
        if not self.after_list:
            self.group += 1
        self.after_list = True
        found = []
        while match := BULLET.match(self._line(0)):
            indent = len(match.group(1))
            lines = [match.group(3)]
            self.at += 1
            while self._line(0).strip() and self._indent(self._line(0)) > indent and not BULLET.match(self._line(0)):
                lines.append(self._line(0).strip())
                self.at += 1
            mark = "-" if match.group(2) in "-*+•" else match.group(2).replace("#.", "-")
            found.append(Block("list_item", f"{mark} {inline(join_lines(lines))}", level=min(indent // 2, 6), group=self.group))
        return found

    def _paragraph(self) -> list[Block]:
        lines: list[str] = []
        indent = self._indent(self._line(0))
        while self._line(0).strip() and not (lines and BULLET.match(self._line(0)) and self._indent(self._line(0)) <= indent):
            lines.append(self._line(0).rstrip())
            self.at += 1
        text = inline(join_lines([line.strip() for line in lines]))
        if not text.endswith("::"):
            return [Block("paragraph", text)]
        literal = _dedented(self._indented_block(indent))
        return [Block("paragraph", text[:-1].rstrip() if text != "::" else ""), Block("code", literal)]


def _is_rule(line: str, mark: str) -> bool:
    match = RULE.match(line)
    return bool(match and match.group(1) == mark)


def _dedented(lines: list[str]) -> str:
    import textwrap

    return textwrap.dedent("\n".join(lines)).strip("\n")


def inline(text: str) -> str:
    """Text with reStructuredText's inline marks taken off: roles, links, literals."""
    if "`" not in text:
        return text.strip()
    return LINK.sub(r"\1", ROLE.sub(r"\1", text)).replace("``", "`").strip()


def join_lines(lines: list[str]) -> str:
    """Lines of a paragraph as text: wrapped prose becomes one line, lines that stand for themselves keep their breaks."""
    text = ""
    for number, line in enumerate(lines):
        if number and _is_wrapped(lines[number - 1], line):
            text += " " + line
        else:
            text += ("\n" if number else "") + line
    return text


def _is_wrapped(line: str, following: str) -> bool:
    if not following or not line:
        return False
    return following[0].islower() or (len(line) >= 50 and line[-1] not in ".:!?;")
