"""The Failover page as its user has it: buttons that ask first, and what they say afterwards."""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.pages.browser import until

TRIES = 5


@dataclass(frozen=True)
class FailoverPage:
    """A page of somebody who is logged in."""

    page: Page

    @property
    def others(self) -> Locator:
        """Where other machines are added."""
        return self.page.get_by_label("Other machines")

    @property
    def invites(self) -> Locator:
        """Every invite, a row each."""
        return self.page.get_by_role("table", name="Invites").locator("tbody tr")

    def machine(self, name: str) -> Locator:
        """What a machine that joins or stands by says of itself."""
        return self.page.get_by_label("Machines", exact=True).get_by_label(name, exact=True)

    def ask(self, button: str, confirm: str, *, to: str = "") -> None:
        """Press a button and confirm it. to: who shall have the role, where one may choose."""
        self.page.get_by_role("button", name=button).first.click()
        dialog = self.page.get_by_role("dialog")
        if to:
            dialog.get_by_label("To").select_option(to)
        dialog.get_by_role("button", name=confirm, exact=True).click()

    def close(self, said: str) -> None:
        """Close the dialog once it says so."""
        dialog = self.page.get_by_role("dialog")
        expect(dialog.get_by_role("status")).to_contain_text(said)
        dialog.get_by_role("button", name="Close").click()

    def switch_over(self, to: str) -> None:
        """Hand the role over; again where it was refused, as on a busy machine one may lag."""
        said = ""
        for _ in range(TRIES):
            self.ask("Switch over…", "Switch over", to=to)
            dialog = self.page.get_by_role("dialog")
            answer = dialog.get_by_role("status")
            expect(answer).not_to_be_empty()
            said = answer.inner_text()
            dialog.get_by_role("button", name=re.compile("Close|Cancel")).click()
            if f"{to} is primary, after" in said:
                return
            expect(self.page.get_by_label("Failover now")).to_contain_text("No alarm")
        raise AssertionError(said)

    def enable(self, *, https_port: int, kafka_port: int) -> None:
        """Open the first machine to others, and return once it is."""
        expect(self.others).to_contain_text("Others cannot reach this machine yet")
        self.others.get_by_label("Name or address").fill("localhost")
        self.others.get_by_text("Ports and address").click()
        self.others.get_by_label("HTTPS port").fill(str(https_port))
        self.others.get_by_label("Kafka port").fill(str(kafka_port))
        self.others.get_by_label("Listen on").fill("127.0.0.1")
        self.ask("Enable…", "Enable")
        expect(self.others.get_by_role("status")).to_contain_text("Opening this machine")
        expect(self.others).to_contain_text("Each is one line to run on the other machine")

    def invited(self, button: str, confirm: str, role: str) -> str:
        """Invite, and return the line to run on the other machine."""
        self.ask(button, confirm)
        line = self.others.locator(".sf-line code").last
        expect(line).to_contain_text(f"steadflow {role} join https://localhost:")
        expect(self.others.locator(".sf-line code").first).to_contain_text("#sha256=")
        return line.inner_text()

    def drilled(self) -> str:
        """Run a drill, open its report, and return its id."""
        self.ask("Run a drill…", "Run a drill")
        self.close("The drill runs.")
        drills = self.page.get_by_role("table", name="Drills")
        expect(drills.locator("tbody tr")).to_have_count(1)
        until(self.page, lambda: "running" not in drills.inner_text(), "the drill has ended")
        drills.get_by_role("link", name="Report").click()
        self.page.wait_for_url(re.compile(r"/failover/drills/\w+$"))
        return self.page.url.rpartition("/")[2]
