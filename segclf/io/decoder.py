"""The process that decodes files for another one (`segclf.io.guard`), and how the two talk."""

import json
import os
import signal
import socket
import struct
import traceback
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core import errors
from segclf.io.records import Limits

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
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    arrays = {name: each for name, each in values.items() if isinstance(each, np.ndarray)}
    whole = {name: a if _is_whole(a) else np.ascontiguousarray(a) for name, a in arrays.items()}
    head: dict[str, Any] = {"kind": type(found).__name__}
    head["arrays"] = [
        (name, a.shape, a.dtype.str, "C" if a.flags.c_contiguous else "F")
        for name, a in whole.items()
    ]
    head["values"] = {name: _plain(each) for name, each in values.items() if name not in arrays}
    return head, [*whole.values()]


def _plain(value: Any) -> Any:  # noqa: ANN401 (a field of Header or Picture)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.dtype):
        return value.str
    return value.item() if isinstance(value, np.generic) else value


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
