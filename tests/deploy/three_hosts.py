"""The services of three hosts: each host's are killed at once, as when the host dies."""

from collections.abc import Iterable, Sequence

from tests.deploy.containers import ROOT, Failed, Project, wait_until
from tests.deploy.under_test import Rehearsal, say, started

FILE = ROOT / "deploy" / "docker-compose.cluster.yml"
HOSTS = {
    1: ("kafka-1", "registry-1", "central-a"),
    2: ("kafka-2", "registry-2", "central-b"),
    3: ("kafka-3", "registry-3"),
}
"""As docs/containers.md spreads them; the collector is at a site, and lives on."""


def rehearse() -> None:
    """Lose the host of the primary, of its successor, of a standby, of none; then two at once."""
    with started(Project.of(FILE, "steadflow-rehearsal-cluster")) as test:
        test.replay()
        test.compare()
        replicated(test.project, 3, HOSTS)
        for host in (1, 2, 2, 3):
            lose(test, host)
        lose_two(test, 2, 3)


def lose(test: Rehearsal, host: int) -> None:
    """Kill a host under traffic: what is left acts and counts, and the host comes back."""
    gone, acting = HOSTS[host], test.primary()
    epoch = test.epoch(acting)
    role = "the primary's" if acting in gone else "a standby's" if host < 3 else "the witness"
    say(f"host {host}, {role}, killed under traffic: {', '.join(gone)}")
    with test.traffic(20):
        test.project.compose("kill", *gone)
        if acting in gone:
            test.taken_over(acting)
    test.compare(*(central for central in test.centrals if central not in gone))
    if acting not in gone:
        test.not_taken_over(acting, epoch)
    replicated(test.project, 2, [other for other in HOSTS if other != host])
    test.start(*gone)
    replicated(test.project, 3, HOSTS)
    test.compare()


def lose_two(test: Rehearsal, *hosts: int) -> None:
    """Kill two hosts at once: nobody acts, flows are spooled; with either back all count."""
    gone = [service for host in hosts for service in HOSTS[host]]
    left = [central for central in test.centrals if central not in gone]
    test.primary()
    say(f"hosts {' and '.join(map(str, hosts))} killed at once under traffic")
    with test.traffic(12):
        test.project.compose("kill", *gone)
        wait_until(lambda: not any(map(test.acts, left)), "nobody acts")
    say("  nobody acts")
    for host in hosts:
        say(f"  host {host} is back")
        test.start(*HOSTS[host])
        test.primary()
        test.compare()


def in_sync(project: Project, hosts: Sequence[int]) -> int:
    """Return the fewest in-sync replicas of any partition of `flows`; 0 while nobody says."""
    broker = f"kafka-{hosts[-1]}"
    try:
        said = project.inside(
            broker,
            *("/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", f"{broker}:9092"),
            *("--describe", "--topic", "flows"),
        )
    except Failed:
        return 0
    lines = [line.split("Isr:")[1].split()[0] for line in said.splitlines() if "Isr:" in line]
    return min((len(line.split(",")) for line in lines), default=0)


def replicated(project: Project, replicas: int, hosts: Iterable[int]) -> None:
    """Wait until every partition of `flows` has so many in-sync replicas; one of `hosts` says."""
    asked = list(hosts)
    wait_until(
        lambda: in_sync(project, asked) == replicas, f"flows has {replicas} replicas in sync"
    )
    say(f"  every partition of flows has {replicas} replicas in sync")
