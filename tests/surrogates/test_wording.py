from surrogates.wording import Rarity, content, language


def test_content_words_are_stems_without_grammar_and_numbers() -> None:
    assert content("How do I tighten the 4 mounting bolts?") == {"tighten", "mount", "bolt"}


def test_languages_are_told_apart() -> None:
    assert language("Wie wechsle ich den Filter?") == "de"
    assert language("How do I change the filter?") == "en"
    assert language("Как заменить фильтр?") == "other script"
    assert language("filter change") is None
    assert language("DEM 12 | DEM 14 | DEM 9 and 3 Nm per bolt, 5 per day, Y, Y, Y") is None


def test_a_rare_word_weighs_more_and_an_unknown_one_most() -> None:
    rarity = Rarity.of(["pump oil", "pump valve", "pump seal", "pump"])
    assert rarity.idf("pump") < rarity.idf("valv") < rarity.idf("gearbox")
    assert not rarity.knows("gearbox")


def test_the_share_counts_by_weight() -> None:
    rarity = Rarity.of(["pump oil", "pump valve", "pump seal", "pump"])
    assert rarity.share(frozenset({"pump", "valv"}), frozenset({"valv"})) > 0.8
    assert rarity.share(frozenset(), frozenset()) == 1.0
