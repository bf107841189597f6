"""Keys and certificates of a throw-away cluster, made with openssl."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["make_authority", "make_certificate", "make_key"]

_DAYS = "30"


def make_key(path: Path) -> None:
    """Write a new private key to *path*, readable by its owner alone."""
    path.touch(mode=0o600)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))


def make_authority(folder: Path) -> None:
    """Make ``ca.key`` and ``ca.crt`` in *folder*."""
    make_key(folder / "ca.key")
    extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    request = ["req", "-x509", "-new", "-key", str(folder / "ca.key"), "-subj", "/CN=scanplane-test", "-days", _DAYS]
    _openssl(*request, *extensions, "-out", str(folder / "ca.crt"))


def make_certificate(folder: Path, name: str, subject: str, names: Sequence[str] = ()) -> None:
    """Make ``<name>.key`` and ``<name>.crt`` in *folder*, signed by its authority.

    *names* are alternative names as openssl writes them, such as ``DNS:localhost``; with names it is a server's certificate,
    without a client's.
    """
    key, request, certificate = (folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
    extensions = folder / f"{name}.ext"
    usage = "serverAuth" if names else "clientAuth"
    lines = ["keyUsage=critical,digitalSignature", f"extendedKeyUsage={usage}"]
    if names:
        lines.append(f"subjectAltName={','.join(names)}")
    extensions.write_text("\n".join(lines) + "\n")
    make_key(key)
    _openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
    authority = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial"]
    signed = ["x509", "-req", "-in", str(request), *authority, "-days", _DAYS, "-extfile", str(extensions)]
    _openssl(*signed, "-out", str(certificate))


def _openssl(*arguments: str) -> None:
    completed = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if completed.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {completed.stderr.strip()}")
