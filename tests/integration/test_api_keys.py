"""API keys on a real server: every gRPC method, and changes at run time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.protocols.grpc import health, reflection, servicer
from service.security.api_keys import digest_of
from service.security.authorization import GRPC_PROBES
from tests.support.http.client import get
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess, convserve

OLD, NEW, OPS = "the-old-key-of-mobile", "the-new-key-of-mobile", "the-only-key-of-ops"
SERVICES = (servicer.SERVICE, health.SERVICE, reflection.SERVICE)
METHODS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
NOWHERE = ["/inference.GRPCInferenceService/Nothing", "/unknown.Service/Nothing"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def guarded(shades: Path, keys: Path) -> Iterator[ServerProcess]:
    keys.write_text(f"mobile infer {digest_of(OLD)}\n")
    own = {"CONVSERVE_API_KEYS": f"ops admin,metrics {OPS} 1000"}
    with ServerProcess(shades, *FREE_GRPC_PORT, "--api-keys-file", str(keys), own=own) as server:
        yield server
        assert OPS not in server.stderr.text
        assert OLD not in server.stderr.text


@pytest.fixture(scope="module")
def channel(guarded: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(guarded.grpc_address) as channel:
        yield channel


def code(channel: grpc.Channel, method: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    """The status of a call without messages; a watch is cancelled after its first response."""
    caller: Any = channel.stream_stream  # the stubs require serializers
    call = caller(method)(iter([b""]), metadata=metadata, timeout=DEADLINE)
    try:
        next(call, None)
    except grpc.RpcError:
        ended: grpc.StatusCode = call.code()
        return ended
    call.cancel()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", [*METHODS, *NOWHERE])
def test_only_probes_need_no_key(channel: grpc.Channel, method: str) -> None:
    ended = code(channel, method)
    if method in GRPC_PROBES:
        assert ended == grpc.StatusCode.OK
    else:
        assert ended == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", [*METHODS, *NOWHERE])
def test_each_method_accepts_the_key_with_its_scope(channel: grpc.Channel, method: str) -> None:
    codes = [code(channel, method, ("authorization", f"Bearer {key}")) for key in (OLD, OPS)]
    assert grpc.StatusCode.UNAUTHENTICATED not in codes
    assert method in GRPC_PROBES or codes.count(grpc.StatusCode.PERMISSION_DENIED) == 1


def test_key_may_be_in_the_x_api_key_metadata(channel: grpc.Channel) -> None:
    method = "/inference.GRPCInferenceService/ServerMetadata"
    assert code(channel, method, ("x-api-key", OLD)) == grpc.StatusCode.OK


def test_several_keys_of_one_call_are_rejected(channel: grpc.Channel) -> None:
    method = "/inference.GRPCInferenceService/ServerMetadata"
    own, other = ("x-api-key", OLD), ("authorization", f"Bearer {OPS}")
    assert code(channel, method, own, own) == grpc.StatusCode.INVALID_ARGUMENT
    assert code(channel, method, own, other) == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("ending", ["%0A", "%0a", "%00", "%7F", "%1b", "%C2%85"])
@pytest.mark.parametrize("path", ["/metrics", "/v2/logging", "/livez", "/nowhere"])
def test_control_character_in_a_path_is_malformed(guarded: ServerProcess, path: str, ending: str) -> None:
    response = get(f"{guarded.url}{path}{ending}", {"X-API-Key": OLD})
    assert response.status == 400
    assert response.json == {"error": "the path contains a control character"}


def test_changed_keys_apply_without_a_restart(guarded: ServerProcess, keys: Path) -> None:
    def status(key: str) -> int:
        return get(f"{guarded.url}/models", {"X-API-Key": key}).status

    assert (status(OLD), status(NEW)) == (200, 401)
    keys.write_text(f"mobile infer {digest_of(OLD)}\nmobile infer {digest_of(NEW)}\n")
    eventually(lambda: status(NEW) == 200)
    assert status(OLD) == 200
    keys.write_text("mobile\n")
    guarded.stderr.wait_for(r"keeping the previous API keys: .*, key 1: ")
    assert status(NEW) == 200
    keys.write_text(f"mobile infer {digest_of(NEW)}\n")
    eventually(lambda: status(OLD) == 401)
    assert status(NEW) == 200


def test_workers_share_a_rate_limit(shades: Path) -> None:
    own = {"CONVSERVE_API_KEYS": f"mobile infer {OLD} 0.001; ops metrics {OPS}"}
    with ServerProcess(shades, "--workers", "2", own=own) as server:
        statuses = [get(f"{server.url}/models", {"X-API-Key": OLD}).status for _ in range(20)]
        assert statuses == [200, *[429] * 19]
        assert get(f"{server.url}/metrics").status == 401


def test_invalid_key_list_prevents_the_start(shades: Path) -> None:
    result = convserve("serve", "--models", shades, own={"CONVSERVE_API_KEYS": "mobile everything 1234"})
    assert result.returncode == 2
    assert result.stderr == (
        "convserve: CONVSERVE_API_KEYS, key 1: the scopes of mobile must be some of infer, admin, metrics\n"
    )


def test_key_cannot_be_a_command_line_argument(shades: Path) -> None:
    result = convserve("serve", "--models", shades, "--api-keys", f"mobile infer {OLD}")
    assert result.returncode == 2


def test_commands_create_and_use_a_key(shades: Path, tmp_path: Path) -> None:
    made = convserve("key", "mobile", "--scopes", "infer")
    key, line = (text.partition(": ")[2] for text in made.stdout.splitlines())
    assert made.returncode == 0
    assert line == f"mobile infer {digest_of(key)}"
    (tmp_path / "keys").write_text(line)
    (tmp_path / "seven.png").write_bytes(image(level(7)))
    with ServerProcess(shades, "--api-keys-file", str(tmp_path / "keys")) as server:
        command = ("classify", "--url", server.url, tmp_path / "seven.png")
        assert convserve(*command).returncode == 1
        asked = convserve(*command, own={"CONVSERVE_API_KEY": key})
        assert (asked.returncode, asked.stderr) == (0, "")
        assert "shade 7" in asked.stdout
