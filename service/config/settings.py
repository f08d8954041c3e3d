"""What can be set, once, at the entry: by flag, or by an environment variable with the prefix CONVSERVE_."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

MEBIBYTE = 1024 * 1024
PREFIX = "CONVSERVE_"


def shipped_models() -> Path:
    """The models that come with the project, beside this package in a clone and in a wheel alike."""
    return Path(__file__).resolve().parents[2] / "models"


class Settings(BaseModel):
    """Read once and never written; every part is given only the values that it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    grpc_port: int = Field(
        default=8001,
        ge=-1,
        le=65535,
        description="Port of gRPC, on the same address; 0 for none, -1 takes a free one.",
    )
    workers: PositiveInt = Field(
        default=1,
        description="Server processes, each with its own copy of the models; see "
        "[performance.md](performance.md) for what that costs and gains.",
    )
    models: Path = Field(
        default_factory=shipped_models,
        description="The model repository to serve; the models that ship with the project if unset.",
    )
    default_model: str | None = Field(
        default=None,
        description="The model `POST /classify` asks; if unset `convnet` where it is served, "
        "else the first classifier by name.",
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="ONNX Runtime's execution provider; auto takes CUDA where it can be had."
    )
    threads: NonNegativeInt = Field(
        default=0,
        description="Intra-op threads a model; 0 gives a light network one and a heavy one its worker's "
        "share of the cores that the CPU quota and affinity allow.",
    )
    queue_limit: PositiveInt = Field(
        default=1024,
        description="Images a model may have admitted and unanswered; past that a request gets 429.",
    )
    max_queue_wait_ms: PositiveFloat = Field(
        default=10_000.0,
        description="How long the images that a model has admitted may take, at the rate it was measured to "
        "answer them; past that, or past a request's own deadline, a request gets 429 at once.",
    )
    max_queue_delay_ms: NonNegativeFloat = Field(
        default=0.0,
        description="How long an image may wait for company in its batch while the engine is free.",
    )
    request_timeout_ms: PositiveFloat = Field(
        default=30_000.0, description="Deadline of a request that names none in X-Request-Timeout-Ms."
    )
    engine_timeout_s: PositiveFloat = Field(
        default=60.0,
        description="How long an engine may be at one batch; past that the server says that it is not ready, "
        "until the engine comes back.",
    )
    max_body_bytes: PositiveInt = Field(
        default=32 * MEBIBYTE, description="Largest request body; past that 413."
    )
    max_images: PositiveInt = Field(default=256, description="Most images in one request; past that 413.")
    max_parts: PositiveInt = Field(
        default=10_000, description="Most parts of a form, whatever they are; past that 413."
    )
    max_json_depth: int = Field(
        default=100,
        ge=8,
        le=200,  # where the parser itself refuses
        description="How deep lists and objects may lie within each other in JSON; past that 400.",
    )
    max_json_values: PositiveInt = Field(
        default=2_000_000,
        description="Most values in the JSON of a request, counted before it is parsed; past that 413. "
        "Tensors as binary data and pictures in base64 are not counted.",
    )
    max_pixels: PositiveInt = Field(
        default=50_000_000,
        le=178_956_970,  # where Pillow itself refuses
        description="Most pixels of one image by its header, before it is decoded; past that 400.",
    )
    decode_timeout_ms: PositiveFloat = Field(
        default=10_000.0,
        description="How long a request waits for its large pictures to be decoded; past that 504.",
    )
    api_keys: SecretStr | None = Field(
        default=None,
        description="API keys, between semicolons: each a name, its scopes (`infer,admin,metrics`), the key "
        "or its digest, and perhaps a rate. With keys, only probes are answered without one. No flag.",
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="A file of keys as in `CONVSERVE_API_KEYS`, one a line, read again when it changes; see "
        "[security.md](security.md).",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="The server's certificate and its chain in PEM, for HTTP and gRPC; read again when it "
        "changes.",
    )
    tls_key: Path | None = Field(default=None, description="The private key of that certificate, in PEM.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Who signs the certificates of clients, in PEM; clients without one are not let in.",
    )
    admin_port: int = Field(
        default=0,
        ge=-1,
        le=65535,
        description="A port of its own for `/metrics` and what needs the scope `admin`, which the other then "
        "does not answer; 0 for none, -1 takes a free one.",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose pages may ask from a browser, between commas; `*` for all. None if unset.",
    )
    security_headers: bool = Field(
        default=True,
        description="Whether answers tell browsers not to guess types, not to frame pages and not to tell "
        "where they came from (and with TLS, to come by TLS alone).",
    )
    max_connections: PositiveInt = Field(
        default=2048,
        description="HTTP connections of one worker, and calls of gRPC under way; past that 503, or "
        "RESOURCE_EXHAUSTED. Fewer where the limit of open files leaves no room for so many.",
    )
    max_bodies_bytes: PositiveInt = Field(
        default=512 * MEBIBYTE,
        description="Bytes of request bodies that one worker holds at a time; past that 429.",
    )
    grpc_max_message_bytes: PositiveInt = Field(
        default=64 * MEBIBYTE,
        description="Largest message of gRPC, either way; past that RESOURCE_EXHAUSTED. As much as Triton's.",
    )
    max_head_bytes: PositiveInt = Field(
        default=32 * 1024,
        description="Largest head of an HTTP request: its first line and headers; past that 431.",
    )
    max_headers: PositiveInt = Field(
        default=100, description="Most headers of an HTTP request; past that 431."
    )
    head_timeout_s: PositiveFloat = Field(
        default=10.0,
        description="How long the head of a request may take to come, and the first one of a connection "
        "to begin; past that 408.",
    )
    body_timeout_s: PositiveFloat = Field(
        default=60.0, description="How long the body of a request may take to come; past that 408."
    )
    write_timeout_s: PositiveFloat = Field(
        default=60.0,
        description="How long a client may leave an answer unread before the connection is cut.",
    )
    keep_alive_s: PositiveInt = Field(
        default=75,
        description="How long an idle connection is kept; longer than load balancers do, so that they "
        "close first.",
    )
    drain_delay_s: NonNegativeFloat = Field(
        default=0.0,
        description="After SIGTERM: how long to go on serving while /readyz already says no, so that load "
        "balancers notice before the port closes.",
    )
    shutdown_timeout_s: PositiveFloat = Field(
        default=30.0,
        description="After the port is closed: how long admitted requests may take to be answered.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least level logged; `warning` for `convserve classify` and `check` if not given.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of a log line.")
    access_log: bool = Field(
        default=False,
        description="Whether each HTTP request gets a line in the log, with its model, status, durations and "
        "trace.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="Where OpenTelemetry's collector takes traces of HTTP requests, such as "
        "`http://127.0.0.1:4318/v1/traces`; needs the extra `convserve[otel]`. None if unset.",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Share of the requests that are traced where the caller's `traceparent` does not say.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key need each other")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        return self

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        if self.queue_limit < self.max_images:
            raise ValueError(
                f"queue_limit ({self.queue_limit}) is below max_images ({self.max_images}): "
                "a full request could never be admitted"
            )
        return self

    @classmethod
    def of(cls, environment: Mapping[str, str], given: Mapping[str, Any]) -> Self:
        """What is given by name, else by a variable of the environment, whose case does not matter.

        Raises:
            pydantic.ValidationError: a value cannot be, or no setting is called so.
        """
        variables = {name.upper(): value for name, value in environment.items()}
        found = {
            name: variables[PREFIX + name.upper()]
            for name in cls.model_fields
            if PREFIX + name.upper() in variables
        }
        return cls(**{**found, **given})
