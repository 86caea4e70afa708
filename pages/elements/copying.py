"""A button that copies a text to the clipboard, which needs a line of script in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

HTML = '<button type="button"><span>Copy</span></button>'
CSS = """
button { font: inherit; font-size: 0.875rem; color: var(--st-text-color); background: transparent; cursor: pointer;
         border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 0.5rem);
         padding: 0.3rem 0.75rem; height: 2.25rem; }
button:hover, button:focus-visible { color: var(--st-primary-color); border-color: var(--st-primary-color); }
"""
JS = """
export default function({ data, parentElement }) {
  const button = parentElement.querySelector('button');
  const label = button.querySelector('span');
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(data);
      label.textContent = 'Copied';
    } catch (error) {
      label.textContent = 'The browser did not allow it';
    }
    setTimeout(() => { label.textContent = 'Copy'; }, 1600);
  };
}
"""


def copy_button(content: str, key: str) -> None:
    """Draw the button; a click puts `content` into the clipboard."""
    _component()(data=content, key=key, width="content")


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    component: Callable[..., Any] = st.components.v2.component("flashkb.copy", html=HTML, css=CSS, js=JS)
    return component
