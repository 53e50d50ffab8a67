"""Settings of one service from environment and YAML file, and the errors as one sentence."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from shared.token import TokenError, read_token

Settings = TypeVar("Settings", bound=BaseSettings)

EXIT_CONFIG = 2
"""Exit code of a service that was given settings it cannot use."""


class ConfigError(Exception):
    """A setting that is unknown or has an impossible value; the text is one sentence."""


def load(
    settings: type[Settings],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Build `settings` from the environment, then `file`, then defaults: the first that says wins.

    Raises ConfigError naming the first wrong setting, also for an unknown one on either side.
    """
    prefix = settings.model_config.get("env_prefix", "").upper()
    known = set(settings.model_fields)
    given = {
        name[len(prefix) :].lower(): name
        for name in environment
        if prefix and name.upper().startswith(prefix)
    }
    for key, name in sorted(given.items()):
        if key not in known:
            raise ConfigError(f"unknown setting {name} in the environment")
    values = _read_yaml(file) if file is not None else {}
    for key in sorted(values):
        if key not in known:
            raise ConfigError(f"unknown setting {key} in {file}")
    try:
        return settings(**{key: value for key, value in values.items() if key not in given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "configuration"
        where = given.get(key, key)
        raise ConfigError(f"setting {where} is not valid: {first['msg']}") from error


def _read_yaml(file: Path) -> dict[str, Any]:
    # Any: a YAML value has whatever type its setting says; pydantic checks it.
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"config file {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {file} is no YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"config file {file} must hold settings as `name: value` lines")
    return {str(key): value for key, value in content.items()}


def dump(config: BaseSettings) -> str:
    """Return the effective settings as YAML; secrets (`SecretStr`) are hidden."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def configured_token(path: Path | None) -> str | None:
    """Return the token of the setting `token_file`, None where it is not set.

    Raises ConfigError naming the setting.
    """
    if path is None:
        return None
    try:
        return read_token(path)
    except TokenError as error:
        raise ConfigError(f"setting token_file: {error}") from error


def run_service(
    settings: type[Settings],
    run: Callable[[Settings], int | None],
    *,
    check: Callable[[Settings], None] = lambda _config: None,
    service: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Be a service's `main`: read arguments and settings, then check, dump or run; the exit code.

    check: builds everything and starts nothing; raises ConfigError for what cannot work.
    run: works until it is told to stop; may raise ConfigError while it starts.
    """
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="settings file")
    parser.add_argument("--check", action="store_true", help="build everything, start nothing")
    parser.add_argument("--dump", action="store_true", help="print the effective settings")
    options = parser.parse_args(arguments)
    try:
        config = load(settings, file=options.config)
        if options.dump:
            sys.stdout.write(dump(config))
        if options.check:
            check(config)
        if options.dump or options.check:
            return 0
        return run(config) or 0
    except ConfigError as error:
        sys.stderr.write(f"{service}: {error}\n")
        return EXIT_CONFIG
