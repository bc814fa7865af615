"""Where processes listen for connections, as /proc says it: `ss -ltnp` of a process and all that it started."""

import ipaddress
import os
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    children = [child for child, parent in parents.items() if parent == pid]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def listeners(pid: int) -> set[tuple[str, int]]:
    """Address and port of each socket at which `pid` or a descendant listens."""
    sockets = _listening()
    found = set()
    for process in (pid, *descendants(pid)):
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    found.add(os.readlink(entry.path))
    return {sockets[name] for name in found & sockets.keys()}


def watched(process: subprocess.Popen) -> set[tuple[str, int]]:
    """Address and port of each socket at which a process or a descendant listens before it ends, which it does well."""
    found = set()
    while process.poll() is None:
        found |= listeners(process.pid)
        time.sleep(0.3)
    assert process.returncode == 0, process.args
    return found


def beyond_loopback(found: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of the listeners that other machines reach."""
    return {(address, port) for address, port in found if not ipaddress.ip_address(address).is_loopback}


def _listening() -> dict[str, tuple[str, int]]:
    """Every socket of this machine that listens: its name among the files of a process -> address and port."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            address, port = local.split(":")
            if state == "0A":
                words = struct.pack(
                    f"={len(address) // 8}I", *struct.unpack(f">{len(address) // 8}I", bytes.fromhex(address))
                )
                ip = ipaddress.ip_address(words)
                ip = getattr(ip, "ipv4_mapped", None) or ip
                found[f"socket:[{rest[5]}]"] = str(ip), int(port, 16)
    return found
