"""Who may reach what: nothing but the service's own address listens to other machines without asking for a token."""

from __future__ import annotations

import os
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from service_process import ServiceProcess

LISTEN = "0A"


def listeners(pids: list[int]) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which one of these processes listens (Linux)."""
    inodes = set()
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    target = os.readlink(entry)
                except OSError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                host, _, port = fields[1].partition(":")
                words = [bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)]
                address = ip_address(b"".join(words))
                found.add((str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's tables of sockets")
def test_all_listen_on_loopback_except_serves_own_ports_which_want_a_token(service: ServiceProcess) -> None:
    sockets = listeners(service.processes())
    assert len(sockets) > 5
    public = {(host, port) for host, port in sockets if not ip_address(host).is_loopback}
    # Serve binds one port of each replica to every interface, whatever it is told.
    replicas = listeners(service.processes(of="ServeReplica"))
    assert public <= replicas
    for _, port in public:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=10.0)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
