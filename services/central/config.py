"""Settings of the central."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.tls import TlsFiles


class CentralConfig(BaseSettings):
    """Settings of one central. Where names and retention come from users, they are events."""

    model_config = SettingsConfigDict(env_prefix="STEADFLOW_CENTRAL_", extra="forbid", frozen=True)

    name: str = Field(
        "central-a",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of this central, unique in the cluster.",
    )
    boot_id: str = Field(
        "",
        pattern=r"^[0-9a-f]{0,16}$",
        description="Name of this life of the process, another one at each start, by which whoever "
        "started it can tell that it ended; made at random when empty.",
    )
    data_dir: Path = Field(
        Path("central-a"),
        description="Folder of the embedded store (`store/`) and database (`metadata.db`). It "
        "belongs to one process at a time.",
    )
    store_url: SecretStr | None = Field(
        None,
        description="ClickHouse server (`https://user:password@host:8443/database`) instead of "
        "the embedded store.",
    )
    metadata_url: SecretStr | None = Field(
        None,
        description="PostgreSQL (`postgresql://user:password@host/database`) instead of SQLite.",
    )
    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        min_length=1,
        description="Kafka brokers to begin with, `host:port` separated by commas.",
    )
    brokers_file: Path | None = Field(
        None,
        description="File that names brokers, `host:port` with commas between, which are asked too "
        "at the start: whoever starts this process notes in it where they are.",
    )
    kafka_tls_dir: Path | None = Field(
        None,
        description="Folder with `ca.pem`, `node.pem` and `node.key` (mode 600): the brokers are "
        "then reached by TLS, with this node's certificate. Without it nothing is encrypted.",
    )
    http_host: str = Field("127.0.0.1", description="Address of the API.")
    http_port: int = Field(
        8080, ge=0, le=65_535, description="TCP port of the API; 0 takes any free one."
    )
    https_host: str = Field(
        "0.0.0.0",
        description="Address on which pages and API are also served by HTTPS, with `https_port`.",
    )
    https_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="TCP port of HTTPS; none without it. Needs `tls_dir`.",
    )
    tls_dir: Path | None = Field(
        None,
        description="Folder with `ca.pem`, `node.pem` and `node.key` (mode 600) for HTTPS. A "
        "client's certificate is not needed, but verified where one is shown.",
    )
    https_certificate: Path | None = Field(
        None,
        description="Certificate of your own for HTTPS (PEM, then its chain), shown instead of "
        "`node.pem`. Invites carry its fingerprint. Needs `https_key` and `tls_dir`, by which "
        "nodes are still known.",
    )
    https_key: Path | None = Field(
        None, description="Key of `https_certificate` (PEM, without password, mode 600)."
    )
    download_dir: Path | None = Field(
        None,
        description="Folder of what is served at `/download` beside this release: other packages "
        "as `wheels/*.whl`; in an image also the release itself.",
    )
    network_file: Path | None = Field(
        None,
        description="File that `steadflow standby enable` writes: HTTPS is opened as it says, at "
        "once, beside or without `https_port`. Needs `tls_dir`.",
    )
    authority_dir: Path | None = Field(
        None,
        description="Folder with `ca.pem` and `ca.key` (mode 600), by which other machines are "
        "admitted that show the token of an invite. Without it nobody joins through this central.",
    )
    url: str = Field(
        "",
        max_length=200,
        description="Where others reach this API, `http://host:port`; by default the address it "
        "listens on.",
    )
    priority: int = Field(
        100, ge=0, le=1_000, description="Who becomes primary first: the lowest number."
    )
    candidate: bool = Field(
        True,
        description="Whether it may be chosen as the primary; without, it only keeps a copy, and "
        "acts when `steadflow failover` names it.",
    )
    stands_still_when_old: bool = Field(
        False,
        description="Whether it stands still, instead of leaving a gap, when Kafka has no longer "
        "what it would read next; its agent then copies the primary anew.",
    )
    broker_number: int = Field(
        0,
        ge=0,
        description="Number of the Kafka broker on this machine, where `steadflow` runs it: the "
        "primary then keeps copies, votes and leaders as the number of machines wants them. 0: a "
        "Kafka of the user's own, which is left alone.",
    )
    copy_bytes_per_s: int = Field(
        50_000_000,
        ge=100_000,
        description="Most that each broker sends or takes of copies that are behind, bytes/s.",
    )
    read_bytes_per_s: int = Field(
        50_000_000,
        ge=1_000_000,
        description="Most that each client may read of one broker that `steadflow` runs, bytes/s: "
        "whoever catches up leaves room for what comes in.",
    )
    flows_log_bytes: int | None = Field(
        None,
        ge=0,
        description="Most bytes of `flows` that each broker keeps which `steadflow` runs; 0 for no "
        "limit but its age. Without it Kafka's own setting stays. What nobody has read by then is "
        "lost, so it is for a disk that must never fill.",
    )
    registry_urls: str = Field(
        "",
        max_length=1_000,
        description="Registries, `http://host:port` separated by commas, to which a switchover, "
        "failover, pause or resume asked here is passed on.",
    )
    webhook_url: SecretStr | None = Field(
        None, description="Gets a POST with JSON for each notice, a takeover for one."
    )
    export_address: str = Field(
        ":2055",
        max_length=300,
        description="Where routers export to, `host:port`, as the pages tell; without host it is "
        "the one that the browser used.",
    )
    token_file: Path | None = Field(
        None,
        description="File (mode 600) with the cluster's bearer token, of centrals, commands and "
        "standbys among each other. Without it nobody can log in and nothing can be changed.",
    )
    admin_password_file: Path | None = Field(
        None,
        description="File (mode 600) with the password of the first account, `admin`, which the "
        "primary makes where there is no account yet.",
    )
    reading: Literal["loopback", "login"] = Field(
        "loopback",
        description="Who may read without a login or token: everybody who comes from and to "
        "127.0.0.1 without TLS (`loopback`), or nobody (`login`), as behind a proxy.",
    )
    report_clients: int = Field(
        2, ge=1, le=32, description="Reports that run at once; others wait in line."
    )
    report_timeout_s: int = Field(
        30, ge=1, le=3600, description="Longest time of one report, in seconds."
    )
    report_memory_bytes: int = Field(
        2_000_000_000, ge=100_000_000, description="Most memory of one report, in bytes."
    )
    # The log keeps 72 hours: rows that may still be read again from it must not be dropped, or
    # they would come back as new ones once the metadata database is lost.
    raw_days: int = Field(
        7,
        ge=4,
        le=3650,
        description="Days of raw flow records, unless the setting `retention` says otherwise.",
    )
    minute_days: int = Field(
        30,
        ge=4,
        le=3650,
        description="Days of sums per minute, unless the setting `retention` says otherwise.",
    )
    hour_days: int = Field(
        730,
        ge=4,
        le=36_500,
        description="Days of sums per hour, unless the setting `retention` says otherwise.",
    )
    settings_wait_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="How long a change waits until it was read back from Kafka, in seconds.",
    )

    live: bool = Field(
        True,
        description="Whether rates of the last seconds and minutes are kept in memory, from topic "
        "`rates`: for the page and `/api/v1/live`.",
    )

    @model_validator(mode="after")
    def _levels_last_longer(self) -> Self:
        if not self.raw_days <= self.minute_days <= self.hour_days:
            raise ValueError("raw_days <= minute_days <= hour_days must hold")
        return self

    @model_validator(mode="after")
    def _https_has_certificates(self) -> Self:
        if self.tls_dir is None and (self.https_port, self.network_file) != (None, None):
            raise ValueError("https_port and network_file need tls_dir")
        own = (self.https_certificate, self.https_key)
        if own != (None, None) and (None in own or self.tls_dir is None):
            raise ValueError("https_certificate needs https_key and tls_dir")
        return self

    @property
    def https_files(self) -> TlsFiles | None:
        """What HTTPS shows, and by whom it knows nodes; None without HTTPS."""
        if self.tls_dir is None:
            return None
        files = TlsFiles.in_directory(self.tls_dir)
        if self.https_certificate is None or self.https_key is None:
            return files
        return TlsFiles(files.ca, self.https_certificate, self.https_key)

    @property
    def registries(self) -> tuple[str, ...]:
        """The URLs in `registry_urls`."""
        return tuple(filter(None, (each.strip() for each in self.registry_urls.split(","))))

    @property
    def store_place(self) -> str:
        """The store's URL, or its folder."""
        if self.store_url is not None:
            return self.store_url.get_secret_value()
        return str(self.data_dir.absolute() / "store")

    @property
    def metadata_place(self) -> str:
        """The URL of the metadata database."""
        if self.metadata_url is not None:
            return self.metadata_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'metadata.db'}"
