"""Which release this is; the version in pyproject.toml, which an image without its wheel lacks."""

RELEASE = "0.1.0"
