"""Tasks that run until one of them ends."""

import asyncio

import pytest

from shared.tasks import until_one_ends


async def test_what_one_failed_with_is_not_lost() -> None:
    async def fails() -> None:
        raise ValueError("our own mistake")

    forever = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(ValueError, match="our own mistake"):
        await until_one_ends(forever, asyncio.create_task(fails()))
    assert forever.cancelled()


async def test_one_that_ends_well_ends_the_others() -> None:
    forever = asyncio.create_task(asyncio.Event().wait())
    await until_one_ends(asyncio.create_task(asyncio.sleep(0)), forever)
    assert forever.cancelled()
