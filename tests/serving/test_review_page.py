"""The review page in a real browser: with keys, on a phone, with foreign markup, and when things go wrong."""

import pytest

from tests.browser import a_browser
from tests.serving import review_stage as stage

QUEUE = "document.querySelectorAll('#queue li').length"
TITLE = "document.querySelector('#detail h2')?.textContent || ''"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    settings = stage.an_installation(folder)
    stage.fill(settings)
    running = stage.Reviewed(settings, folder / "log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser(service):
    with a_browser() as opened:
        opened.size(1200, 900)
        opened.go(service.url)
        opened.until("!document.getElementById('enter').hidden")
        enter(opened, "ann's token which is long enough")
        opened.until("document.getElementById('problem').textContent.includes('not known')")
        opened.run("sessionStorage.setItem('token', \"ann's token\")")
        opened.go(service.url + "/?again")
        opened.until(f"{QUEUE} === 5")
        opened.errors.clear()  # the browser logs the 401 that was wanted
        yield opened


def enter(browser, text):
    browser.run("document.getElementById('token').focus()")
    browser.write(text)
    browser.run("document.querySelector('#enter button').click()")


def problem(browser):
    return browser.run("document.getElementById('problem').textContent")


def open_(browser, word):
    browser.run(
        f"[...document.querySelectorAll('#queue li')].find(l => l.textContent.includes('{word}')).click()"
    )
    browser.until(f"{TITLE}.includes('{word}')")


def test_an_incident_shows_why_as_plots_and_what_its_entity_did(browser):
    open_(browser, "u907")
    assert browser.run("document.querySelectorAll('.reason svg').length") == 3
    assert (
        browser.run("document.querySelectorAll('#detail svg[aria-label=\"15 events\"] circle').length") == 15
    )
    words = browser.run("document.querySelector('.reason').innerText")
    assert "spent_minor" in words
    assert "129,900; usual 0 to 21,000" in words
    assert browser.errors == []


def test_a_drop_shows_its_metric_beside_what_was_expected(browser):
    open_(browser, "purchases")
    assert browser.run("document.querySelectorAll('#detail polygon.band').length") == 1
    line = "document.querySelector('#detail polyline').getAttribute('points').split(' ').length"
    assert browser.run(line) == 24
    assert "source=app (90 % of the change)" in browser.run("document.getElementById('detail').textContent")
    assert browser.errors == []


def test_what_others_wrote_is_text(browser):
    open_(browser, "<img")
    assert stage.EVIL in browser.run(TITLE)
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.title") == "LakePulse: review"


def test_a_key_gives_a_verdict_and_goes_on(browser):
    open_(browser, "<img")
    browser.run("document.getElementById('reason').value = 'a crawler of ours'")
    browser.press("f")
    browser.until(f"{QUEUE} === 4")
    browser.until(f"{TITLE} && !{TITLE}.includes('<img')")
    browser.until("document.getElementById('figures').textContent.includes('precision so far 0 % of 1')")
    browser.run("document.activeElement.blur()")
    first = browser.run(TITLE)
    browser.press("Escape")
    browser.until("document.querySelector('#detail').textContent === 'Choose an incident.'")
    browser.press("j")
    browser.until(f"{TITLE} !== ''")
    browser.press("j")
    browser.until(f"{TITLE} !== {first!r}" if first == browser.run(TITLE) else TITLE)


def test_filters_and_nothing_found_are_told(browser):
    browser.press("/")
    browser.write("nobody has this name")
    browser.until(f"{QUEUE} === 0")
    assert browser.run("document.getElementById('empty').textContent") == "Nothing fits these filters."
    browser.run("q.value = ''; q.dispatchEvent(new Event('input')); document.activeElement.blur()")
    browser.until(f"{QUEUE} === 4")


def test_an_entity_has_a_history_and_an_incident_an_owner(browser):
    open_(browser, "u907")
    browser.run("document.querySelector('.many button').click()")
    browser.until("document.getElementById('past').textContent.includes('History of user u907')")
    browser.press("a")
    browser.until("document.querySelector('#queue').textContent.includes('for ann')")


def test_a_phone_shows_one_thing_at_a_time_without_scrolling_aside(browser):
    browser.size(360, 740)
    browser.run("window.outside = e => e.offsetParent && e.getBoundingClientRect().right > 360.5; 0")
    try:
        for look in ("list", "detail"):
            if look == "detail":
                open_(browser, "sharing")
            width = browser.run("document.documentElement.scrollWidth")
            assert width <= 360, f"the {look} is {width} pixels wide"
            assert browser.run("[...document.querySelectorAll('body *')].filter(outside).length") == 0
            small = browser.run(
                "[...document.querySelectorAll('button, input, select, #queue li')]"
                ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 40).map(e => e.outerHTML)"
            )
            assert small == []
        assert not browser.run("document.getElementById('list').offsetParent")
        browser.run("document.querySelector('.back').click()")
        browser.until("document.getElementById('list').offsetParent")
    finally:
        browser.size(1200, 900)


def test_a_service_that_is_away_is_told(browser, service):
    assert browser.errors == []
    service.stop()
    browser.run("load()")
    browser.until("!document.getElementById('problem').hidden")
    assert problem(browser) == "the service does not answer"
