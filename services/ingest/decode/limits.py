"""How much the decoder keeps for exporters, so that no input makes memory grow without end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a worker's decoder state. All times run by `received_at`.

    fields_per_template: a template with more is rejected.
    templates_per_exporter, templates: beyond these a new template is rejected, known ones stay.
    fields_per_exporter, fields: over all templates; the state is kept as text, field by field.
    distinct_fields: over all different definitions; equal templates share one in memory.
    waiting_bytes_per_exporter, waiting_bytes: data sets that wait for their template, each with
        200 bytes on top; beyond these the oldest is given up.
    waiting_ms: longest wait; 30 minutes is the usual refresh of templates over UDP.
    template_lifetime_ms: a template neither repeated nor used that long is forgotten. Not shorter:
        some exporters send theirs once.
    template_touch_ms: repetition and use are noted no more often than this.
    """

    fields_per_template: int = 1024
    templates_per_exporter: int = 2048
    templates: int = 200_000
    fields_per_exporter: int = 16_384
    fields: int = 2_000_000
    distinct_fields: int = 250_000
    waiting_bytes_per_exporter: int = 512 * 1024
    waiting_bytes: int = 8 * 1024 * 1024
    waiting_ms: int = 30 * 60_000
    template_lifetime_ms: int = 24 * 3_600_000
    template_touch_ms: int = 3_600_000
