"""The server and model that are to be asked, as the server itself describes them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from ..errors import ConfigurationError, RemoteServerError
from ..repository.manifest import InputSpec
from .types import Address

TIMEOUT_SECONDS = 30.0
DTYPES: Mapping[str, str] = MappingProxyType({"UINT8": "uint8", "FP32": "float32"})
# Of a network that takes pictures of any size.
FREE_SIDE = 256


@dataclass(frozen=True, slots=True)
class Tensor:
    """A model's input without its batch axis, in the words of the Open Inference Protocol."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return DTYPES[self.datatype]


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        path: what stands before every path of the server.
        grpc_address: where it listens for gRPC.
        spec: how a picture becomes the model's input; None where the server does not tell.
        key: the API key to show; None where the server wants none.
    """

    address: Address
    grpc_address: Address
    path: str
    model: str
    spec: InputSpec | None
    key: str | None = None

    @classmethod
    def find(cls, url: str, model: str | None, grpc: str | None, key: str | None) -> Self:
        """Ask the server at `url` what it serves.

        Args:
            model: its name; None for the server's default model.
            grpc: `host:port`; None for the same host and the next port, as convserve has it by default.

        Raises:
            ConfigurationError: the address or the model's name is not understood.
            RemoteServerError: the server cannot be asked.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"the URL must be like http://127.0.0.1:8000, not {url!r}")
        tls = parts.scheme == "https"
        address = Address(parts.hostname, parts.port or (443 if tls else 80), tls)
        path = parts.path.rstrip("/")
        if model is None:
            model = _get(address, f"{path}/models", key).get("default")
            if not isinstance(model, str):
                raise ConfigurationError(f"{url} names no default model: say which with --model")
        spec = _spec(address, path, model, key)
        return cls(address, _grpc_address(address, grpc), path, model, spec, key)

    @property
    def headers(self) -> dict[str, str]:
        """What every request brings."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    @property
    def tensor(self) -> Tensor:
        if self.spec is None:
            raise ConfigurationError(
                f"the server does not tell what {self.model!r} takes: use --protocol native"
            )
        datatype = next(name for name, dtype in DTYPES.items() if dtype == self.spec.dtype)
        return Tensor(self.spec.name, datatype, self.spec.shape)


def _grpc_address(address: Address, grpc: str | None) -> Address:
    if grpc is None:
        return Address(address.host, address.port + 1)
    host, _, port = grpc.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"--grpc must be like 127.0.0.1:8001, not {grpc!r}")
    return Address(host.strip("[]"), int(port))


def _spec(address: Address, path: str, model: str, key: str | None) -> InputSpec | None:
    """From convserve's own page of the model, or else from the Open Inference Protocol's."""
    with_own_page = _get(address, f"{path}/models/{quote(model)}", key, missing={})
    if versions := with_own_page.get("versions"):
        return _sized(InputSpec.model_validate(versions[-1]["input"]))
    metadata = _get(address, f"{path}/v2/models/{quote(model)}", key, missing={})
    inputs = metadata.get("inputs", [])
    return _from_metadata(inputs[0]) if len(inputs) == 1 else None


def _sized(spec: InputSpec) -> InputSpec:
    return spec.model_copy(update={"height": FREE_SIDE, "width": FREE_SIDE}) if spec.free else spec


def _from_metadata(described: Mapping[str, Any]) -> InputSpec | None:
    """A foreign server tells a shape and no more: the picture is stretched to it, and not scaled."""
    shape: Sequence[int] = described.get("shape", ())[1:]
    if len(shape) != 3 or described.get("datatype") not in DTYPES:
        return None
    last = shape[2] in (1, 3)
    channels, height, width = (shape[2], shape[0], shape[1]) if last else shape
    return InputSpec.model_validate(
        {
            "name": described["name"],
            "dtype": DTYPES[described["datatype"]],
            "layout": "NHWC" if last else "NCHW",
            "height": height if height > 0 else FREE_SIDE,
            "width": width if width > 0 else FREE_SIDE,
            "channels": channels,
            "resize": "stretch",
            "polarity": None,
            "scale": None,
            "mean": None,
            "std": None,
        }
    )


def _get(
    address: Address, path: str, key: str | None, missing: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A JSON object; `missing` where the server has nothing there."""
    kind = http.client.HTTPSConnection if address.tls else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=TIMEOUT_SECONDS)
    where = f"{address.host}:{address.port}{path}"
    try:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status == 404 and missing is not None:
            return missing
        if response.status != 200:
            raise RemoteServerError(f"{where} answered {response.status}")
        document = json.loads(body)
    except (OSError, http.client.HTTPException) as error:
        raise RemoteServerError(f"{where} cannot be asked: {error}") from error
    except ValueError as error:
        raise RemoteServerError(f"{where} did not answer in JSON") from error
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise RemoteServerError(f"{where} did not answer with an object")
    return document
