"""Front matter (YAML between two rules at the top of a Markdown page) as lines of text that can be found and quoted."""

from __future__ import annotations

from typing import Any

import yaml

from kb.blocks import Block

SILENT_KEYS = frozenset({"layout", "permalink", "redirect_from", "author", "nav_order", "toc", "sidebar", "weight", "draft"})
"""How a site generator lays the page out: nothing that a reader would ask for."""


def front_matter_blocks(source: str) -> tuple[str, list[Block]]:
    """The page's title ("" when it states none) and its other facts as blocks.

    A mapping inside a list becomes one line, "tag: S; type: int; description: ..", so that a parameter keeps its meaning beside it.
    """
    try:
        facts = yaml.load(source, Loader=_PlainLoader)
    except yaml.YAMLError:
        return "", [Block("paragraph", source.strip())]
    if not isinstance(facts, dict):
        return "", [Block("paragraph", source.strip())] if source.strip() else []
    title = str(facts.pop("title", "") or "").strip()
    blocks: list[Block] = []
    for group, (key, value) in enumerate(facts.items(), start=1):
        if str(key) not in SILENT_KEYS and value not in (None, "", [], {}):
            blocks += _fact(str(key), value, group)
    return title, blocks


class _PlainLoader(yaml.SafeLoader):
    """Scalars stay the strings that were written (no dates, no octal numbers), and aliases are refused: they can multiply without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


_PlainLoader.yaml_implicit_resolvers = {}


def _fact(key: str, value: Any, group: int) -> list[Block]:
    if not isinstance(value, (list, dict)):
        return [Block("paragraph", f"{key}: {_flat(value)}")]
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return [Block("paragraph", f"{key}: {', '.join(_flat(item) for item in value)}")]
    items = value if isinstance(value, list) else [{name: item} for name, item in value.items()]
    lines = [f"- {_flat(item)}" for item in items]
    return [Block("paragraph", f"{key}:"), *(Block("list_item", line, group=10_000 + group) for line in lines if len(line) > 2)]


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_flat(item)}" for key, item in value.items() if item not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(part for part in map(_bracketed, value) if part)
    return str(value).strip() if "\n" in str(value).strip() else " ".join(str(value).split())


def _bracketed(item: Any) -> str:
    return f"({_flat(item)})" if isinstance(item, dict) and len(item) > 1 else _flat(item)
