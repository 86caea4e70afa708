"""Small tokenizer.json values of the kinds that people's models have, trained on the project's own pages."""

# ruff: noqa: RUF001 - letters of many alphabets are the point
from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LANGUAGES = (
    "Die Pumpe läuft mit Öl; größer als 3,5 bar ist zu viel.",
    "La pompe à huile s'arrête à 42 °C : vérifiez le filtre.",
    "Насос остановлен, проверьте давление масла.",
    "ポンプの圧力を確認してください。警告：E-17",
    "泵的压力为零，请检查油位。",
    "펌프 압력을 확인하십시오.",
    "المضخة متوقفة، تحقق من ضغط الزيت ١٢٣",
    "पंप का दबाव १२ बार है, जाँच करें।",
    "Ο κινητήρας σταμάτησε· ελέγξτε την αντλία.",
    "ปั๊มหยุดทำงาน ตรวจสอบแรงดัน",
    "Bơm dầu ngừng chạy, kiểm tra áp suất.",
    "emoji 🙂👍🏽🇩🇪 ⚙️ ½ ² ³ ¾ ﬁ e\u0301 \u00a0\u2003\u3000x\u200by",
)
CODE = "def f(x: int) -> list[int]:\n\treturn [x ** 2, 0xFF, 1_000_000, 3.14e-10]  # why?\r\n\n\n    if a!=b&&c: {}\n"
SPACES = "  two   three\t\ttabs \n\n \n  \r\n end   "
KINDS = (
    "gpt2", "opt", "smollm", "qwen2", "llama3", "gpt4o", "falcon", "phi2",
    "llama2", "llama2-metaspace", "mistral-always", "gemma", "no-bytes",
)  # fmt: skip


def texts() -> list[str]:
    """Ordinary and awkward texts, control tokens among them."""
    controls = "a<|im_end|>b <|im_start|> c  <mask>  d<|im_end|><|im_end|>\n<s>x</s> <tool_call>y</tool_call> \n z wholeword"
    contractions = "don't they'll WE'VE I'm 'S ’s it'ſ 12345678 1234.5"
    return [
        *LANGUAGES,
        CODE,
        SPACES,
        controls,
        contractions,
        "",
        " ",
        "\n",
        "a",
        "▁x ▁▁ y",
        "\x00\x1c\x85\x7f",
        "x" * 300,
        " ".join(LANGUAGES),
    ]


@cache
def tokenizer_json(kind: str) -> str:
    """The file's content; 600 to 900 tokens."""
    return json.dumps(_sentence_piece(kind) if kind in _SENTENCE_PIECE else _byte_level(kind), ensure_ascii=False)


def _lines() -> list[str]:
    pages = [path.read_text("utf-8") for path in sorted(_DOCS.glob("*.md"))]
    return [line + "\n" for page in pages for line in page.splitlines()] + [CODE, SPACES, *LANGUAGES * 3]


def _byte_level(kind: str) -> dict[str, Any]:
    library = Tokenizer(models.BPE(ignore_merges=kind in ("llama3", "gpt4o")))
    library.pre_tokenizer = _PRE_TOKENIZERS[kind]()
    library.decoder = decoders.ByteLevel()
    if kind == "qwen2":
        library.normalizer = normalizers.NFC()
    _train(library, [])
    library = _with_word(library, "Ġwholeword")
    library.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", AddedToken("<mask>", lstrip=True, special=True)])
    library.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False, rstrip=True)])
    library.add_tokens(["Pumpe größer", "  "] if kind == "phi2" else [])
    if kind in ("opt", "llama3"):
        first = ("<|im_start|>", library.token_to_id("<|im_start|>"))
        library.post_processor = processors.Sequence(
            [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing("<|im_start|> $A", None, [first])]
        )
    return dict(json.loads(library.to_str()))


def _with_word(library: Any, word: str) -> Any:
    """A word that no merges lead to, as vocabularies have that take whole words first."""
    value = json.loads(library.to_str())
    value["model"]["vocab"][word] = len(value["model"]["vocab"])
    return Tokenizer.from_str(json.dumps(value))


def _split(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


_PRE_TOKENIZERS: dict[str, Any] = {
    "gpt2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "opt": lambda: pre_tokenizers.ByteLevel(add_prefix_space=True),
    "phi2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "qwen2": lambda: _split(_QWEN),
    "llama3": lambda: _split(_QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")),
    "gpt4o": lambda: _split(_GPT4O),
    "falcon": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
        ]
    ),
}


def _sentence_piece(kind: str) -> dict[str, Any]:
    """Trained on words; then the tokens of bytes are made ordinary ones, and normaliser and decoder are those of the kind."""
    library = Tokenizer(models.BPE(unk_token="<unk>"))
    library.normalizer = normalizers.Replace(" ", "▁")
    library.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    names = [] if kind == "no-bytes" else [f"<0x{byte:02X}>" for byte in range(256)]
    _train(library, ["<unk>", "<s>", "</s>", *names])
    value: dict[str, Any] = json.loads(library.to_str())
    value["added_tokens"] = [*value["added_tokens"][:3], _added(len(value["model"]["vocab"]), "<mask>", lstrip=True)]
    value["model"] |= {"fuse_unk": True, "byte_fallback": bool(names)}
    first = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    text = [first, {"Sequence": {"id": "A", "type_id": 0}}]
    named = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    value["post_processor"] = {"type": "TemplateProcessing", "single": text, "pair": text, "special_tokens": named}
    return value | _SENTENCE_PIECE[kind]


def _added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **plain, **flags}


def _train(library: Any, specials: list[str]) -> None:
    alphabet = [] if specials else pre_tokenizers.ByteLevel.alphabet()
    size = 700 + len(specials)
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, limit_alphabet=400, show_progress=False
    )
    library.train_from_iterator(_lines(), trainer)


_MARKED = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_UNMARKED = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
_FALLBACK: list[dict[str, Any]] = [{"type": "ByteFallback"}, {"type": "Fuse"}]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_PREPENDED = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, _MARKED]}


def _metaspace(scheme: str, split: bool) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def _rules(normalizer: Any, pre_tokenizer: Any, decoder: list[dict[str, Any]]) -> dict[str, Any]:
    return {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": {"type": "Sequence", "decoders": decoder}}


_SENTENCE_PIECE: dict[str, dict[str, Any]] = {
    "llama2": _rules(_PREPENDED, None, [_UNMARKED, *_FALLBACK, _STRIP]),
    "llama2-metaspace": _rules(None, _metaspace("first", False), [_UNMARKED, *_FALLBACK, _STRIP]),
    "mistral-always": {"normalizer": None, "pre_tokenizer": _metaspace("always", True), "decoder": _metaspace("always", True)},
    "gemma": _rules(
        _MARKED,
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        [_UNMARKED, *_FALLBACK],
    ),
    "no-bytes": _rules(_PREPENDED, None, [_UNMARKED, {"type": "Fuse"}, _STRIP]),
}
