"""Style, script, fonts and pictures: read once, served from memory under names that hold their hash, to be cached for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
# Fonts before the style sheet that names them.
_ORDER = (".woff2", ".svg", ".js", ".css")
_HASH_CHARS = 16
# Fonts are compressed already. Pages never are: what is secret in one could be told from the length beside what a stranger chose.
_COMPRESSED = (".css", ".js", ".svg")
_LONGEST_ACCEPTED = 200


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served. `gzipped`: the same, compressed once when we start; empty where that gains nothing."""

    content: bytes
    media_type: str
    gzipped: bytes = b""


class Assets:
    """All files of the `static` folder. A request finds one by its exact name, so no path can lead out of the folder."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._served: dict[str, Asset] = {}
        self._names: dict[str, str] = {}
        files = [path for path in folder.iterdir() if path.suffix in _TYPES]
        for path in sorted(files, key=lambda each: (_ORDER.index(each.suffix), each.name)):
            self._add(path)

    def url(self, name: str) -> str:
        """The address of a file, for templates. An unknown name is a programming error and raises KeyError."""
        return f"/static/{self._names[name]}"

    async def serve(self, request: Request) -> Response:
        """Answer `/static/{name}`."""
        asset = self._served.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
        if asset.gzipped and _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(asset.gzipped, media_type=asset.media_type, headers={**headers, "content-encoding": "gzip"})
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def _add(self, path: Path) -> None:
        content = path.read_bytes()
        if path.suffix == ".css":
            for plain, hashed in self._names.items():
                content = content.replace(f'url("{plain}")'.encode(), f'url("{hashed}")'.encode())
        name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:_HASH_CHARS]}{path.suffix}"
        self._names[path.name] = name
        gzipped = gzip.compress(content, mtime=0) if path.suffix in _COMPRESSED else b""
        self._served[name] = Asset(content, _TYPES[path.suffix], gzipped if len(gzipped) < len(content) else b"")


def _takes_gzip(accepted: str) -> bool:
    """Whether a browser that sends this Accept-Encoding takes gzip (RFC 9110 section 12.5.3)."""
    for part in accepted[:_LONGEST_ACCEPTED].lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
