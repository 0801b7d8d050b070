"""A headless Chromium, and axe's findings on a page."""

import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDED = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (apt-get install chromium)"),
    pytest.mark.endpoint,
]
# Root cannot use Chromium's sandbox; the rest keeps Chromium from looking for anything outside.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
NARROW = {"width": 390, "height": 844}


def findings(page: Any) -> list[str]:
    """What axe calls serious or critical on a page that is NARROW, and whether it is wider than that."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    found = [str(each["id"]) for each in violations if each["impact"] in ("serious", "critical")]
    width = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"{width} pixels wide"] if width > NARROW["width"] else [])
