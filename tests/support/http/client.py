"""Sends a request over its own connection and reads the response."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.support.server.output_lines import DEADLINE


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @classmethod
    def read(cls, response: http.client.HTTPResponse) -> HttpResponse:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return cls(response.status, headers, response.read())


def get(url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return send_request("GET", url, None, headers or {})


def post(url: str, body: bytes, content_type: str = "image/png") -> HttpResponse:
    return send_request("POST", url, body, {"Content-Type": content_type})


def send_request(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> HttpResponse:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=DEADLINE)) as connection:
        connection.request(method, urlunsplit(("", "", *parts[2:])), body, headers)
        return HttpResponse.read(connection.getresponse())
