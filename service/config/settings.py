"""The server's settings, each with a flag and an environment variable with the prefix CONVSERVE_."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

from .path_prefix import normal_prefix
from .setting_fields import Group as Group
from .setting_fields import setting as _setting

MEBIBYTE = 1024 * 1024
PREFIX = "CONVSERVE_"


def shipped_models() -> Path:
    """The folder of the models that come with the project, beside this package in clone and wheel."""
    return Path(__file__).resolve().parents[2] / "models"


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


IgnoreCase = BeforeValidator(_lower)


class Settings(BaseModel):
    """Frozen settings, read once at the start.

    Raises:
        pydantic.ValidationError: a value is out of range, or there is no such setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = _setting(Group.NETWORK, "Address to listen on.", default="127.0.0.1")
    port: int = _setting(Group.NETWORK, "TCP port of HTTP; 0 picks a free one.", default=8000, ge=0, le=65535)
    grpc_port: int = _setting(
        Group.NETWORK,
        "TCP port of gRPC, on the same address; 0 disables gRPC, -1 picks a free port.",
        default=8001,
        ge=-1,
        le=65535,
    )
    admin_port: int = _setting(
        Group.NETWORK,
        "Separate TCP port for `/metrics` and the endpoints that need the scope `admin`; the main port then "
        "returns 404 for them. 0 disables it, -1 picks a free port.",
        default=0,
        ge=-1,
        le=65535,
    )
    root_path: Annotated[str, AfterValidator(normal_prefix)] = _setting(
        Group.NETWORK,
        "Path under which a proxy publishes the server, such as `/models-eu`; the proxy may remove it from "
        "requests or keep it. A trusted proxy may name it in `X-Forwarded-Prefix` instead.",
        default="",
    )
    ui: bool = _setting(
        Group.NETWORK,
        "Serve the page `/ui`, to which browsers are directed from `/`, and what it shows of a network.",
        default=True,
    )

    models: Path = _setting(
        Group.MODELS,
        "Folder of the model repository to serve.",
        default_factory=shipped_models,
    )
    default_model: str | None = _setting(
        Group.MODELS,
        "Model that `POST /classify` uses. If unset: `convnet` if it is served, otherwise the first "
        "classifier by name.",
    )
    poll_s: NonNegativeFloat = _setting(
        Group.MODELS,
        "Seconds between two looks at the model repository for new, changed and removed versions. "
        "0 looks only after SIGHUP, and at a model when a call loads it.",
        default=5.0,
    )
    allow_empty: bool = _setting(
        Group.MODELS,
        "Unload the last version of a model when its folder vanishes, and start without any model. Otherwise "
        "a model that is loaded is served even if its storage is gone, and a server without models ends.",
        default=False,
    )
    load_timeout_s: PositiveFloat = _setting(
        Group.MODELS,
        "Seconds in which a worker must load a version while the server runs. If it takes longer, the former "
        "version stays.",
        default=300.0,
    )
    workers: PositiveInt = _setting(
        Group.MODELS, "Server processes. Each loads its own copy of the models.", default=1
    )
    worker_timeout_s: NonNegativeFloat = _setting(
        Group.MODELS,
        "Seconds after which the supervisor of several workers kills and replaces one whose event loop does "
        "not run, because it is stopped or deadlocked. 0 replaces none.",
        default=10.0,
    )
    provider: Annotated[Literal["auto", "cpu", "cuda"], IgnoreCase] = _setting(
        Group.MODELS,
        "Execution provider of ONNX Runtime; `auto` uses CUDA if it is available.",
        default="auto",
    )
    threads: NonNegativeInt = _setting(
        Group.MODELS,
        "Intra-op threads of each model. 0 gives a light network one thread, and a heavy one its worker's "
        "share of the cores that CPU affinity and quota allow.",
        default=0,
    )
    max_model_bytes: PositiveInt = _setting(
        Group.MODELS,
        "Bytes of all files of a model version; of a manifest of format 1, bytes of the graph and of the "
        "files from which it takes weights. A larger version is not served.",
        default=2048 * MEBIBYTE,  # protobuf's own limit for a graph
    )
    explain_bytes: PositiveInt = _setting(
        Group.MODELS,
        "Bytes of memory for looking into networks: the graphs that explain answers, with copies of their "
        "weights. They are opened at the first use, and closed when they are idle.",
        default=512 * MEBIBYTE,
    )
    engine_timeout_s: PositiveFloat = _setting(
        Group.MODELS,
        "Seconds an engine may spend on one batch. If it takes longer, the server reports not ready until "
        "the batch finishes. A version whose warm-up and golden test take longer is not served.",
        default=60.0,
    )

    max_queue_delay_ms: NonNegativeFloat = _setting(
        Group.BATCHING,
        "Milliseconds an image waits for others to join its batch while the engine is idle, as in Triton's "
        "dynamic batcher. 0 starts a batch at once.",
        default=0.0,
    )

    queue_limit: PositiveInt = _setting(
        Group.ADMISSION,
        "Images of each model version that may be in flight: admitted and not yet answered. A request beyond "
        "it gets 429. The last eighth is reserved for clients with few images in flight.",
        default=1024,
    )
    max_queue_wait_ms: PositiveFloat = _setting(
        Group.ADMISSION,
        "Milliseconds a new request may be expected to wait for the images admitted before it, estimated "
        "from the measured speed of the model. A request that would wait longer than this, or than its own "
        "deadline, gets 429 at once.",
        default=10_000.0,
    )

    request_timeout_ms: PositiveFloat = _setting(
        Group.REQUESTS,
        "Deadline in milliseconds of a request without an `X-Request-Timeout-Ms` header. After it the "
        "request gets 504.",
        default=30_000.0,
    )
    max_body_bytes: PositiveInt = _setting(
        Group.REQUESTS, "Bytes of a request body. A larger one gets 413.", default=32 * MEBIBYTE
    )
    max_images: PositiveInt = _setting(Group.REQUESTS, "Images in one request. More get 413.", default=256)
    max_parts: PositiveInt = _setting(
        Group.REQUESTS, "Parts of a multipart form, of any kind. More get 413.", default=1000
    )
    max_json_depth: int = _setting(
        Group.REQUESTS,
        "Nesting depth of lists and objects in JSON. A deeper body gets 400.",
        default=100,
        ge=8,
        le=200,  # the parser's own limit
    )
    max_json_values: PositiveInt = _setting(
        Group.REQUESTS,
        "Numbers in the arrays of the JSON of a request, counted before it is parsed. More get 413, and so "
        "do more than 4,096 other values, and 32 for each of `max_images`. Binary tensors and base64 images "
        "do not count.",
        default=2_000_000,
    )
    max_response_bytes: PositiveInt = _setting(
        Group.REQUESTS,
        "Bytes of memory that a response may take, computed before the model runs. A larger one gets 413.",
        default=128 * MEBIBYTE,
    )
    grpc_max_message_bytes: PositiveInt = _setting(
        Group.REQUESTS,
        "Bytes of a gRPC message in either direction, 64 MiB as in Triton. A larger one gets "
        "RESOURCE_EXHAUSTED.",
        default=64 * MEBIBYTE,
    )

    max_pixels: PositiveInt = _setting(
        Group.IMAGES,
        "Pixels of one image, read from its header before it is decoded. A larger image gets 400.",
        default=50_000_000,
        le=178_956_970,  # Pillow's own limit
    )
    max_request_pixels: PositiveInt = _setting(
        Group.IMAGES,
        "Pixels of all images of a request together, read from their headers. More get 413.",
        default=500_000_000,
    )
    max_decode_bytes: PositiveInt = _setting(
        Group.IMAGES,
        "Bytes of memory for decoding an image, computed from its header; one that needs more gets 413. The "
        "large images that a worker decodes at a time fit in it together.",
        default=256 * MEBIBYTE,
    )
    decode_timeout_ms: PositiveFloat = _setting(
        Group.IMAGES,
        "Milliseconds a request waits for its large images to be decoded. After it the request gets 504.",
        default=10_000.0,
    )

    api_keys: SecretStr | None = _setting(
        Group.SECURITY,
        "API keys, separated by semicolons: each a name, its scopes (`infer,admin,metrics`), the key or its "
        "digest, and optionally a rate. With keys, every request needs one, except probes and the "
        "files of the page and of `/docs`. Environment variable only.",
    )
    api_keys_file: Path | None = _setting(
        Group.SECURITY,
        "File of API keys in the format of `CONVSERVE_API_KEYS`, one per line; reloaded when it changes.",
    )
    cors_origins: str | None = _setting(
        Group.SECURITY,
        "Origins whose pages may call the server from a browser, separated by commas; `*` allows all. "
        "Unset allows none.",
    )
    security_headers: bool = _setting(
        Group.SECURITY,
        "Send headers that forbid browsers from guessing content types, framing pages and sending referrers "
        "(with TLS, also Strict-Transport-Security).",
        default=True,
    )

    tls_cert: Path | None = _setting(
        Group.TLS,
        "PEM file with the server's certificate chain, for HTTP and gRPC; it is reloaded when it changes.",
    )
    tls_key: Path | None = _setting(Group.TLS, "PEM file with the private key of the certificate.")
    tls_client_ca: Path | None = _setting(
        Group.TLS,
        "PEM file with the CA of client certificates. If set, clients without a certificate are rejected; it "
        "is reloaded when it changes.",
    )

    max_connections: PositiveInt = _setting(
        Group.CONNECTIONS,
        "HTTP connections, connections of gRPC, and concurrent gRPC calls of one worker. When all HTTP "
        "connections are open, the longest idle one is closed for a new one; if none is idle, a new one gets "
        "503 for all requests but probes. More calls get RESOURCE_EXHAUSTED. Lower if the limit of open "
        "files requires it.",
        default=2048,
    )
    max_connections_per_address: NonNegativeInt = _setting(
        Group.CONNECTIONS,
        "HTTP connections of one client's address in one worker; an IPv6 network of 64 bits is one address, "
        "and trusted proxies have no limit. More get 429 for all requests but probes. 0 sets no limit.",
        default=0,
    )
    client_budget_bytes: int = _setting(
        Group.CONNECTIONS,
        "Bytes that one worker holds for its clients: heads, bodies, gRPC messages, decoded images and "
        "unsent responses. Under contention each client gets an equal share. A request beyond it gets 429.",
        default=256 * MEBIBYTE,
        ge=MEBIBYTE,
    )
    trusted_proxies: str | None = _setting(
        Group.CONNECTIONS,
        "Addresses and networks of proxies, separated by commas, whose header `X-Forwarded-For` names the "
        "client. Without it, all clients of a proxy share the budget as one.",
    )
    max_head_bytes: PositiveInt = _setting(
        Group.CONNECTIONS,
        "Bytes of the head of an HTTP request: request line and headers. A larger one gets 431.",
        default=32 * 1024,
    )
    max_headers: PositiveInt = _setting(
        Group.CONNECTIONS, "Headers of an HTTP request. More get 431.", default=100
    )
    head_timeout_s: PositiveFloat = _setting(
        Group.CONNECTIONS,
        "Seconds in which the head of a request must arrive, and in which the first request of a connection "
        "must begin. Later ones get 408.",
        default=10.0,
    )
    body_timeout_s: PositiveFloat = _setting(
        Group.CONNECTIONS,
        "Seconds in which the body of a request, or a gRPC message, must arrive. A later one gets 408, or "
        "DEADLINE_EXCEEDED.",
        default=60.0,
    )
    min_body_rate: NonNegativeInt = _setting(
        Group.CONNECTIONS,
        "Bytes a second at which the body of a request must arrive, measured over 10 seconds. A slower one "
        "gets 408. 0 disables the check.",
        default=1024,
    )
    write_timeout_s: PositiveFloat = _setting(
        Group.CONNECTIONS,
        "Seconds a client may leave a response unread before the connection is closed.",
        default=60.0,
    )
    keep_alive_s: PositiveInt = _setting(
        Group.CONNECTIONS,
        "Seconds an idle connection stays open; longer than the idle timeout of load balancers, so that "
        "they close first.",
        default=75,
    )

    drain_delay_s: NonNegativeFloat = _setting(
        Group.SHUTDOWN,
        "Seconds after SIGTERM in which the server still accepts requests while `/readyz` fails, so that "
        "load balancers notice before the port closes.",
        default=0.0,
    )
    shutdown_timeout_s: PositiveFloat = _setting(
        Group.SHUTDOWN,
        "Seconds after the port is closed in which admitted requests may finish.",
        default=30.0,
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], IgnoreCase] = _setting(
        Group.TELEMETRY,
        "Lowest level that is logged. `convserve classify` and `check` use `warning` if it is unset.",
        default="info",
    )
    log_format: Annotated[Literal["text", "json"], IgnoreCase] = _setting(
        Group.TELEMETRY, "Format of a log line.", default="text"
    )
    access_log: bool = _setting(
        Group.TELEMETRY,
        "Log each request with its model, status, durations and trace.",
        default=False,
    )
    otlp_endpoint: str | None = _setting(
        Group.TELEMETRY,
        "URL of an OpenTelemetry collector that takes traces over OTLP/HTTP, such as "
        "`http://127.0.0.1:4318/v1/traces`; needs the extra `convserve[otel]`. Unset sends none.",
    )
    trace_ratio: float = _setting(
        Group.TELEMETRY,
        "Share of requests, from 0 to 1, that is traced if the caller's `traceparent` does not decide.",
        default=1.0,
        ge=0.0,
        le=1.0,
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key must be set together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        return self

    @model_validator(mode="after")
    def _check_queue_limit(self) -> Self:
        if self.queue_limit < self.max_images:
            raise ValueError(
                f"queue_limit ({self.queue_limit}) is below max_images ({self.max_images}): "
                "a full request could never be admitted"
            )
        return self


def settings_by_group() -> Mapping[Group, Sequence[str]]:
    """The names of all settings, in the order of `Group`."""
    names: dict[Group, list[str]] = {group: [] for group in Group}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.json_schema_extra, dict)
        names[Group(str(field.json_schema_extra["group"]))].append(name)
    return names
