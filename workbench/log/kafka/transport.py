"""The fast transport: each response is received into one buffer, and a fetch is not copied.

The client's own transport receives 4 KiB at a time and copies a response five times.  This one
reads the frame's length, receives the frame where it stays, and takes a Fetch response apart in
place; every other response goes the client's own way.  Subclasses only: nothing of kafka-python is
patched.
"""

from __future__ import annotations

import socket
import sys
import time
from ssl import SSLWantReadError, SSLWantWriteError
from struct import Struct
from typing import Any

import kafka.errors as kafka_errors
import numpy as np
from kafka.net.inet import create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.parser import KafkaProtocol

from workbench.log.kafka.room import room
from workbench.log.kafka.wire import FETCH_VERSION, NO_ANSWER, Answer, refusal

_FETCH = 1

#: Within a large frame, how much has to be there before the thread is woken for it: a look at each
#: packet costs as much as the copy.  Linux has room for it and wakes earlier where it has not.
_WORTH_WAKING = 512 << 10
_CAN_SLEEP = sys.platform == "linux"

_LENGTH = Struct(">i")
_I16, _I32, _TOP = Struct(">h"), Struct(">i"), Struct(">ihi")
_PARTITION = Struct(">ihqqq")  # index, error, high watermark, last stable offset, log start
_ABORTED = Struct(">qq")
_EPOCH_END = Struct(">iq")

# What is used of the client without a promise; missing, the import fails and the slower way is
# taken.
_USED = (
    KafkaConnectionManager._build_transport,
    KafkaTCPTransport._read_from_sock,
    KafkaTCPTransport._sock_recv,
    KafkaProtocol._process_response,
    KafkaProtocol._validate_frame_size,
)


class _Frame:
    """A whole response as the client's decoders want it: read, tell, seek; without copies."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._at = 0

    def read(self, size: int | None = None) -> memoryview | bytes:
        rest = self.data[self._at :] if size is None else self.data[self._at : self._at + size]
        self._at += len(rest)
        return rest if size is None else bytes(rest)

    def seek(self, at: int) -> None:
        self._at = at

    def tell(self) -> int:
        return self._at


class _FrameParser:
    """The client's parser of one connection, fed with whole frames."""

    def __init__(self, inner: KafkaProtocol) -> None:
        self.inner = inner
        self.send_request = inner.send_request
        self.send_bytes = inner.send_bytes

    def receive_bytes(self, frame: memoryview) -> list[Any]:
        waiting = self.inner.in_flight_requests
        header = waiting[0] if waiting else None
        if (
            header is None
            or header.request_api_key != _FETCH
            or header.request_api_version != FETCH_VERSION
        ):
            return [self.inner._process_response(_Frame(frame))]
        correlation, answer = _fetch_response(frame)
        if correlation != header.correlation_id:
            raise kafka_errors.CorrelationIdError("a fetch was answered out of turn")
        waiting.popleft()
        return [(correlation, answer)]


class _Receiving:
    """What these transports do instead of the client's: receive frames."""

    _frame: np.ndarray[Any, Any] | None = None
    _filled = 0

    def _wake_at(self, size: int) -> None:
        """Be woken when so many bytes of a frame are there, where the system can do that."""

    async def _read_from_sock(self: Any) -> None:
        self._header = bytearray(_LENGTH.size)
        self._protocol.parser = _FrameParser(self._protocol.parser)
        while self._read and not self._closed:
            await self._net.wait_read(self._sock)
            try:
                self._receive()
                self._wake_at(1)
            except (BlockingIOError, InterruptedError, SSLWantReadError, SSLWantWriteError):
                left = 1 if self._frame is None else len(self._frame) - self._filled
                self._wake_at(min(left, _WORTH_WAKING))
            except kafka_errors.KafkaProtocolError as error:
                self.abort(error=error)
            except OSError as error:
                self.abort(error=kafka_errors.KafkaConnectionError(error))

    def _receive(self: Any) -> None:
        """Receive until the socket has no more, or a whole frame was handed over.

        Who waits for the frame goes on before the next look at the socket: a broker that refuses a
        login says so and closes.
        """
        while self._sock is not None and not self._closed:
            target = memoryview(self._header if self._frame is None else self._frame)
            got = self._sock.recv_into(target[self._filled :])
            if not got:
                raise ConnectionResetError("the broker closed the connection")
            self.last_read = time.monotonic()
            self._filled += got
            if self._filled < len(target):
                continue
            self._filled = 0
            if self._frame is None:
                (size,) = _LENGTH.unpack(self._header)
                self._protocol.parser.inner._validate_frame_size(size)
                self._frame = room(size)
                if size:
                    continue
            frame, self._frame = self._frame, None
            self._protocol.data_received(memoryview(frame))
            return


class FastTransport(_Receiving, KafkaTCPTransport):
    """Plain TCP."""

    _awaited = 1

    def _wake_at(self: Any, size: int) -> None:
        if _CAN_SLEEP and size != self._awaited and not self._closed:
            self._awaited = size
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


class FastTLSTransport(_Receiving, KafkaSSLTransport):
    """TLS."""


class FastManager(KafkaConnectionManager):
    """The client's connections over these transports."""

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        sock = await create_connection(
            self._net,
            node.host,
            node.port,
            self.config["socket_options"],
            proxy_url=self.config["proxy_url"],
            timeout_at=timeout_at,
        )
        kind: Any = FastTLSTransport if self.ssl_enabled else FastTransport
        tls = {name: value for name, value in self.config.items() if name.startswith("ssl_")}
        transport = kind(self._net, sock, host=node.host, **(tls if self.ssl_enabled else {}))
        try:
            await transport.handshake()
        except Exception as error:
            transport._sock.close()
            raise kafka_errors.KafkaConnectionError(f"handshake failed: {error}") from error
        return transport


def _fetch_response(data: memoryview) -> tuple[int, Answer]:
    """Correlation id and content of a Fetch response of one partition, version 12.

    The records stay where they were received.
    """
    correlation = _I32.unpack_from(data, 0)[0]
    at = _skip_tags(data, 4)
    throttle_ms, error, _ = _TOP.unpack_from(data, at)
    at += _TOP.size
    topics, at = _unsigned(data, at)
    if error or topics <= 1:
        return correlation, refusal(error or NO_ANSWER, throttle_ms)
    size, at = _unsigned(data, at)
    at += size - 1  # the topic's name
    _, at = _unsigned(data, at)  # one partition
    _, error, high, stable, start = _PARTITION.unpack_from(data, at)
    at += _PARTITION.size
    count, at = _unsigned(data, at)
    aborted = []
    for _ in range(count - 1):
        aborted.append(_ABORTED.unpack_from(data, at))
        at = _skip_tags(data, at + _ABORTED.size)
    preferred = _I32.unpack_from(data, at)[0]
    at += _I32.size
    size, at = _unsigned(data, at)
    records = data[at : at + max(size - 1, 0)]
    at += len(records)
    diverged: int | None = None
    tags, at = _unsigned(data, at)
    for _ in range(tags):
        tag, at = _unsigned(data, at)
        size, at = _unsigned(data, at)
        if tag == 0:
            diverged = _EPOCH_END.unpack_from(data, at)[1]
        at += size
    return correlation, Answer(
        error, high, stable, start, tuple(aborted), diverged, throttle_ms, records, preferred
    )


def _unsigned(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _skip_tags(data: memoryview, at: int) -> int:
    count, at = _unsigned(data, at)
    for _ in range(count):
        _, at = _unsigned(data, at)
        size, at = _unsigned(data, at)
        at += size
    return at
