"""Decode a capture with the collector's decoder: `python -m services.ingest.decode.capture FILE`.

Prints one JSON object per flow record in wire order, or a summary per exporter.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from services.ingest.decode.decoding import DecoderState, RangeBuilder
from services.ingest.decode.flow_json import json_lines
from services.ingest.decode.summary import Summary, as_text
from shared.pcap import Capture, CaptureError

_RANGE_DATAGRAMS = 1000
_RANGE_ROWS = 20_000
# A bar for a file that is read in a blink only flickers.
_PROGRESS_BYTES_MIN = 4 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run on the command line's arguments; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="steadflow decode",
        description="Decode the NetFlow v5, v9 and IPFIX datagrams of a pcap or pcapng file.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a line (the default)")
    parser.add_argument("--summary", action="store_true", help="counts per exporter instead")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    options = parser.parse_args(arguments)
    if options.jsonl and options.summary:
        parser.error("--jsonl and --summary exclude each other")
    problem = None
    try:
        with options.file.open("rb") as stream:
            decoding = _Decoding(stream, None if options.summary or options.json else sys.stdout)
            try:
                decoding.run()
            except CaptureError as error:
                problem = str(error)
            decoding.close()
        if options.summary or options.json:
            counts = decoding.counts()
            sys.stdout.write(json.dumps(counts) + "\n" if options.json else as_text(counts))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has enough; the interpreter must not flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        problem = error.strerror or str(error)
    if problem is not None:
        sys.stderr.write(f"{options.file}: {problem}\n")
        return 1
    return 0


class _Decoding:
    """One capture on its way through the decoder, a range after the other."""

    def __init__(self, stream: BinaryIO, out: TextIO | None) -> None:
        self._stream = stream
        self._out = out
        self._capture = Capture(stream)
        self._state = DecoderState()
        self._summary = Summary()
        self._builder = self._range()
        self._bar = _Bar(os.fstat(stream.fileno()).st_size)

    def run(self) -> None:
        """Decode all datagrams; raises CaptureError where the file ends badly."""
        in_range = 0
        for number, datagram in enumerate(self._capture, 1):
            self._builder.add(
                number, datagram.time_ms, datagram.source, datagram.source_port, datagram.payload
            )
            in_range += 1
            if in_range >= _RANGE_DATAGRAMS or self._builder.rows >= _RANGE_ROWS:
                self._flush()
                self._bar.show(self._stream.tell())
                in_range = 0

    def close(self) -> None:
        """Print what is left; data that still waits for a template waits in vain."""
        self._builder.give_up_waiting()
        self._flush()
        self._bar.clear()

    def counts(self) -> dict[str, object]:
        return self._summary.as_json(
            frames=self._capture.frames, skipped=dict(self._capture.skipped)
        )

    def _range(self) -> RangeBuilder:
        return RangeBuilder(self._state, collector="decode", stream=0)

    def _flush(self) -> None:
        decoded = self._builder.finish(wire_order=True)
        self._state.begin()
        self._builder = self._range()
        self._summary.add(decoded.seen)
        if self._out is not None and decoded.batch is not None:
            self._out.writelines(line + "\n" for line in json_lines(decoded.batch))


class _Bar:
    """A progress bar on a terminal's stderr."""

    def __init__(self, file_bytes: int) -> None:
        self._file_bytes = file_bytes
        self._shown = sys.stderr.isatty() and file_bytes >= _PROGRESS_BYTES_MIN

    def show(self, read_bytes: int) -> None:
        if self._shown:
            done = read_bytes / self._file_bytes
            bar = ("#" * int(done * 30)).ljust(30)
            sys.stderr.write(f"\rdecoding [{bar}] {done:4.0%} of {self._file_bytes >> 20} MB")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
