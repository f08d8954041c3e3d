"""The server and the model to measure, as the server itself describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote

from ..errors import ConfigurationError, RemoteServerError
from ..http_client import HttpClient
from ..repository.manifest import InputSpec
from .types import Address

TIMEOUT_SECONDS = 30.0
DTYPES: Mapping[str, str] = MappingProxyType({"UINT8": "uint8", "FP32": "float32"})
# The height and width of images for a network that takes any size.
DEFAULT_SIDE = 256


@dataclass(frozen=True, slots=True)
class Tensor:
    """A model's input as the Open Inference Protocol describes it; `shape` has no batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return DTYPES[self.datatype]


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one server.

    Attributes:
        path: the prefix of every path of the server, without a slash at the end.
        spec: the model's input; None if the server does not describe it.
        key: the API key; None if the server needs none.
    """

    address: Address
    grpc_address: Address
    path: str
    model: str
    spec: InputSpec | None
    key: str | None = None

    @classmethod
    def discover(cls, url: str, model: str | None, grpc: str | None, key: str | None) -> Self:
        """Query the server at `url` for its models.

        Args:
            model: the model's name; None for the server's default model.
            grpc: `host:port`; None for the same host and the next port, convserve's default.

        Raises:
            ConfigurationError: the address is malformed, or no model is given and there is no default.
            RemoteServerError: the server cannot be reached or does not respond with JSON.
        """
        with HttpClient(url, key=key, timeout=TIMEOUT_SECONDS) as client:
            address = Address(client.host, client.port, client.tls)
            grpc_address = _grpc_address(address, grpc)
            if model is None:
                model = _get(client, "/models").get("default")
                if not isinstance(model, str):
                    raise ConfigurationError(f"{url} has no default model; choose one with --model")
            return cls(address, grpc_address, client.path, model, _input_spec(client, model), key)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    @property
    def tensor(self) -> Tensor:
        """
        Raises:
            ConfigurationError: the server does not describe the model's input.
        """
        spec = self.input_spec
        datatype = next(name for name, dtype in DTYPES.items() if dtype == spec.dtype)
        return Tensor(spec.name, datatype, spec.shape)

    @property
    def input_spec(self) -> InputSpec:
        """
        Raises:
            ConfigurationError: the server does not describe the model's input.
        """
        if self.spec is None:
            raise ConfigurationError(
                f"the server does not describe the input of {self.model!r}; use --protocol native"
            )
        return self.spec


def _grpc_address(address: Address, grpc: str | None) -> Address:
    if grpc is None:
        return Address(address.host, address.port + 1)
    host, _, port = grpc.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"--grpc must look like 127.0.0.1:8001, not {grpc!r}")
    return Address(host.strip("[]"), int(port))


def _input_spec(client: HttpClient, model: str) -> InputSpec | None:
    """The input from convserve's description of the model, or from the Open Inference Protocol's metadata."""
    description = _get(client, f"/models/{quote(model)}", missing={})
    if versions := description.get("versions"):
        return _with_size(InputSpec.model_validate(versions[-1]["input"]))
    inputs = _get(client, f"/v2/models/{quote(model)}", missing={}).get("inputs", [])
    return _from_metadata(inputs[0]) if len(inputs) == 1 else None


def _with_size(spec: InputSpec) -> InputSpec:
    return spec.model_copy(update={"height": DEFAULT_SIDE, "width": DEFAULT_SIDE}) if spec.dynamic else spec


def _from_metadata(metadata: Mapping[str, Any]) -> InputSpec | None:
    """The input of a server that describes only a shape: images are stretched to it and not scaled."""
    shape: Sequence[int] = metadata.get("shape", ())[1:]
    if len(shape) != 3 or metadata.get("datatype") not in DTYPES:
        return None
    channels_last = shape[2] in (1, 3)
    channels, height, width = (shape[2], shape[0], shape[1]) if channels_last else shape
    return InputSpec.model_validate(
        {
            "name": metadata["name"],
            "dtype": DTYPES[metadata["datatype"]],
            "layout": "NHWC" if channels_last else "NCHW",
            "height": height if height > 0 else DEFAULT_SIDE,
            "width": width if width > 0 else DEFAULT_SIDE,
            "channels": channels,
            "resize": "stretch",
            "polarity": None,
            "scale": None,
            "mean": None,
            "std": None,
        }
    )


def _get(client: HttpClient, path: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object at `path`; `missing` if the server responds with 404."""
    response = client.get(path)
    if response.status == 404 and missing is not None:
        return missing
    if response.status != 200:
        raise RemoteServerError(f"{response.url} responded with status {response.status}")
    return response.json()
