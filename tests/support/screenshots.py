"""Make the pictures of README.md: python -m tests.support.screenshots [--out docs/screenshots].

The chain runs in a workspace of its own, the model is approved, and Chromium opens the console at two widths.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from tests.support.browser import CHROMIUM, FLAGS

OUT = ROOT / "docs" / "screenshots"
PIPELINE = "/pipelines/tapline-ibu-dev"
MODELS = "/models/tapline-ibu-dev"
PAGES = {"overview": "/", "pipeline": PIPELINE, "registry": f"{MODELS}/1"}
# Below the current folder, so that the commands in the pictures have a short path.
WORKSPACE = ROOT / ".cache" / "screenshots"
# Name -> width and height in CSS pixels.
SIZES = {"wide": (1000, 840), "narrow": (390, 840)}


@contextlib.contextmanager
def console(workspace: Path) -> Iterator[str]:
    """The console's address, over a workspace in which the chain has run and version 1 is approved."""
    here = ["--local", "--workspace", str(workspace)]
    for command in (["pipelines.run", *here, "--keep"], ["pipelines.registry", "approve", "1", *here]):
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    serve = [sys.executable, "-m", "pipelines.console", *here, "--port", "0"]
    try:
        with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.terminate()
    finally:
        endpoints.stop(Workspace(workspace))


def shoot(browser: Any, address: str, folder: Path) -> Iterator[Path]:
    """Each page at each width, as a PNG file."""
    for size, (width, height) in SIZES.items():
        context = browser.new_context(base_url=address, viewport={"width": width, "height": height})
        page = context.new_page()
        for name, path in PAGES.items():
            page.goto(path)
            target = folder / f"{name}-{size}.png"
            page.screenshot(path=target)
            yield target
        context.close()


def main() -> int:
    """Write the pictures and print their sizes."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    with console(WORKSPACE) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for target in shoot(browser, address, folder):
            print(f"{target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target} "
                  f"{target.stat().st_size / 1000:.0f} kB")  # fmt: skip
        browser.close()
    shutil.rmtree(WORKSPACE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
