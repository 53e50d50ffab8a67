from pathlib import Path

from bench.log_cost import Socket, Way, passed, segments, sockets

SAID = """\
0      0               127.0.0.1:33612   127.0.0.1:19094 users:(("python",pid=7,fd=91))
\t bbr bytes_sent:2682 bytes_acked:2683 bytes_received:40 segs_out:3
0      0      [::ffff:127.0.0.1]:19094 [::ffff:127.0.0.1]:33612 users:(("java",pid=8,fd=9))
\t cubic bytes_sent:40 bytes_received:2682
0      0               127.0.0.1:8470    127.0.0.1:40000
\t cubic bytes_sent:5
"""


def test_sockets_are_read_whoever_has_them() -> None:
    assert list(sockets(SAID)) == [
        Socket("127.0.0.1:33612", "127.0.0.1:19094", 7, 2682, 40),
        Socket("127.0.0.1:19094", "127.0.0.1:33612", 8, 40, 2682),
        Socket("127.0.0.1:8470", "127.0.0.1:40000", 0, 5, 0),
    ]


def test_each_end_counts_what_it_sent_and_other_connections_do_not_count() -> None:
    found = passed(sockets(SAID), {7: "collector", 8: "broker"}, {19094})

    assert found == {Way("collector", "broker"): 2682, Way("broker", "collector"): 40}


def test_segments_are_added_up_by_topic(tmp_path: Path) -> None:
    for partition, size in (("flows-0", 3), ("flows-1", 4), ("ha.log-0", 1)):
        folder = tmp_path / "one" / "kafka" / "data" / partition
        folder.mkdir(parents=True)
        (folder / "00000000000000000000.log").write_bytes(bytes(size))
        (folder / "00000000000000000000.index").write_bytes(bytes(99))

    assert segments([tmp_path / "one"]) == {("one", "flows"): 7, ("one", "ha.log"): 1}
