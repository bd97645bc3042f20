"""MLflow's own UI in a real Chromium, driven as a person does: by what is written on the page.

Not a client of MLflow: nothing here calls its API. Used by `test_mlflow_ui.py`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect, sync_playwright

from tests.missing import ServiceMissing

PATIENCE_SECONDS = 30.0
_FLAGS = (
    "--no-sandbox",  # a container's root has no user namespaces
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ADVERTISEMENT = "Flexible, governed deployments"  # over a fresh browser's first page of models
_TOGGLE = "New model registry UI"
_LOOK_SECONDS = 0.3


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser, until the block ends."""
    executable = shutil.which("chromium")
    if not executable:
        ServiceMissing("chromium is missing").skip_or_fail()
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def eventually(true: Callable[[], bool], what: str) -> None:
    """Look again and again until it is true, or fail saying what did not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(_LOOK_SECONDS)


@dataclass
class MlflowUi:
    """One person's browser window; `faults` are answers with 5xx and errors in the page."""

    page: Page
    address: str
    pictures: Path
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch for faults, and open the front page as a fresh browser shows it."""
        self.page.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        advertisement = self.page.get_by_role("dialog").filter(has_text=_ADVERTISEMENT)
        self.page.add_locator_handler(advertisement, _close)
        self.page.goto(self.address)
        self.page.get_by_text("Model training", exact=True).click()

    def picture(self, name: str) -> None:
        """Keep what is on the screen now."""
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def row(self, *words: str) -> Locator:
        """The one row of a table that has these texts, each in an element of its own."""
        found = self.page.get_by_role("row")
        for word in words:
            found = found.filter(has=self.page.get_by_text(word, exact=True))
        return found

    def follow(self, name: str) -> None:
        """Click a link."""
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def open_models(self) -> None:
        """The list of registered models, by the menu."""
        self.follow("Model registry")
        self.title("Registered Models")

    def open_model(self, model: str) -> None:
        """One registered model with all its versions."""
        self.open_models()
        self.follow(model)
        self.title(model)

    def open_version(self, model: str, number: int) -> None:
        """One version's page."""
        self.open_model(model)
        self.follow(f"Version {number}")
        self.title(f"Version {number}")

    def open_run(self, experiment: str, run_id: str) -> None:
        """One run's page, from its experiment's list of runs."""
        self.follow("Experiments")
        self.follow(experiment)
        self.page.locator(f"a[href*='{run_id}']").first.click()

    def title(self, words: str) -> None:
        """Wait for a page with this heading."""
        expect(self.page.get_by_role("heading", name=words, exact=True).first).to_be_visible()

    def show_stages(self) -> None:
        """Turn the toggle off that hides stages; asked for a reason, give none."""
        toggle = self.page.get_by_role("switch", name=_TOGGLE)
        toggle.click()
        self.page.get_by_role("dialog").get_by_role("button", name="Disable").click()
        expect(toggle).not_to_be_checked()

    def put_into_production(self) -> None:
        """Stage → Transition to → Production → OK, the archive box left as it is: unchecked."""
        self.page.locator(".mlflow-stage-transition-dropdown").click()
        self.page.get_by_role("menuitem").filter(has_text="Production").click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_role("checkbox")).not_to_be_checked()
        self.picture("stage-dialog")
        dialog.get_by_role("button", name="OK").click()
        expect(dialog).to_be_hidden()

    def eventually_shows(self, *rows: tuple[str, ...]) -> None:
        """Load the page again until it has these rows; MLflow's pages do not follow by themselves.

        A row is given by its texts, as in `row`.
        """

        def there() -> bool:
            self.page.reload()
            self.page.get_by_role("row").first.wait_for()
            return all(self.row(*words).count() == 1 for words in rows)

        eventually(there, f"the page shows {rows}")

    def stage(self, name: str) -> None:
        """Wait until a version's page says that this is its stage."""
        expect(self.page.locator(".mlflow-stage-transition-dropdown")).to_have_text(name)

    def tag(self, key: str) -> str:
        """The value of one tag in a page's table of tags."""
        row = self.row(key)
        expect(row).to_have_count(1)
        return row.inner_text().partition(key)[2].strip()

    def unfold(self, *folders: str) -> None:
        """Open folders of a run's artifacts, each inside the one before."""
        for folder in folders:
            self.page.get_by_text(folder, exact=True).last.click()

    def _note(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} {response.url}")


def _close(dialog: Locator) -> None:
    dialog.get_by_role("button", name="Close").click()
