from __future__ import annotations

import pytest

from service.config.environment import OTHER_NAMES, read_environment
from service.errors import ConfigurationError

# A pod beside the Services convserve, with the named ports http and grpc, and convserve-admin.
SERVICE_LINKS = {
    "CONVSERVE_SERVICE_HOST": "10.0.0.1",
    "CONVSERVE_SERVICE_PORT": "8000",
    "CONVSERVE_SERVICE_PORT_HTTP": "8000",
    "CONVSERVE_SERVICE_PORT_GRPC": "8001",
    "CONVSERVE_PORT": "tcp://10.0.0.1:8000",
    "CONVSERVE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "CONVSERVE_PORT_8000_TCP_PROTO": "tcp",
    "CONVSERVE_PORT_8000_TCP_PORT": "8000",
    "CONVSERVE_PORT_8000_TCP_ADDR": "10.0.0.1",
    "CONVSERVE_PORT_8001_TCP": "tcp://10.0.0.1:8001",
    "CONVSERVE_PORT_8001_TCP_PROTO": "tcp",
    "CONVSERVE_PORT_8001_TCP_PORT": "8001",
    "CONVSERVE_PORT_8001_TCP_ADDR": "10.0.0.1",
    "CONVSERVE_ADMIN_SERVICE_HOST": "10.0.0.2",
    "CONVSERVE_ADMIN_SERVICE_PORT": "9000",
    "CONVSERVE_ADMIN_PORT": "udp://10.0.0.2:9000",
    "CONVSERVE_ADMIN_PORT_9000_UDP": "udp://10.0.0.2:9000",
    "CONVSERVE_ADMIN_PORT_9000_UDP_PROTO": "udp",
    "CONVSERVE_ADMIN_PORT_9000_UDP_PORT": "9000",
    "CONVSERVE_ADMIN_PORT_9000_UDP_ADDR": "10.0.0.2",
}


def test_variables_set_settings_in_any_case() -> None:
    environment = {"CONVSERVE_PORT": "9000", "convserve_models": "/somewhere", "PORT": "1"}
    assert read_environment(environment).values == {"port": "9000", "models": "/somewhere"}


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [("CONVSERVE_PROT", "CONVSERVE_PORT"), ("CONVSERVE_API_KEY_FILE", "CONVSERVE_API_KEYS_FILE")],
)
def test_unknown_variable_is_rejected_with_the_nearest_known_one(variable: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=f"variable {variable}; the nearest is {nearest}$"):
        read_environment({variable: "1"})


def test_variables_of_the_client_and_the_tests_are_accepted() -> None:
    read = read_environment({f"CONVSERVE_{name.upper()}": "" for name in OTHER_NAMES})
    assert (read.values, read.ignored) == ({}, [])


def test_variables_of_a_kubernetes_service_are_ignored() -> None:
    read = read_environment({**SERVICE_LINKS, "CONVSERVE_GRPC_PORT": "8001"})
    assert read.values == {"grpc_port": "8001"}
    assert read.ignored == sorted(SERVICE_LINKS)


def test_port_that_is_not_a_service_url_is_a_setting() -> None:
    assert read_environment({"CONVSERVE_PORT": "abc"}).values == {"port": "abc"}


def test_empty_variable_counts_as_unset() -> None:
    empty = {"CONVSERVE_WORKERS": "", "CONVSERVE_TLS_CERT": "", "CONVSERVE_TLS_KEY": ""}
    assert read_environment(empty).values == {}


@pytest.mark.parametrize("name", ["api_keys", "api_keys_file", "tls_client_ca", "tls_cert", "tls_key"])
def test_empty_variable_must_not_switch_off_protection(name: str) -> None:
    variable = f"CONVSERVE_{name.upper()}"
    with pytest.raises(ConfigurationError, match=f"{variable} is empty"):
        read_environment({variable: ""})
    assert read_environment({variable: ""}, {name}).values == {}
