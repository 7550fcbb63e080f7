"""A real browser looks at what users look at: the report of a campaign, and the lpad dashboard."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from report_sample import sample
from small_campaign import run_until, small

from mmtp_fw.report.write import write_report
from mmtp_fw.workflows.submit import submit_campaign
from tests.conftest import require

BIN = Path(sys.executable).parent
# Milliseconds of virtual time that a page may take. A live page asks for itself anew every 10,000: a browser that is
# stopped in the middle of that has no document.
BUDGET = 5_000


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return a function: address → (document after its scripts have run, screenshot as an array)."""
    require("chromium")
    profile = tmp_path_factory.mktemp("chromium")

    def run(address: str) -> tuple[str, np.ndarray]:
        picture = profile / "page.png"
        common = [
            str(shutil.which("chromium")), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--window-size=1280,2400", f"--virtual-time-budget={BUDGET}",
        ]  # fmt: skip
        page = subprocess.run([*common, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
        subprocess.run([*common, f"--screenshot={picture}", address], capture_output=True, timeout=120, check=True)
        return page.stdout, imread(picture)

    return run


def test_the_dashboard_is_drawn(browse, database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("c"))
    run_until(database, "label")
    command = [sys.executable, "-c", "from mmtp_fw.cli import main; main()", "dashboard", "--port", "5723"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = served.stdout.readline().split()[0]
        number = database.configurations.find_one(
            {"_id": database.calculations.find_one({"status": "accepted"})["configuration"]}
        )["number"]
        for page, title in (
            ("", "Campaigns"),
            ("campaign/c", "Campaign c"),
            (f"label/{number}", f"Configuration {number}"),
        ):
            document, picture = browse(address + page)
            assert f"<h1>{title}</h1>" in document
            assert picture[..., :3].min() < 0.3, "something is written"
    finally:
        served.terminate()
        served.wait(30)
        served.stdout.close()


def test_the_report_is_drawn_whole(browse, tmp_path):
    path = write_report(sample(), tmp_path)
    # Figures that the browser could not draw are made to show in the document.
    script = """<script>addEventListener("load", () => {
      const bad = [...document.images].filter((i) => !i.naturalWidth).length;
      const wide = document.documentElement.scrollWidth > innerWidth ? 1 : 0;
      document.body.dataset.checked = `images ${document.images.length} bad ${bad} wide ${wide}`;
    });</script>"""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", script + "</body>"), encoding="utf-8")
    document, picture = browse(path.as_uri())
    found = re.search(r'data-checked="images (\d+) bad (\d+) wide (\d+)"', document)
    assert found, document[:2000]
    assert found[2] == "0", "an image is broken"
    assert found[3] == "0", "the page is wider than the window"
    assert int(found[1]) >= 4
    colours = {tuple(c) for c in (picture[::4, ::4, :3] * 15).astype(int).reshape(-1, 3)}
    assert len(colours) > 20, "the page is nearly empty"


def test_the_dashboard_shows_the_campaign(browse, database):
    submit_campaign(database, small())
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [str(BIN / "lpad"), "-l", str(database.launchpad_file()), "webgui", "-s", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.3)
        document, _ = browse(address)
        assert "small" in document
        firework = database.launchpad.fireworks.find_one({}, {"fw_id": 1, "name": 1})
        document, _ = browse(f"{address}fw/{firework['fw_id']}")
        assert firework["name"] in document and "_category" in document
    finally:
        server.terminate()
        server.wait(30)
