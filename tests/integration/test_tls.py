"""TLS and mutual TLS on every port, with certificates of a test authority."""

from __future__ import annotations

import http.client
import random
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.http.client import HttpResponse
from tests.support.models.gray_classifier import image, level
from tests.support.server.certificates import Authority, Pair
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess, convserve

BODY = image(level(7))
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
SWAPPING_SECONDS = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client_pair(authority: Authority) -> Pair:
    return authority.sign("client")


@pytest.fixture(scope="module")
def arguments(authority: Authority) -> list[str]:
    pair = authority.sign("server")
    return [*FREE_GRPC_PORT, "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]


@pytest.fixture(scope="module")
def secured(shades: Path, arguments: list[str]) -> Iterator[ServerProcess]:
    with ServerProcess(shades, *arguments) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(shades: Path, authority: Authority, arguments: list[str]) -> Iterator[ServerProcess]:
    client_ca = ("--tls-client-ca", str(authority.certificate))
    with ServerProcess(shades, *arguments, *client_ca, "--admin-port", "-1") as server:
        yield server


def trusting(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def classify(address: tuple[str, int], context: ssl.SSLContext) -> HttpResponse:
    with closing(http.client.HTTPSConnection(*address, timeout=DEADLINE, context=context)) as connection:
        connection.request("POST", "/classify", BODY, {"Content-Type": "image/png"})
        return HttpResponse.read(connection.getresponse())


def page(url: str, path: str, context: ssl.SSLContext) -> HttpResponse:
    address = url.removeprefix("https://")
    with closing(http.client.HTTPSConnection(address, timeout=DEADLINE, context=context)) as connection:
        connection.request("GET", path)
        return HttpResponse.read(connection.getresponse())


def health(server: ServerProcess, authority: Authority, pair: Pair | None = None) -> grpc.StatusCode:
    """The result of a health check over a new connection."""
    certificate, key = (
        (None, None) if pair is None else (pair.certificate.read_bytes(), pair.key.read_bytes())
    )
    trusted = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(server.grpc_address, trusted, options) as channel:
        call = health_pb2_grpc.HealthStub(channel).Check.future(
            health_pb2.HealthCheckRequest(), timeout=DEADLINE
        )
        code: grpc.StatusCode = call.code()
    return code


def serial(server: ServerProcess, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(server.address, timeout=DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        shown = client.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


def test_tls_is_announced_and_used(secured: ServerProcess, authority: Authority) -> None:
    assert secured.url.startswith("https://")
    response = classify(secured.address, trusting(authority))
    assert response.json["predictions"][0]["label"] == "shade 7"
    assert response.headers["strict-transport-security"].startswith("max-age=")
    assert health(secured, authority) == grpc.StatusCode.OK


def test_plain_http_gets_no_response(secured: ServerProcess, authority: Authority) -> None:
    with socket.create_connection(secured.address, timeout=DEADLINE) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in client.recv(1024)
    assert classify(secured.address, trusting(authority)).status == 200
    assert secured.stderr.text == ""


def test_commands_use_tls(secured: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "seven.png").write_bytes(BODY)
    own = {"SSL_CERT_FILE": str(authority.certificate)}
    asked = convserve("classify", "--url", secured.url, tmp_path / "seven.png", own=own)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "shade 7" in asked.stdout


def test_renewed_certificate_is_used(secured: ServerProcess, authority: Authority) -> None:
    context = trusting(authority)
    before = serial(secured, context)
    whole = authority.folder.joinpath("server.pem").read_bytes()
    authority.folder.joinpath("server.pem").write_bytes(whole[:100])
    secured.stderr.wait_for("keeping the previous certificate: cannot load the TLS files")
    assert serial(secured, context) == before
    authority.sign("server")
    assert eventually(lambda: serial(secured, context) != before)
    assert classify(secured.address, context).status == 200
    assert health(secured, authority) == grpc.StatusCode.OK


def test_swaps_of_certificate_and_key_at_any_moment_do_not_end_the_server(
    shades: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    pairs = [authority.sign(name) for name in ("one", "two", "three")]
    used = authority.sign("server")
    contents = {
        used.certificate: [pair.certificate.read_bytes() for pair in pairs],
        used.key: [pair.key.read_bytes() for pair in pairs],
    }
    choices = random.Random(1)
    given = ("--tls-cert", str(used.certificate), "--tls-key", str(used.key), *FREE_GRPC_PORT)
    with ServerProcess(shades, *given) as server:
        until = time.monotonic() + SWAPPING_SECONDS
        while time.monotonic() < until:
            for path in choices.sample(list(contents), choices.randint(1, 2)):
                path.write_bytes(choices.choice(contents[path]))
            server.send(signal.SIGHUP)  # to read the files more often than once a second
            assert classify(server.address, trusting(authority)).status == 200
        before = serial(server, trusting(authority))
        authority.sign("server")
        assert eventually(lambda: serial(server, trusting(authority)) != before)
        assert health(server, authority) == grpc.StatusCode.OK
        assert "Traceback" not in server.stderr.text


def test_renewed_client_authority_is_used(shades: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("servers", "old", "new")]
    for folder in folders:
        folder.mkdir()
    servers, old, new = map(Authority, folders)
    pair = servers.sign("server")
    given = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), *FREE_GRPC_PORT)
    with ServerProcess(shades, *given, "--tls-client-ca", str(old.certificate)) as server:
        clients = old.sign("client"), new.sign("client")
        assert [health(server, servers, client) for client in clients] == [OK, UNAVAILABLE]
        old.certificate.write_bytes(new.certificate.read_bytes())
        server.stderr.wait_for("reloaded certificate")
        assert [health(server, servers, client) for client in clients] == [UNAVAILABLE, OK]
        assert classify(server.address, trusting(servers, clients[1])).status == 200
        with pytest.raises(OSError):  # noqa: PT011
            classify(server.address, trusting(servers, clients[0]))


def test_mutual_tls_requires_a_client_certificate(
    mutual: ServerProcess, authority: Authority, client_pair: Pair
) -> None:
    assert classify(mutual.address, trusting(authority, client_pair)).status == 200
    with pytest.raises(OSError):  # noqa: PT011  its type depends on which side fails first
        classify(mutual.address, trusting(authority))
    stranger = Authority(client_pair.key.parent / "..").sign("stranger")
    with pytest.raises(OSError):  # noqa: PT011
        classify(mutual.address, trusting(authority, stranger))
    assert health(mutual, authority, client_pair) == grpc.StatusCode.OK
    assert health(mutual, authority) == grpc.StatusCode.UNAVAILABLE


def test_probes_need_no_certificate_on_the_admin_port(mutual: ServerProcess, authority: Authority) -> None:
    url = mutual.stdout.wait_for(r"^  admin: (https://\S+)$")[1]
    assert page(url, "/readyz", trusting(authority)).status == 200
    assert page(url, "/metrics", trusting(authority)).status == 200
    assert page(url, "/models", trusting(authority)).status == 404


def test_workers_use_tls(shades: Path, authority: Authority, arguments: list[str]) -> None:
    with ServerProcess(shades, *arguments, "--workers", "2") as server:
        for _ in range(8):
            assert classify(server.address, trusting(authority)).status == 200


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"cert": "server.pem"}, "must be set together"),
        ({"client-ca": "authority.pem"}, "needs tls_cert"),
        ({"cert": "server.pem", "key": "client.key"}, "cannot load the TLS files"),
        ({"cert": "server.pem", "key": "nowhere"}, "cannot load the TLS files"),
    ],
)
def test_mismatched_files_prevent_the_start(
    shades: Path, authority: Authority, client_pair: Pair, files: dict[str, str], complaint: str
) -> None:
    authority.sign("server")
    given = [word for name, file in files.items() for word in (f"--tls-{name}", str(authority.folder / file))]
    result = convserve("serve", "--port", "0", "--models", shades, *given)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
