"""The certificate by which the processes of a Dask cluster authenticate each other: self-signed, with its key.

Without one Dask executes what anyone sends it. Whoever has the folder is a part of the cluster, so only its user may
read it.
"""

import ssl
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from repro.errors import ReproError, UsageError

if TYPE_CHECKING:
    from distributed import Security

CERTIFICATE, KEY = "cert.pem", "key.pem"
DAYS = 3650  # that a certificate is valid


def make(folder: Path) -> str:
    """Make a certificate in a new folder, of mode 0700; return the command that starts a scheduler with it."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists: name a new folder for the certificate") from None
    certificate, key = folder.absolute() / CERTIFICATE, folder.absolute() / KEY
    options = f"-x509 -newkey rsa:3072 -nodes -sha256 -days {DAYS} -subj /CN=repro".split()
    command = ["openssl", "req", *options, "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        key.chmod(0o600)
    except FileNotFoundError:
        raise ReproError("a certificate is made by the program openssl, which is not installed") from None
    except subprocess.CalledProcessError as error:
        raise ReproError(f"openssl made no certificate: {error.stderr.strip()}") from None
    tls = f"--tls-ca-file {certificate} --tls-cert {certificate} --tls-key {key}"
    return f"dask scheduler --protocol tls {tls} --dashboard-address 127.0.0.1:0"


def security(folder: Path) -> "Security":
    """Return Dask's security settings for the certificate in a folder; UsageError if it is none."""
    certificate, key = folder.absolute() / CERTIFICATE, folder.absolute() / KEY
    try:
        if (mode := key.stat().st_mode & 0o077) != 0:
            raise UsageError(f"{key} may be read or written by other users (mode {0o600 | mode:o}): chmod 600 it")
        ssl.create_default_context(cafile=str(certificate)).load_cert_chain(certificate, key)
    except OSError as error:  # SSLError is one
        why = f"no certificate with its key ({error.strerror or error})"
        raise UsageError(f"--tls {folder}: {why}; make one with: repro certificates FOLDER") from None
    return _of(str(certificate), str(key))


def temporary() -> "Security":
    """Return the same for a new certificate, whose key only this process and those that it starts have."""
    with TemporaryDirectory(prefix="repro-") as folder:
        make(Path(folder, "tls"))
        return _of(*(Path(folder, "tls", name).read_text(encoding="ascii") for name in (CERTIFICATE, KEY)))


def _of(certificate: str, key: str) -> "Security":
    """Return Dask's settings, given the paths or the contents of a certificate and its key."""
    from distributed import Security

    roles = ("client", "scheduler", "worker")
    own = {f"tls_{role}_{what}": value for role in roles for what, value in (("cert", certificate), ("key", key))}
    return Security(require_encryption=True, tls_ca_file=certificate, **own)
