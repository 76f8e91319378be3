"""One repository on one host: requests with the right authorization, and what its answers mean.

Acting. Theory of operation: a request goes out with what worked before; 401 leads to the challenge, that to a password or a token for
this scope, and the request is sent once more. 429 and 5xx are waited out a few times, if sending twice does no harm. Everything
that comes by digest is compared with it; no header is believed. Chapter 8.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from minidocker.errors import PeerError
from minidocker.registry.challenge import (
    ANONYMOUS, Challenge, Credentials, Token, find_challenge, may_send_credentials, parse_token, plan_token_request, render_basic,
)  # fmt: skip
from minidocker.registry.connection import Answer, BrokenConnection, Transport, Unreachable
from minidocker.registry.documents import ACCEPTED, MAX_MANIFEST_BYTES, Document, parse_document
from minidocker.registry.endpoints import Endpoint
from minidocker.registry.names import is_tag
from minidocker.registry.protocol import RegistryError, parse_errors, parse_next_link

__all__ = ["MAX_ERROR_BYTES", "Fetched", "RepositorySession", "TokenCache"]

ATTEMPTS: Final = 4
"""How often a request is sent that a busy server turned away."""
BACKOFF_S: Final = 0.5
"""The first pause; each one is twice the one before."""
MAX_WAIT_S: Final = 30.0
"""The longest pause, whatever `Retry-After` says."""
MAX_ERROR_BYTES: Final = 64 << 10
MAX_PAGES: Final = 10_000
MAX_PAGE_BYTES: Final = 16 << 20
PULL: Final = "pull"
PUSH: Final = "pull,push"
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


class TokenCache:
    """Tokens by what they open; shared by the operations of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Let *clock* say when a token is over."""
        self._clock, self._lock = clock, threading.Lock()
        self._tokens: dict[tuple[object, ...], tuple[str, float]] = {}

    def find(self, key: tuple[object, ...]) -> str:
        """Return a token that lives for a while yet, nothing if there is none."""
        with self._lock:
            text, end = self._tokens.get(key, ("", 0.0))
            return text if end > self._clock() else ""

    def add(self, key: tuple[object, ...], token: Token) -> None:
        """Keep *token* for nine tenths of its life."""
        with self._lock:
            now = self._clock()
            self._tokens = {known: value for known, value in self._tokens.items() if value[1] > now}
            self._tokens[key] = (token.text, now + token.life_s * 0.9)

    def drop(self, key: tuple[object, ...]) -> None:
        """Forget a token that was refused."""
        with self._lock:
            self._tokens.pop(key, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A manifest or index with its bytes."""

    document: Document
    content: bytes = field(repr=False)
    digest: str

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.content)


class RepositorySession:
    """Requests about one repository."""

    def __init__(
        self, transport: Transport, endpoint: Endpoint, repository: str, *, credentials: Credentials = ANONYMOUS,
        tokens: TokenCache | None = None, sleep: Callable[[float], object] = time.sleep,
    ) -> None:  # fmt: skip
        """Ask *endpoint* over *transport*; *sleep* waits between attempts, and may return something true to give up."""
        self.endpoint, self.repository = endpoint, repository
        self._transport, self._credentials, self._sleep = transport, credentials, sleep
        self._tokens = tokens or TokenCache()
        self._challenge: Challenge | None = None
        self._identity = ""
        self.extra_scopes: tuple[str, ...] = ()
        """Other repositories that a token should open too: the sources of mounts."""

    @property
    def is_closed(self) -> bool:
        """Whether the operation was broken off."""
        return self._transport.is_closed

    def url(self, path: str) -> str:
        """Return the address of *path* in this repository."""
        return f"{self.endpoint.url}/v2/{self.repository}/{path}"

    def ping(self) -> str:
        """Ask whether this is a registry that lets us in; return the identity token that it gave for a password.

        Raises:
            RegistryError: UNAUTHORIZED.
            PeerError: it is none.
        """
        self.request("GET", f"{self.endpoint.url}/v2/", actions="").close()
        return self._identity

    def request(
        self, method: str, url: str, *, actions: str = PULL, headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None, allowed: Sequence[int] = (), retry: bool | None = None,
    ) -> Answer:  # fmt: skip
        """Return the answer to a request; one with status 400 or more only if it is *allowed*.

        Args:
            method: of HTTP.
            url: absolute, or relative to the repository.
            actions: what the token must allow.
            headers: besides authorization.
            body: bytes, or a function that makes an iterator of them for each attempt.
            allowed: statuses that are answers too.
            retry: whether it may be sent again when the server is busy; by default what only reads.

        Raises:
            RegistryError: it was refused; the text is the registry's.
            BrokenConnection: nobody answered.
        """
        if retry is None:
            retry = method in ("GET", "HEAD")
        target = url if "://" in url else self.url(url)
        answer = self._send(method, target, actions=actions, headers=headers, body=body, retry=retry)
        if answer.status >= 400 and answer.status not in allowed:
            raise read_failure(answer, f"{method} {urlsplit(answer.url).path}")
        return answer

    def _send(
        self, method: str, url: str, *, actions: str, headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None, retry: bool,
    ) -> Answer:  # fmt: skip
        is_own = urlsplit(url).netloc == self.endpoint.host
        has_renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            sent = dict(headers or {})
            if is_own and (authorization := self._authorization(actions)):
                sent["Authorization"] = authorization
            try:
                content = body() if callable(body) else body
                answer = self._transport.send(method, url, sent, content, verify=self.endpoint.verify)
            except BrokenConnection as error:
                if not retry or attempt == ATTEMPTS or isinstance(error, Unreachable) or self._transport.is_closed:
                    raise
                self._wait(attempt, "")
                continue
            if answer.status == 401 and is_own and not has_renewed:
                has_renewed = True
                header = answer.headers.get("www-authenticate", "")
                failure = answer.read(MAX_ERROR_BYTES)
                self._accept_challenge(header, failure, actions)
                continue
            if answer.status in _BUSY and retry and attempt < ATTEMPTS:
                answer.close()
                self._wait(attempt, answer.headers.get("retry-after", ""))
                continue
            return answer
        return answer

    def _wait(self, attempt: int, retry_after: str) -> None:
        pause = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else BACKOFF_S * 2 ** (attempt - 1)
        if self._sleep(min(pause, MAX_WAIT_S)):
            raise BrokenConnection("the operation was broken off")

    # --- authorization

    def _authorization(self, actions: str) -> str:
        """Return the header that is known to work, if one is."""
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return render_basic(self._credentials) if self._credentials.username else ""
        token = self._tokens.find(self._token_key(actions)) or self._fetch_token(actions)
        return f"Bearer {token}"

    def _scopes(self, actions: str) -> tuple[str, ...]:
        own = (f"repository:{self.repository}:{actions}",) if actions else ()
        return (*own, *(self.extra_scopes if actions == PUSH else ()))

    def _token_key(self, actions: str) -> tuple[object, ...]:
        who = hashlib.sha256(repr((self._credentials.username, self._credentials.password, self._credentials.identity_token)).encode()).digest()
        return self.endpoint.url, who, self._scopes(actions)

    def _accept_challenge(self, header: str, failure: bytes, actions: str) -> None:
        """Take up the challenge of a 401, and get what it asks for.

        Raises:
            RegistryError: there is nothing that we could answer.
        """
        challenge = find_challenge(header)
        if challenge is None:
            raise RegistryError("UNAUTHORIZED", _sentence(parse_errors(failure), "unauthorized: the registry says no way to log in"))
        was_known = self._challenge is not None
        self._challenge = challenge
        if challenge.scheme == "bearer":
            if was_known:  # what was sent has been refused
                self._tokens.drop(self._token_key(actions))
            self._authorization(actions)
        elif was_known or not self._credentials.username:
            raise RegistryError("UNAUTHORIZED", _sentence(parse_errors(failure), "unauthorized: authentication required"), hint="log in")

    def _fetch_token(self, actions: str) -> str:
        assert self._challenge is not None, "a token is asked for after a challenge"
        realm = urljoin(f"{self.endpoint.url}/v2/", self._challenge.parameters["realm"])
        challenge = Challenge(scheme="bearer", parameters={**self._challenge.parameters, "realm": realm})
        trusted = may_send_credentials(self.endpoint.url, realm)
        credentials = self._credentials if trusted else ANONYMOUS
        method, url, headers, body = plan_token_request(challenge, self._scopes(actions), credentials)
        verify = self.endpoint.verify or urlsplit(realm).hostname != urlsplit(self.endpoint.url).hostname
        answer = self._transport.send(method, url, headers, body or None, verify=verify)
        if answer.status >= 400:
            hint = "" if trusted or not self._credentials else (
                f"the registry names a token service on another host, `{urlsplit(realm).netloc}`, which does not get the password for `{self.endpoint.host}`"
            )  # fmt: skip
            content = answer.read(MAX_ERROR_BYTES)
            code = "UNAUTHORIZED" if answer.status in (401, 403) else "UNKNOWN"
            text = _sentence(parse_errors(content), f"get token from `{urlsplit(realm).netloc}`: status {answer.status}")
            raise RegistryError(code, text, status=answer.status if code == "UNAUTHORIZED" else 500, hint=hint)
        token = parse_token(answer.read(MAX_ERROR_BYTES * 2))
        self._identity = token.identity_token
        self._tokens.add(self._token_key(actions), token)
        return token.text

    # --- reading

    def fetch_manifest(self, reference: str, *, limit: int = MAX_MANIFEST_BYTES) -> Fetched:
        """Return the manifest or index under a tag or a digest.

        Raises:
            RegistryError: there is none, or it is refused.
            PeerError: its bytes are not what its digest says, or too many.
        """
        answer = self.request("GET", f"manifests/{reference}", headers={"Accept": ", ".join(ACCEPTED)})
        if int(answer.headers.get("content-length", "0") or 0) > limit:
            answer.close()
            raise PeerError(f"read manifest `{reference}` of `{self.repository}`: more than {limit} bytes")
        content = answer.read(limit)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if not is_tag(reference) and digest != reference:
            raise PeerError(f"manifest verification failed for digest {reference}: `{self.repository}` sent `{digest}`")
        return Fetched(document=parse_document(content, answer.headers.get("content-type", "")), content=content, digest=digest)

    def fetch_document(self, digest: str, size: int) -> bytes:
        """Return a small blob: an image's configuration.

        Raises:
            PeerError: it is not what digest and size say.
        """
        if size > MAX_MANIFEST_BYTES:
            raise PeerError(f"read blob `{digest}`: {size} bytes are too many for a JSON document")
        content = self.request("GET", f"blobs/{digest}").read(size)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise PeerError(f"read blob `{digest}` of `{self.repository}`: its content is another one")
        return content

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        answer = self.request("HEAD", f"blobs/{digest}", actions=PUSH, allowed=(404,))
        answer.close()
        return answer.status == 200

    def list_tags(self) -> Iterator[str]:
        """Yield every tag, page by page."""
        url = self.url("tags/list")
        for _ in range(MAX_PAGES):
            answer = self.request("GET", url)
            try:
                document = json.loads(answer.read(MAX_PAGE_BYTES))
            except ValueError as error:
                raise PeerError(f"list tags of `{self.repository}`: not JSON: {error}") from error
            tags = document.get("tags") if isinstance(document, dict) else None
            yield from (tag for tag in tags or () if isinstance(tag, str) and is_tag(tag))
            following = parse_next_link(answer.headers.get("link", ""))
            if not following:
                return
            url = urljoin(url, following)
            if urlsplit(url).netloc != self.endpoint.host:
                raise PeerError(f"list tags of `{self.repository}`: the next page is on another host")
        raise PeerError(f"list tags of `{self.repository}`: more than {MAX_PAGES} pages")

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest.

        Raises:
            RegistryError: it was refused.
        """
        self.request("PUT", f"manifests/{quote(reference, safe=':')}", actions=PUSH, headers={"Content-Type": media_type}, body=content, retry=True).close()


def read_failure(answer: Answer, what: str) -> RegistryError:
    """Return the error that *answer* is; a proxy's page in HTML becomes its status."""
    errors = parse_errors(answer.read(MAX_ERROR_BYTES))
    code = errors[0][0] if errors else {401: "UNAUTHORIZED", 403: "DENIED", 404: "NOT_FOUND"}.get(answer.status, "UNKNOWN")
    return RegistryError(code, _sentence(errors, f"{what}: the registry answered with status {answer.status}"), status=answer.status)


def _sentence(errors: Sequence[tuple[str, str]], otherwise: str) -> str:
    """Return errors as Docker words them: the code in small letters, then the message."""
    texts = [f"{code.lower().replace('_', ' ')}: {message}".strip(": ") for code, message in errors]
    return ", ".join(text for text in texts if text) or otherwise
