"""What in and out mean."""

from services.central.pages.ways import one_way, ways


def test_of_an_interface_it_is_what_it_received_and_sent() -> None:
    inwards, outwards = ways({"exporter": ["192.0.2.1"], "interface": ["7"]})

    assert inwards.filters == {"exporter": ["192.0.2.1"], "in_if": ["7"]}
    assert outwards.filters == {"exporter": ["192.0.2.1"], "out_if": ["7"]}
    assert inwards.less is outwards.less is None


def test_of_a_host_it_is_what_was_sent_to_it_and_by_it() -> None:
    inwards, outwards = ways({"host": ["10.0.0.1"]})

    assert inwards.filters == {"dst_addr": ["10.0.0.1"]}
    assert outwards.filters == {"src_addr": ["10.0.0.1"]}


def test_of_everything_it_is_what_came_in_and_what_left_by_an_interface() -> None:
    inwards, outwards = ways({})

    assert (inwards.filters, inwards.less) == ({}, {"in_if": ["0"]})
    assert (outwards.filters, outwards.less) == ({}, {"out_if": ["0"]})


def test_filters_that_say_the_direction_leave_one_way() -> None:
    assert [way.name for way in ways({"in_if": ["3"]})] == ["Traffic"]
    assert [way.name for way in ways({"host": ["10.0.0.1"], "src_addr": ["10.0.0.2"]})] == [
        "Traffic"
    ]


def test_one_end_keeps_a_filter_that_the_user_set_on_it() -> None:
    sent = one_way("host", "src_addr")

    assert sent({"host": ["10.0.0.1"], "protocol": ["6"]}) == {
        "src_addr": ["10.0.0.1"],
        "protocol": ["6"],
    }
    both = {"host": ["10.0.0.1"], "src_addr": ["10.0.0.2"]}
    assert sent(both) == both
