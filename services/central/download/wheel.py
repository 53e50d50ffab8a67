"""The wheel of this release out of its own files: no build tool and no network is needed; pure.

The same files make the same bytes on every machine, so one hash names a release. A test compares
it with what the build tool makes.
"""

import base64
import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

LOCKS_AT: Final = "share/steadflow/requirements"
"""Where an installed wheel keeps the locks, below the folder it was installed to."""
_MADE_AT: Final = (2020, 2, 2, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(\[[^\]]*\])?\s*([^;]*)")


class Release(NamedTuple):
    """What a wheel is made of, by path. code: `cli`, `services` and `shared`.

    described: what stands in `.dist-info`, such as `METADATA`. locks: by file name.
    """

    version: str
    code: Mapping[str, bytes]
    described: Mapping[str, bytes]
    locks: Mapping[str, bytes]


class Wheel(NamedTuple):
    """A wheel: its file name, which installers read, and what it holds. sha256: in hex."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash by which it is known."""
        return hashlib.sha256(self.content).hexdigest()


def build(release: Release) -> Wheel:
    """Return the wheel of `release`."""
    base = f"steadflow-{release.version}"
    files = {
        **release.code,
        **{f"{base}.data/data/{LOCKS_AT}/{name}": lock for name, lock in release.locks.items()},
        **{f"{base}.dist-info/{name}": text for name, text in release.described.items()},
        f"{base}.dist-info/WHEEL": _WHEEL,
    }
    record = f"{base}.dist-info/RECORD"
    rows = [_recorded(name, files[name]) for name in sorted(files)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            _add(archive, name, files[name])
        _add(archive, record, "".join([*rows, f"{record},,\n"]).encode())
    return Wheel(f"{base}-py3-none-any.whl", packed.getvalue())


_WHEEL: Final = (
    b"Wheel-Version: 1.0\nGenerator: steadflow\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)


def describe(project: bytes, others: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what stands in `.dist-info`, from `pyproject.toml` and the files that it names.

    others: `README.md` and `LICENSE`, by name.
    """
    about: dict[str, Any] = tomllib.loads(project.decode())["project"]  # Any: the shape of TOML
    extras: dict[str, list[str]] = about["optional-dependencies"]
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {about['name']}",
        f"Version: {about['version']}",
        f"Summary: {about['description']}",
        f"License-Expression: {about['license']}",
        *(f"License-File: {name}" for name in about["license-files"]),
        f"Requires-Python: {about['requires-python']}",
        *(f"Requires-Dist: {_required(each)}" for each in sorted(about["dependencies"])),
    ]
    for extra in sorted(extras):
        lines.append(f"Provides-Extra: {extra}")
        lines += [
            f"Requires-Dist: {_required(e)}; extra == '{extra}'" for e in sorted(extras[extra])
        ]
    lines.append("Description-Content-Type: text/markdown")
    scripts = [f"{name} = {target}" for name, target in sorted(about["scripts"].items())]
    return {
        "METADATA": "\n".join(lines).encode() + b"\n\n" + others[about["readme"]],
        "entry_points.txt": "\n".join(["[console_scripts]", *scripts, ""]).encode(),
        **{f"licenses/{name}": others[name] for name in about["license-files"]},
    }


def _required(text: str) -> str:
    found = _REQUIREMENT.fullmatch(text)
    assert found is not None, text
    name, extras, versions = found.groups()
    parts = sorted(each.strip() for each in versions.split(",") if each.strip())
    return f"{name}{extras or ''}{','.join(parts)}"


def _recorded(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    about = zipfile.ZipInfo(name, _MADE_AT)
    about.compress_type = zipfile.ZIP_DEFLATED
    about.external_attr = _MODE
    archive.writestr(about, content)


def version_of(names: Iterable[str]) -> str:
    """Return the version in the name of a steadflow wheel among `names`; empty without one."""
    found = [re.fullmatch(r"steadflow-([^-]+)-py3-none-any\.whl", name) for name in names]
    return next((each.group(1) for each in found if each), "")
