"""Where a machine stands is in its rack, and said by names only."""

import pytest
import typer

from cli.site import checked
from shared.membership import rack_of, read_rack


@pytest.mark.parametrize(("machine", "site"), [("m1", ""), ("m1", "fra"), ("", "")])
def test_a_rack_tells_machine_and_site(machine: str, site: str) -> None:
    assert read_rack(rack_of(machine, site)) == (machine, site)


def test_a_site_is_a_name() -> None:
    assert [checked(each) for each in ("", "fra-1", "eu_w.2")] == ["", "fra-1", "eu_w.2"]
    for each in ("a/b", "two words", "x" * 65, "line\nline"):
        with pytest.raises(typer.BadParameter, match="is no site"):
            checked(each)
