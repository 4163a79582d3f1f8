"""The demo's proxy: configurable-http-proxy, with answers passed on as they come.

By itself the Python implementation passes on whole answers only, so that nobody would read of the
progress of their server before it is there.
"""

from __future__ import annotations

from typing import Any

from configurable_http_proxy import configproxy
from configurable_http_proxy.cli import main
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import parse_response_start_line
from tornado.iostream import StreamClosedError

# What is about one connection only.
_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding"}


class StreamingProxyHandler(configproxy.ProxyHandler):
    """Passes on each part of an answer at once, as it was sent."""

    _left = False

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True

    async def call_proxy(self, path: str | None = None) -> None:
        """Ask the route's target, and answer as it does."""
        url = await self.get_target_url(path)
        if url is None:
            return
        request: Any = self._get_proxy_request(url)
        request.decompress_response = False
        request.header_callback = self._on_header
        request.streaming_callback = self._on_part
        try:
            await AsyncHTTPClient().fetch(request, raise_error=False)
        except (HTTPClientError, OSError) as e:
            if self._left:
                return
            if self._headers_written:
                raise
            await self.handle_proxy_error(503, e)
            return
        self.finish()

    def _on_header(self, line: str) -> None:
        line = line.strip()
        if line.startswith("HTTP/"):
            self.clear()
            # Tornado's own, of which there must not be two.
            for name in list(self._headers):
                self.clear_header(name)
            self.set_status(parse_response_start_line(line).code)
        elif line:
            name, _, value = line.partition(":")
            if name.lower() not in _NOT_PASSED_ON:
                self.add_header(name, value.strip())

    def _on_part(self, part: bytes) -> None:
        if self._left:
            # Nobody listens any more, so the target need not go on.
            raise StreamClosedError()
        self.write(part)
        self.flush()


if __name__ == "__main__":
    configproxy.ProxyHandler = StreamingProxyHandler
    main()
