"""Signs requests to an aggregator as a site does: RFC 9421 and RFC 9530, as docs/http.md says.

    signer = Signer("b", "b/b.identity")
    httpx.Client(auth=signer.httpx())           # a client of one's own, or a generated one
    signer.headers("GET", "/v2/studies/...")    # for anything else

Needs the package `cryptography`; `httpx()` needs `httpx`.
"""

import base64
import hashlib
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """Signs as the site of an identity file, whose second line is the signing key's seed."""

    def __init__(self, site, identity):
        self.site = site
        seed = bytes.fromhex(Path(identity).read_text().splitlines()[1])
        self.key = Ed25519PrivateKey.from_private_bytes(seed)

    def headers(self, method, target, message=None):
        """The headers for a request to `target`, path and query as they are sent. `message` is what it
        carries: a statement, a list or a frame; None for a body, whose digest its header has."""
        path, _, query = target.partition("?")
        covered = {"@method": method, "@path": path, "@query": f"?{query}"}
        headers = {}
        if message is not None:
            digest = base64.b64encode(hashlib.sha256(message).digest()).decode()
            headers["Content-Digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
        names = " ".join(f'"{name}"' for name in covered)
        parameters = f'({names});created={int(time.time())};keyid="{self.site}"'
        parameters += ';alg="ed25519";tag="ringfence-v2"'
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        signed = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(self.key.sign(signed.encode())).decode()
        headers["Signature-Input"] = f"ringfence={parameters}"
        headers["Signature"] = f"ringfence=:{signature}:"
        return headers

    def httpx(self):
        """The same for httpx, which asks it for every request."""
        import httpx

        class Auth(httpx.Auth):
            def sync_auth_flow(_, request):
                target = request.url.raw_path.decode()
                body = target.partition("?")[0].endswith("/body")
                # A body is not read into memory, and needs no digest.
                message = None if body else request.read() or None
                request.headers.update(self.headers(request.method, target, message))
                yield request

        return Auth()
