"""`steadflow decode`: a capture through the collector's own decoder, run as its own process."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.system import import_path, python_module


def decode(
    file: Annotated[Path, typer.Argument(help="Capture file, pcap or pcapng.")],
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One JSON object a line for each flow: the default.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Counts per exporter instead of flows.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Decode a capture with the collector's own decoder and print its flow records.

    What cannot be decoded is counted by the summary, per exporter and reason.
    """
    flags = {"--jsonl": jsonl, "--summary": summary, "--json": as_json}
    chosen = [name for name, given in flags.items() if given]
    sys.stdout.flush()
    # After `--` a file may begin with a dash.
    command = python_module("services.ingest.decode.capture", *chosen, "--", str(file))
    os.execve(sys.executable, command, os.environ | import_path())
