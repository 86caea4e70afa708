"""Who teaches, and what leaves the computer, is said where teaching starts and where it is chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from kb.library import Library
from surrogates import judging, model, sampling, settings
from surrogates.remote import KEY_VARIABLE
from surrogates.settings import Settings
from surrogates.threshold import ALPHAS, least_labels

Opened = Callable[[str], AppTest]


def said(page: AppTest) -> str:
    assert not page.exception, page.exception[0].value
    return "\n".join(str(each.value) for each in (*page.markdown, *page.caption, *page.info, *page.warning, *page.error))


def test_teaching_names_the_server_that_gets_the_text(press: Library, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is sent to" not in said(opened("teach"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    settings.save(press.connection, Settings(teacher_url="https://api.example.com/v1", teacher_model="big"))
    page = opened("teach")
    assert "sent to api.example.com" in said(page).replace("\\", "")
    assert "big" in page.warning[0].value
    assert "not set: no key is sent" in page.warning[0].value
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    page = opened("teach")
    assert "which is set" in page.warning[0].value
    assert "secret" not in said(page)


def test_a_server_on_this_computer_is_no_warning(press: Library, opened: Opened) -> None:
    settings.save(press.connection, Settings(teacher_url="http://localhost:8080/v1", teacher_model="big"))
    page = opened("teach")
    assert "does not leave it" in page.info[0].value
    assert not page.warning


def test_a_server_is_named_in_the_settings_and_given_up_again(press: Library, opened: Opened) -> None:
    page = opened("settings")
    page.text_input(key="teacher-url").input("localhost:8080")
    page.text_input(key="teacher-model").input("big")
    button = next(each for each in page.button if each.label == "Let it teach")
    button.click().run()
    assert "This cannot be kept" in said(page)
    assert settings.load(press.connection).teacher_url is None
    page.text_input(key="teacher-url").input("https://api.example.com/v1")
    next(each for each in page.button if each.label == "Let it teach").click().run()
    assert settings.load(press.connection).teacher_url == "https://api.example.com/v1"
    assert "api.example.com" in said(page).replace("\\", "")
    page.button(key="teacher-off").click().run()
    assert settings.load(press.connection).teacher_url is None


def test_agreeing_answers_decide_only_when_that_is_switched_on(press: Library, opened: Opened) -> None:
    page = opened("settings")
    page.toggle(key="accept-agreeing").set_value(True).run()
    assert settings.load(press.connection).accept_agreeing


def test_teaching_and_settings_show_the_certificate_of_people_and_a_void_one_can_be_renewed(press: Library, opened: Opened) -> None:
    now, needed = sampling.fingerprint(press), least_labels(ALPHAS[2], judging.share_of_delta(1))
    for number in range(needed):
        id_ = judging.enter(press, f"What is thing {number}?")
        press.connection.execute("INSERT INTO candidates VALUES (?, ?, 0.95, 'It is.', '', ?, '[]')", (id_, now, 1_000 + number))
        judging.judge(press, id_, "right", shown=sampling.mark("It is.", "[]"))
    assert judging.certificate(press).kind == "certified"
    assert model.current(press.home, press.encoder.name).certificates[2].kind != "certified"
    for name in ("teach", "settings"):
        assert "certified: at most 5% wrong" in said(opened(name)).replace("\\", "")
    press.connection.execute("UPDATE bank_answers SET state = 'suspended' WHERE id = (SELECT max(id) FROM bank_answers)")
    press.connection.execute("UPDATE candidates SET fingerprint = ?", (sampling.fingerprint(press),))
    page = opened("teach")
    assert "does not hold any more" in said(page)
    page.button(key="renew").click().run()
    assert judging.certificate(press).kind == "certified"
