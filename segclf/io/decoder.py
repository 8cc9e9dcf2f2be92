"""The process that decodes files for another one (`segclf.io.guard`), and how the two talk."""

import json
import os
import signal
import socket
import struct
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core import errors
from segclf.io.records import Header, Limits

IDLE_S = 60
"""A decoder that is not asked for so long ends itself."""
GRACE_S = 5
"""How much later than the limit a decoder ends itself, if its caller is gone."""


def serve(descriptor: int) -> None:
    """Answer requests until the caller is gone; never returns."""
    import resource

    from segclf.io import files

    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the caller decides
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold pixels and names
    warnings.simplefilter("ignore")
    connection = socket.socket(fileno=descriptor)
    try:
        send(connection, {"ready": True})
        while True:
            connection.settimeout(IDLE_S)
            request = receive(connection)
            connection.settimeout(None)
            signal.setitimer(signal.ITIMER_REAL, request["seconds"] + GRACE_S)
            head, arrays = answer(getattr(files, request["name"]), request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(connection, head, arrays)
            del head, arrays
    except (OSError, EOFError):
        os._exit(0)


def answer(function: Any, request: dict[str, Any]) -> tuple[dict[str, Any], list[np.ndarray]]:  # noqa: ANN401
    """What a function gives, or its error, as JSON and arrays."""
    try:
        found = function(Path(request["path"]), limits=Limits(**request["limits"]))
    except errors.SegclfError as error:
        return {"error": [type(error).__name__, error.args, error.__dict__]}, []
    except OSError as error:
        return {"system": [error.errno, error.strerror]}, []
    except MemoryError:
        return {"memory": True}, []
    except Exception as error:  # a mistake of ours: its text may quote the file, its place may not
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return {"bug": f"{type(error).__name__} in the decoder, {where}"}, []
    spacing_mm = None if found.spacing_mm is None else [float(mm) for mm in found.spacing_mm]
    head: dict[str, Any] = {"spacing_mm": spacing_mm, "has_affine": found.affine is not None}
    arrays = [] if found.affine is None else [np.asarray(found.affine)]
    if isinstance(found, Header):
        head |= {"shape": [int(n) for n in found.shape], "n_bytes": int(found.n_bytes)}
        head["dtype"] = np.dtype(found.dtype).str
    else:
        arrays.insert(0, found.array)
    arrays = [a if _is_whole(a) else np.ascontiguousarray(a) for a in arrays]
    head["arrays"] = [(a.shape, a.dtype.str, "C" if a.flags.c_contiguous else "F") for a in arrays]
    return head, arrays


def _is_whole(array: np.ndarray) -> bool:
    return array.flags.c_contiguous or array.flags.f_contiguous


def bytes_of(array: np.ndarray) -> memoryview:
    """The memory of an array that is whole in either order."""
    return (array if array.flags.c_contiguous else array.T).data.cast("B")


def send(connection: socket.socket, head: dict[str, Any], arrays: Any = ()) -> None:  # noqa: ANN401
    """Send a message and the bytes of its arrays."""
    text = json.dumps(head).encode()
    connection.sendall(struct.pack("!Q", len(text)) + text)
    for array in arrays:
        connection.sendall(bytes_of(array))


def receive(connection: socket.socket) -> dict[str, Any]:
    """The next message; EOFError if the other side is gone."""
    size = bytearray(8)
    fill(connection, memoryview(size))
    text = bytearray(struct.unpack("!Q", size)[0])
    fill(connection, memoryview(text))
    return json.loads(text)


def fill(connection: socket.socket, view: memoryview) -> None:
    """Receive exactly as many bytes as `view` has."""
    while view:
        n_read = connection.recv_into(view)
        if n_read == 0:
            raise EOFError
        view = view[n_read:]
