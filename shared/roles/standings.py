"""Every way in which it may come to stand otherwise with the holder, and why; a table to read.

A test folds histories of all kinds and finds these ways and no others; the page on high
availability prints them.
"""

from shared.roles.fold import Standing

_S = Standing

TRANSITIONS: dict[tuple[Standing, Standing], str] = {
    (_S.UNCONFIGURED, _S.VACANT): "the first Config is read",
    (_S.VACANT, _S.ALIVE): "a claim is accepted, from the second valid tick on",
    (_S.ALIVE, _S.DEAD): "K valid ticks were not acknowledged, or its end was seen",
    (_S.ALIVE, _S.HANDED_OVER): "it handed over, to a candidate",
    (_S.ALIVE, _S.IDLE): "it committed nothing for 4 K valid ticks, and a candidate is there",
    (_S.IDLE, _S.ALIVE): "it acts again, or a claim is accepted, or no candidate is left",
    (_S.IDLE, _S.DEAD): "K valid ticks were not acknowledged, or its end was seen",
    (_S.IDLE, _S.HANDED_OVER): "it handed over, to a candidate",
    (_S.HANDED_OVER, _S.ALIVE): "the target's claim is accepted",
    (_S.HANDED_OVER, _S.EXPIRED): "3 valid ticks passed without an answer",
    (_S.HANDED_OVER, _S.DEAD): "K valid ticks were not acknowledged, or its end was seen",
    (_S.EXPIRED, _S.ALIVE): "the holder's own claim is accepted",
    (_S.EXPIRED, _S.DEAD): "K valid ticks were not acknowledged, or its end was seen",
    (_S.DEAD, _S.ALIVE): "a claim is accepted, or a silent holder was heard again before one",
    (_S.DEAD, _S.IDLE): "a silent holder that had not acted was heard again",
    (_S.DEAD, _S.HANDED_OVER): "a silent holder that handed over was heard again in time",
    (_S.DEAD, _S.EXPIRED): "a silent holder that handed over was heard again",
}
