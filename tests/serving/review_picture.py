"""Write the picture of the review page that the documents show:
`python -m tests.serving.review_picture docs/reference/review.png`."""

import sys
import tempfile
from pathlib import Path

from tests.browser import a_browser
from tests.serving import review_stage as stage


def take(path: Path) -> None:
    """The page with the stolen account chosen."""
    stage.EVIL = "u311"
    with tempfile.TemporaryDirectory() as folder:
        settings = stage.an_installation(Path(folder) / "state", has_tokens=False)
        stage.fill(settings)
        service = stage.Reviewed(settings, Path(folder) / "log")
        try:
            with a_browser() as browser:
                browser.size(1200, 860)
                browser.go(service.url)
                browser.run("sessionStorage.setItem('reviewer', 'ann')")
                browser.go(service.url + "/?again")
                browser.until("document.querySelectorAll('#queue li').length === 5")
                row = "[...document.querySelectorAll('#queue li')].find(l => l.textContent.includes('u907'))"
                browser.run(f"{row}.click()")
                browser.until("document.querySelectorAll('.reason svg').length === 3")
                path.write_bytes(browser.picture())
        finally:
            service.stop()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
