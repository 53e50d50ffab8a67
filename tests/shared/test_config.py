from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.config import ConfigError, dump, load, run_service


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="STEADFLOW_TEST_", extra="forbid", frozen=True)

    port: int = Field(1, ge=1, le=65_535)
    name: str = "a"
    secret: SecretStr | None = None


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("port: 2\nname: b\n")
    monkeypatch.setenv("STEADFLOW_TEST_PORT", "3")
    assert load(Settings, file=file) == Settings(port=3, name="b")


def test_an_unknown_setting_is_named_on_either_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("prot: 2\n")
    with pytest.raises(ConfigError, match=r"^unknown setting prot in .*config.yaml$"):
        load(Settings, file=file)
    monkeypatch.setenv("STEADFLOW_TEST_PROT", "3")
    with pytest.raises(ConfigError, match=r"^unknown setting STEADFLOW_TEST_PROT in the environm"):
        load(Settings)


def test_an_impossible_value_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADFLOW_TEST_PORT", "70000")
    with pytest.raises(ConfigError, match=r"STEADFLOW_TEST_PORT is not valid: .*65535"):
        load(Settings)
    monkeypatch.delenv("STEADFLOW_TEST_PORT")
    file = tmp_path / "config.yaml"
    file.write_text("port: many\n")
    with pytest.raises(ConfigError, match="setting port is not valid"):
        load(Settings, file=file)


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00", "just words"])
def test_a_file_that_holds_no_settings_is_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as problem:
        load(Settings, file=file)
    assert "\n" not in str(problem.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Settings, file=tmp_path / "missing.yaml")


def test_secrets_are_not_dumped() -> None:
    shown = dump(Settings(secret=SecretStr("hunter2")))
    assert "hunter2" not in shown
    assert "port: 1" in shown


def test_a_service_checks_dumps_or_runs(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def run(*arguments: str) -> int:
        return run_service(
            Settings,
            lambda config: done.append(f"run {config.port}"),
            check=lambda config: done.append(f"check {config.port}"),
            service="test",
            arguments=arguments,
        )

    assert (run(), run("--check"), run("--dump")) == (0, 0, 0)
    assert done == ["run 1", "check 1"]
    assert "name: a" in capsys.readouterr().out


def test_a_wrong_setting_ends_a_service_with_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEADFLOW_TEST_NMAE", "x")
    code = run_service(Settings, lambda _config: None, service="test", arguments=[])
    assert code == 2
    assert capsys.readouterr().err == (
        "test: unknown setting STEADFLOW_TEST_NMAE in the environment\n"
    )
