"""Everything on one machine: collector, both centrals and the broker killed and paused in turn."""

from tests.deploy.containers import CENTRALS, ROOT, Failed, Project, wait_until
from tests.deploy.under_test import Rehearsal, say, started

FILE = ROOT / "deploy" / "docker-compose.yml"


def hardened(project: Project) -> None:
    """Raise Failed where a container is not as the compose file says."""
    probe = "import os; print(os.getuid()); open('/app/new', 'w')"
    for service in ("ingest", "registry", *CENTRALS):
        try:
            project.inside(service, "python", "-c", probe)
        except Failed as error:
            if "Read-only file system" not in str(error):
                raise
        else:
            raise Failed(f"{service} can write to its root file system")
        user = project.inside(service, "id", "-u").strip()
        token = project.inside(service, "stat", "-c", "%a %u", "/run/steadflow/token").split()
        if user == "0" or token != ["600", user]:
            raise Failed(f"{service} runs as {user}, its token is {token}")
    say("  read-only, not root, the token readable by its user alone")


def rehearse() -> None:
    """One machine: collector, both centrals and the broker killed and paused in turn."""
    with started(Project.of(FILE, "steadflow-rehearsal")) as test:
        project = test.project
        hardened(project)
        test.replay()
        test.compare()

        say("broker paused; captures spooled; collector killed; broker back, collector back")
        project.pause("kafka")
        test.replay()
        project.compose("kill", "ingest")
        project.compose("unpause", "kafka")
        test.start("ingest")
        test.compare()

        say("central-a killed under traffic")
        with test.traffic(12):
            project.compose("kill", "central-a")
        test.start("central-a")
        test.compare()

        say("central-b paused, captures; both centrals stopped, captures again")
        project.pause("central-b")
        test.replay()
        project.compose("unpause", "central-b")
        project.compose("stop", *CENTRALS)
        test.replay()
        for central in CENTRALS:
            test.start(central)
        test.compare()

        say("broker killed under traffic")
        with test.traffic(12):
            project.compose("kill", "kafka")
        test.start("kafka")
        test.compare()

        take_over(test)

        say("everything stopped in order and started again")
        project.compose("stop")
        test.up()
        test.replay()
        test.compare()


def take_over(test: Rehearsal) -> None:
    """The primary's container killed, paused and cut off in turn: the other one acts each time."""
    project = test.project

    old = test.primary()
    say(f"{old}, the primary, killed under traffic")
    with test.traffic(12):
        project.compose("kill", old)
        test.taken_over(old)
    test.start(old)
    test.compare()

    old = test.primary()
    say(f"{old}, the primary, paused under traffic")
    with test.traffic(12):
        project.pause(old)
        test.taken_over(old)
    project.compose("unpause", old)
    test.compare()

    old = test.primary()
    say(f"{old}, the primary, cut off from Kafka under traffic")
    with test.traffic(12):
        project.cut(old)
        test.taken_over(old)
        wait_until(lambda: not test.acts(old), f"{old} knows that it is no primary")
    project.mend(old)
    test.compare()
