"""Which store an artifact's address means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from registry.errors import BundleInvalid
from registry.settings import Settings
from serving.node.sources.files import Files
from serving.node.sources.proxy import Proxy, Server
from serving.node.sources.s3 import S3
from serving.node.sources.source import Source


@dataclass(frozen=True)
class Addresses:
    """What an address does not say itself: the MLflow server, its store, the S3 endpoint."""

    server: Server = Server("")
    s3_endpoint: str = ""
    behind: str = ""  # where the server keeps its artifacts, if a node may read there itself

    @classmethod
    def of(cls, settings: Settings) -> Addresses:
        """As this node is set up."""
        server = Server(
            settings.tracking_uri, settings.tracking_username, settings.tracking_password
        )
        return cls(server, settings.s3_endpoint, settings.artifacts)

    def open(self, source: str) -> Source:
        """The store at `source`; BundleInvalid if nodes cannot fetch from its kind."""
        scheme, found, _ = source.partition(":/")
        if not found or "/" in scheme:  # a path may hold what would mean something in an address
            return Files(Path(source))
        if scheme == "file":
            return Files(Path(unquote(urlsplit(source).path)))
        if scheme == "s3":  # a key may hold what means something in other addresses
            bucket, _, prefix = source.removeprefix("s3://").partition("/")
            return S3(bucket, prefix.strip("/"), endpoint=self.s3_endpoint)
        if scheme == "mlflow-artifacts" and self.behind and not urlsplit(source).netloc:
            path = unquote(urlsplit(source).path).strip("/")
            if ".." in path.split("/"):
                raise BundleInvalid(f"{source}: leads out of what its server keeps")
            return self.open(f"{self.behind.rstrip('/')}/{path}")
        if scheme == "mlflow-artifacts":
            return Proxy(source, self.server)
        raise BundleInvalid(
            f"{source}: nodes fetch from files, s3:// and mlflow-artifacts:/, not from {scheme}://"
        )
