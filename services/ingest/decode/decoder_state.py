"""What the decoder remembers between datagrams: templates, and data sets that wait for theirs.

Entries are immutable and every change goes through `_put`, which notes the old value: so undoing a
range is cheap, and the changes of a range are what has another value than before it.

Everything runs by `received_at`. Two states that were given the same datagrams are equal, and so
are a state and the fold of another one's changes.
"""

import base64
import json
from collections.abc import Iterable
from typing import NamedTuple

from services.ingest.decode.limits import Limits
from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.message import Message
from services.ingest.decode.templates import Definition
from services.ingest.decode.waiting import TemplateKey, WaitingSet, WaitingSets
from shared.losses import LossReason

Change = tuple[str, str | None]
"""(key, JSON text), or (key, None) for a removed entry."""

# A sysUptime that fell by less is a reordered datagram, and one that fits its clock to 5 minutes
# is a counter that wrapped (every 49.7 days).
_REORDERED_MS = 60_000
_CLOCK_JITTER_MS = 300_000
_WRAP = 1 << 32
_SWEEP_MS = 600_000


class Known(NamedTuple):
    """A template as last learned.

    at_ms: `received_at` when it was last noted as sent or used; export_ms, uptime_ms, sequence: of
    the header that brought it. system_init_ms: what its options data said, ms since 1970; 0 if not.
    """

    definition: Definition
    at_ms: int
    export_ms: int
    uptime_ms: int
    system_init_ms: int = 0
    sequence: int = 0


_Key = TemplateKey | int | str
_Entry = Known | WaitingSet | int


class DecoderState:
    """Templates and waiting data sets of all exporters of one worker."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Start empty."""
        self.limits = limits or Limits()
        self._known: dict[TemplateKey, Known] = {}
        self._held_of: dict[bytes, tuple[int, int]] = {}
        self._fields = 0
        self._system_inits: dict[tuple[bytes, int], dict[int, int]] = {}
        self._definitions: dict[Definition, tuple[Definition, int]] = {}
        self._distinct_fields = 0
        self._waiting = WaitingSets()
        self._counters = {"next": 0, "sweep": 0}
        self._undo: list[tuple[_Key, _Entry | None]] = []

    # Ranges.

    def begin(self) -> None:
        """Start a range: `rollback` comes back to here, `changes` are counted from here."""
        self._undo = []

    def rollback(self) -> None:
        """Undo everything since `begin`, exactly."""
        for key, old in reversed(self._undo):
            self._store(key, old)
        self._undo = []
        self._waiting.restore_order()

    def changes(self) -> list[Change]:
        """Return what is different from `begin`, as JSON texts, sorted by key."""
        before: dict[_Key, _Entry | None] = {}
        for key, old in self._undo:
            before.setdefault(key, old)
        found = ((key, self._load(key)) for key, old in before.items() if self._load(key) != old)
        return sorted((_key_text(key), _entry_text(value)) for key, value in found)

    def apply(self, changes: Iterable[Change]) -> None:
        """Take another state's changes; raises ValueError on anything that is none."""
        for key_text, entry_text in changes:
            key = _parse_key(key_text)
            self._store(key, None if entry_text is None else self._parse_entry(key, entry_text))
        self._waiting.restore_order()

    def snapshot(self) -> list[Change]:
        """Return the whole state as changes of an empty one, sorted by key."""
        keys: list[_Key] = [*self._known, *(number for number, _ in self._waiting.items())]
        keys += [name for name, value in self._counters.items() if value]
        return sorted((_key_text(key), _entry_text(self._load(key))) for key in keys)

    # Templates.

    def definition(
        self,
        key: tuple[bytes, int, int, int],
        received_at_ms: int,
        header: Message,
    ) -> Definition | None:
        """Return the template for data of this header; None when it is unknown or out of date.

        key: a TemplateKey, or the plain tuple of its fields, which is cheaper to make.
        """
        fresh = self.fresh_definition(key, received_at_ms, header.uptime_ms)
        if fresh is not None:
            return fresh
        known: Known | None = self._known.get(key)  # type: ignore[call-overload]  # equal as keys
        if known is None:
            return None
        return self._aged_definition(TemplateKey(*key), known, received_at_ms, header)

    def fresh_definition(
        self, key: tuple[bytes, int, int, int], received_at_ms: int, uptime_ms: int
    ) -> Definition | None:
        """Return the template where using it changes nothing here; None where `definition` must.

        uptime_ms: sysUptime of the data's header, -1 in IPFIX.
        """
        known: Known | None = self._known.get(key)  # type: ignore[call-overload]  # equal as keys
        if (
            known is not None
            and uptime_ms >= known.uptime_ms - _REORDERED_MS
            and received_at_ms - known.at_ms < self.limits.template_touch_ms
        ):
            return known.definition
        return None

    def _aged_definition(
        self, key: TemplateKey, known: Known, received_at_ms: int, header: Message
    ) -> Definition | None:
        if _restarted(known, received_at_ms, header):
            self._put(key, None)
            return None
        if received_at_ms - known.at_ms >= self.limits.template_touch_ms:
            if received_at_ms - known.at_ms >= self.limits.template_lifetime_ms:
                self._put(key, None)
                return None
            self._put(key, known._replace(at_ms=received_at_ms))
        return known.definition

    def learn(
        self,
        key: TemplateKey,
        definition: Definition,
        received_at_ms: int,
        header: Message,
    ) -> Definition:
        """Note a template as it came; a new one replaces the old at once (RFC 3954 section 9).

        Raises DecodeError when a bound is hit; an older one of that id is gone then, too.
        """
        known = self._known.get(key)
        if known is not None and known.definition == definition:
            # Repetition is noted rarely, so that it costs the journal nothing; but a lower
            # sysUptime at once, because data of a restarted exporter is measured by it.
            aged = received_at_ms - known.at_ms >= self.limits.template_touch_ms
            if aged or header.uptime_ms < known.uptime_ms:
                self._put(
                    key,
                    known._replace(
                        at_ms=received_at_ms,
                        export_ms=header.export_ms,
                        uptime_ms=header.uptime_ms,
                        sequence=header.sequence,
                    ),
                )
            return known.definition
        self._forget_expired(received_at_ms)
        if known is not None:
            self._put(key, None)
        if not self._has_room_for(key.exporter, definition):
            raise DecodeError(LossReason.BAD_TEMPLATE, "too many templates")
        self._put(
            key,
            Known(
                definition,
                received_at_ms,
                header.export_ms,
                header.uptime_ms,
                sequence=header.sequence,
            ),
        )
        return self._known[key].definition

    def _has_room_for(self, exporter: bytes, definition: Definition) -> bool:
        limits, more = self.limits, len(definition.fields)
        templates_of, fields_of = self._held_of.get(exporter, (0, 0))
        return (
            len(self._known) < limits.templates
            and templates_of < limits.templates_per_exporter
            and self._fields + more <= limits.fields
            and fields_of + more <= limits.fields_per_exporter
            and (
                definition in self._definitions
                or self._distinct_fields + more <= limits.distinct_fields
            )
        )

    def note_system_init(self, key: TemplateKey, system_init_ms: int) -> bool:
        """Note element 160 of an options record; return whether that is news."""
        known = self._known.get(key)
        if known is None or known.system_init_ms == system_init_ms:
            return False
        self._put(key, known._replace(system_init_ms=system_init_ms))
        return True

    def system_init_ms(self, exporter: bytes, domain: int) -> int:
        """Return when an IPFIX exporter says it started, ms since 1970; 0 if it did not."""
        said = self._system_inits.get((exporter, domain))
        return max(said.values()) if said else 0

    def _forget_expired(self, received_at_ms: int) -> None:
        """Drop templates out of their lifetime, now and then: dead ones must not fill the bounds.

        A clock far behind the last sweep was corrected, and sweeps too.
        """
        if abs(received_at_ms - self._counters["sweep"]) < _SWEEP_MS:
            return
        self._put("sweep", received_at_ms)
        oldest = received_at_ms - self.limits.template_lifetime_ms
        for key in [key for key, known in self._known.items() if known.at_ms <= oldest]:
            self._put(key, None)

    # Waiting data sets.

    def wait(self, waiting: WaitingSet) -> list[WaitingSet]:
        """Keep a set until its template comes; return those given up for it, oldest first."""
        number = self._counters["next"]
        self._put("next", number + 1)
        self._put(number, waiting)
        given_up = []
        exporter = waiting.key.exporter
        while self._waiting.bytes_of(exporter) > self.limits.waiting_bytes_per_exporter:
            given_up.append(self._give_up(self._waiting.oldest_of(exporter)))
        while self._waiting.held_bytes > self.limits.waiting_bytes:
            given_up.append(self._give_up(self._waiting.oldest()))
        return given_up

    def expire(self, received_at_ms: int | None) -> list[WaitingSet]:
        """Return, and forget, the sets that waited too long; all of them at None."""
        given_up: list[WaitingSet] = []
        while (number := self._waiting.oldest()) is not None:
            oldest = self._waiting.get(number)
            assert oldest is not None
            if (
                received_at_ms is not None
                and received_at_ms - oldest.at_ms <= self.limits.waiting_ms
            ):
                break
            given_up.append(self._give_up(number))
        return given_up

    def release(self, key: TemplateKey) -> list[WaitingSet]:
        """Return, and forget, the sets that waited for a template, oldest first."""
        return [self._take(number) for number in self._waiting.of(key)]

    @property
    def has_waiting(self) -> bool:
        """Whether any data set waits."""
        return len(self._waiting) > 0

    def _give_up(self, number: int | None) -> WaitingSet:
        """Take out the oldest set of an exporter; its datagram is then counted as lost in part.

        The next one is told: sets of one datagram wait side by side.
        """
        given_up = self._take(number)
        following = self._waiting.oldest_of(given_up.key.exporter)
        beside = self._waiting.get(following) if following is not None else None
        if following is not None and beside is not None and beside.is_beside(given_up):
            self._put(following, beside._replace(counted=True))
        return given_up

    def _take(self, number: int | None) -> WaitingSet:
        waiting = self._waiting.get(number) if number is not None else None
        assert waiting is not None
        assert number is not None
        self._put(number, None)
        return waiting

    # Entries.

    def _put(self, key: _Key, value: _Entry | None) -> None:
        self._undo.append((key, self._load(key)))
        self._store(key, value)

    def _load(self, key: _Key) -> _Entry | None:
        if isinstance(key, TemplateKey):
            return self._known.get(key)
        return self._waiting.get(key) if isinstance(key, int) else self._counters[key]

    def _store(self, key: _Key, value: _Entry | None) -> None:
        if isinstance(key, TemplateKey):
            assert value is None or isinstance(value, Known)
            self._store_template(key, value)
        elif isinstance(key, int):
            assert value is None or isinstance(value, WaitingSet)
            if value is not None:
                self._waiting.put(key, value)
            elif self._waiting.get(key) is not None:
                self._waiting.remove(key)
        else:
            assert isinstance(value, int) or value is None
            self._counters[key] = value or 0

    def _store_template(self, key: TemplateKey, value: Known | None) -> None:
        old = self._known.pop(key, None)
        if value is not None:
            shared, uses = self._definitions.get(value.definition, (value.definition, 0))
            self._definitions[shared] = (shared, uses + 1)
            self._distinct_fields += len(shared.fields) if not uses else 0
            self._known[key] = value._replace(definition=shared)
        self._store_system_init(key, value.system_init_ms if value is not None else 0)
        if old is not None:
            shared, uses = self._definitions[old.definition]
            if uses > 1:
                self._definitions[shared] = (shared, uses - 1)
            else:
                del self._definitions[shared]
                self._distinct_fields -= len(shared.fields)
        self._count(key.exporter, value, 1)
        self._count(key.exporter, old, -1)

    def _count(self, exporter: bytes, known: Known | None, sign: int) -> None:
        if known is None:
            return
        fields = sign * len(known.definition.fields)
        self._fields += fields
        templates_of, fields_of = self._held_of.get(exporter, (0, 0))
        if templates_of + sign:
            self._held_of[exporter] = (templates_of + sign, fields_of + fields)
        else:
            del self._held_of[exporter]

    def _store_system_init(self, key: TemplateKey, system_init_ms: int) -> None:
        domain = (key.exporter, key.domain)
        said = self._system_inits.get(domain)
        if system_init_ms:
            self._system_inits.setdefault(domain, {})[key.template_id] = system_init_ms
        elif said is not None and said.pop(key.template_id, None) is not None and not said:
            del self._system_inits[domain]

    def _parse_entry(self, key: _Key, text: str) -> _Entry:
        entry = json.loads(text)
        if isinstance(key, TemplateKey):
            fields = tuple((int(e), int(n), int(length)) for e, n, length in entry["fields"])
            definition = Definition(fields, options=bool(entry["options"]))
            return Known(
                definition,
                int(entry["at"]),
                int(entry["export"]),
                int(entry["uptime"]),
                int(entry.get("init", 0)),
                int(entry.get("sequence", 0)),
            )
        if isinstance(key, int):
            return WaitingSet(
                _template_key(entry["template"]),
                int(entry["at"]),
                int(entry["export"]),
                int(entry["uptime"]),
                base64.b64decode(entry["body"]),
                int(entry.get("datagram", 0)),
                bool(entry.get("counted", False)),
            )
        return int(entry)


def _restarted(known: Known, received_at_ms: int, header: Message) -> bool:
    """Whether the exporter began another life, in which a template's id may mean something else.

    Only then must data wait for its template: an exporter that sends templates once would lose
    everything for good. So all of it has to agree: sysUptime fell and did not wrap, this life began
    after the template was seen in use (the line cards of one exporter, each with an uptime of its
    own, live side by side), and the sequence fell too (some exporters' sysUptime is anything).
    """
    if header.uptime_ms >= known.uptime_ms - _REORDERED_MS:
        return False
    expected = (known.uptime_ms + header.export_ms - known.export_ms) % _WRAP
    off = (header.uptime_ms - expected) % _WRAP
    has_wrapped = not _CLOCK_JITTER_MS < off < _WRAP - _CLOCK_JITTER_MS
    began_since = received_at_ms - header.uptime_ms >= known.at_ms
    sequence_fell = (header.sequence - known.sequence) % _WRAP >= _WRAP // 2
    return not has_wrapped and began_since and sequence_fell


def _key_text(key: _Key) -> str:
    if isinstance(key, TemplateKey):
        return f"template/{_template_text(key)}"
    return f"waiting/{key:016d}" if isinstance(key, int) else f"counter/{key}"


def _parse_key(text: str) -> _Key:
    kind, _, rest = text.partition("/")
    if kind == "template":
        return _template_key(rest)
    if kind == "waiting":
        return int(rest)
    if kind == "counter" and rest in ("next", "sweep"):
        return rest
    raise ValueError(f"{text!r} is no key of the decoder's state")


def _template_text(key: TemplateKey) -> str:
    return f"{key.exporter.hex()}/{key.version}/{key.domain}/{key.template_id}"


def _template_key(text: str) -> TemplateKey:
    exporter, version, domain, template_id = text.split("/")
    return TemplateKey(bytes.fromhex(exporter), int(version), int(domain), int(template_id))


def _entry_text(value: _Entry | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, Known):
        entry: object = {
            "fields": value.definition.fields,
            "options": value.definition.options,
            "at": value.at_ms,
            "export": value.export_ms,
            "uptime": value.uptime_ms,
            "init": value.system_init_ms,
            "sequence": value.sequence,
        }
    elif isinstance(value, WaitingSet):
        entry = {
            "template": _template_text(value.key),
            "at": value.at_ms,
            "export": value.export_ms,
            "uptime": value.uptime_ms,
            "body": base64.b64encode(value.body).decode(),
            "datagram": value.datagram,
            "counted": value.counted,
        }
    else:
        entry = value
    return json.dumps(entry, separators=(",", ":"))
