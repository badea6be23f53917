"""Index of a tar shard of images: what can be read of it, and a message about what is lost."""

from __future__ import annotations

import os
import tarfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from .image_files import is_image

BLOCK = 512
"""Size of a block of a tar file, bytes; headers and data begin at multiples."""
ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Endings of compressed shards, which give no random access to their images."""


def is_shard(path: Path) -> bool:
    """Return whether a file is a tar shard, compressed or not, and not hidden.

    Examples
    --------
    >>> is_shard(Path("a.tar")), is_shard(Path("a.tar.gz")), is_shard(Path("._a.tar"))
    (True, True, False)
    """
    name = path.name.lower()
    return name.endswith((".tar", *ARCHIVES)) and not name.startswith(".")


def read_shard(path: Path) -> tuple[list[tarfile.TarInfo], str]:
    """Read the index of a shard. Behind a damaged header, reading goes on at the next good header.

    Parameters
    ----------
    path : Path
        Tar file without compression.

    Returns
    -------
    members : list of tarfile.TarInfo
        Image files in the shard, those that begin with a dot left out.
    problem : str
        Message about what is lost; empty if the shard is whole.

    Examples
    --------
    >>> import os
    >>> read_shard(Path(os.devnull))
    ([], '/dev/null: an empty shard (got 0 bytes, expected images). Copy the shard again')
    """
    if path.name.lower().endswith(ARCHIVES):
        return [], f"{path}: a compressed shard (got {path.name}, expected a .tar file). Unpack the archive"
    try:
        size = path.stat().st_size
        if size == 0:
            return [], f"{path}: an empty shard (got 0 bytes, expected images). Copy the shard again"
        members = _members(path)
        if not members and _begin(path).strip(b"\0"):
            raise tarfile.ReadError("no header")
        lost = _lost_bytes(path, members, size)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        problem = getattr(error, "strerror", None) or "no tar file, or compressed"
        return [], f"{path}: not a readable shard ({problem}; expected a .tar file). Replace or unpack the shard"
    images = [member for member in members if member.isreg() and is_image(Path(PurePosixPath(member.name).name))]
    whole = [member for member in images if member.offset_data + member.size <= size]
    if lost or len(whole) < len(images):
        return whole, (
            f"{path}: a damaged shard (got {len(whole)} images; {lost} of {size} bytes are lost, expected none). "
            "Copy the shard again"
        )
    if members and _end(members[-1]) >= size:
        return whole, f"{path}: may be cut short (got {len(whole)} images and no end mark). Copy the shard again"
    return whole, "" if whole else f"{path}: a shard without images (got {len(members)} other files). Check the shard"


def _members(path: Path) -> list[tarfile.TarInfo]:
    """List the members with a good header."""
    members = []
    with suppress(tarfile.ReadError), tarfile.open(path, "r:", ignore_zeros=True) as tar:
        for member in tar:  # raises ReadError if the file ends within a member
            members.append(member)
    return members


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BLOCK)


def _lost_bytes(path: Path, members: list[tarfile.TarInfo], size: int) -> int:
    """Count the bytes of blocks that belong to no member and are not zero, and of members that are cut short."""
    lost, at = 0, 0
    with path.open("rb") as file:
        for begin, end in [*((member.offset, _end(member)) for member in members), (size, size)]:
            file.seek(at)
            while at < begin:
                block = file.read(min(BLOCK, begin - at))
                if block[156:157] == b"g" and block[257:262] == b"ustar":  # metadata of the whole archive
                    skip = _blocks(int(block[124:136].strip(b"\0 ") or b"0", 8))
                    file.seek(skip, os.SEEK_CUR)
                    at += skip
                elif block.strip(b"\0"):
                    lost += len(block)
                at += BLOCK
            at = max(at, end)
            lost += max(0, size - begin) if end > size else 0
    return lost


def _end(member: tarfile.TarInfo) -> int:
    """Return the position behind the blocks of a member."""
    data = member.size if member.isreg() else 0
    return member.offset_data + _blocks(data)


def _blocks(size: int) -> int:
    """Return a size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK
