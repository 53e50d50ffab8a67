"""`steadflow standby check`: the checks of a machine, before it joins or after."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import running
from cli.admission import default_name
from cli.home import default_home
from cli.join_shown import print_lines
from cli.joined_broker import KAFKA_PORT
from cli.standby_home import NoStandby, read_standby
from cli.system import import_path, python_module
from cli.terminal import fail

TIMEOUT_S = 300.0


def check(
    primary: Annotated[
        str, typer.Argument(help="https://HOST[:PORT] of the primary, before this machine joins.")
    ] = "",
    token: Annotated[
        str, typer.Option(help="Of an invite, not used up; `-` reads it from standard input.")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Folder given to `steadflow standby join`, or that will be.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the central here, as it would join.")] = "",
    host: Annotated[
        str, typer.Option(help="Name or address of this machine for the others, as it would join.")
    ] = "",
    https_port: Annotated[int, typer.Option(min=1, max=65_535, help="For the others.")] = 8443,
    kafka_port: Annotated[
        int,
        typer.Option(min=0, max=65_533, help="Of the broker, the first of three; 0: not tried."),
    ] = KAFKA_PORT,
    rate: Annotated[float, typer.Option(min=0, help="Most MB/s of the copy; 0: no limit.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as JSON.")] = False,
) -> None:
    """Compare this machine with the primary; exit code 1 when a line is red."""
    folder = (home or default_home()).absolute()
    settings: dict[str, object] = {"home": folder}
    secret = ""
    try:
        known = read_standby(folder)
        settings |= {
            "name": known.name,
            "primary": known.primary,
            "hosts": ",".join(dict.fromkeys([*known.hosts, "localhost", "127.0.0.1"])),
            "https_port": known.https_port,
            "kafka_port": known.kafka_port,
            "copy_bytes_per_s": known.copy_bytes_per_s,
        }
        for noted in (running.read(folder) or {"centrals": []})["centrals"]:
            settings["central_url"] = noted["url"]
    except NoStandby as error:
        if not primary or not token:
            fail(f"{error}: give the primary's address and --token, as in the line of an invite")
        secret = sys.stdin.read().strip() if token == "-" else token
        settings |= {
            "name": name or default_name("central"),
            "primary": primary,
            "hosts": host or socket.getfqdn(),
            "https_port": https_port,
            "kafka_port": kafka_port,
            "copy_bytes_per_s": int(rate * 1e6),
        }
    answer = _look(settings, secret)
    if "problem" in answer:
        fail(answer["problem"])
    lines = answer["lines"]
    if as_json:
        typer.echo(json.dumps({"lines": lines}, indent=2))
    else:
        print_lines(lines)
    if any(line["light"] == "red" for line in lines):
        raise typer.Exit(1)


def _look(settings: dict[str, object], secret: str) -> dict[str, Any]:  # JSON
    """Return what `services.standby.once` prints."""
    with tempfile.TemporaryDirectory(prefix="steadflow-") as folder:
        # A secret is in no argument and no environment: those are for everybody to read.
        if secret:
            file = Path(folder) / "invite"
            file.write_text(f"{secret}\n")
            file.chmod(0o600)
            settings = {**settings, "invite_file": file}
        environment = {f"STEADFLOW_STANDBY_{key.upper()}": str(v) for key, v in settings.items()}
        try:
            done = subprocess.run(
                python_module("services.standby.once"),
                env=os.environ | import_path() | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            content: dict[str, Any] = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            return {"problem": f"the checks did not end within {TIMEOUT_S:.0f} s, or failed"}
    return content
