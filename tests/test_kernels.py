"""A notebook's kernel finds a port taken."""

import socket

import pytest
from jupyter_client.manager import KernelManager
from nbval import kernel

from tests.kernels import start_twice


@pytest.mark.parametrize("port", ["iopub_port", "shell_port"])
def test_a_kernel_whose_port_is_taken_is_started_again(monkeypatch, tmp_path, port):
    waits, start = [], KernelManager.start_kernel
    with socket.socket() as other, (tmp_path / "errors").open("w") as errors:
        other.bind(("127.0.0.1", 0))

        def start_with_a_taken_port(manager, **kwargs):
            waits.append(manager)
            if len(waits) == 1:
                manager.cache_ports = False
                setattr(manager, port, other.getsockname()[1])
            return start(manager, **kwargs)

        monkeypatch.setattr(KernelManager, "start_kernel", start_with_a_taken_port)
        manager, client = start_twice(8, ":nbval-parent-env", stderr=errors)
    assert len(waits) == 2 and manager.is_alive()
    assert "Address already in use" in (tmp_path / "errors").read_text()
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_nbval_starts_kernels_by_it():
    assert kernel.start_new_kernel.__name__ == start_twice.__name__
