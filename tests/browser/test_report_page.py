"""A report in a real browser: nothing in it runs or is fetched, it fits the page, its pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.store import Store
from tests.test_report import hostile, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

_FACTS = """() => ({
    canary: window.canary === undefined,
    wide: document.documentElement.scrollWidth - window.innerWidth,
    pictures: [...document.images].map((i) => i.naturalWidth),
    ground: getComputedStyle(document.body).backgroundColor,
    cut: [...document.querySelectorAll("h1, h2, .tile b, .legend span")].filter(
        (e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline").length,
})"""


def test_a_hostile_report_is_only_text(page: Page, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite")
    hostile(store)
    path = tmp_path / "run.html"
    write(store, path)
    store.close()
    asked: list[str] = []
    dialogs: list[str] = []
    browser = page.context.browser
    assert browser is not None
    grounds = set()
    # with scripts allowed: what could run would
    for scheme, width in (("light", 1280), ("dark", 800)):
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        one = context.new_page()
        one.on("request", lambda r: asked.append(r.url))
        one.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
        one.goto(path.as_uri())
        one.locator("details:not([open]) > summary").first.click()
        one.locator("figure img").first.scroll_into_view_if_needed()
        facts = one.evaluate(_FACTS)
        assert facts["canary"]
        assert facts["wide"] <= 0, "it fits the width"
        assert facts["cut"] == 0
        assert facts["pictures"] == [40]
        grounds.add(facts["ground"])
        context.close()
    assert len(grounds) == 2, "light and dark differ"
    assert not dialogs
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
    # and without scripts it is all there
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(path.as_uri())
    assert plain.locator("details[open] pre").count() > 5
    plain.locator("details:not([open]) > summary").first.click()
    assert plain.locator("svg rect.completed").count() > 10
    context.close()
