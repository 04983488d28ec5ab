"""`cupy.cuda.Device` and `cupy.cuda.runtime`."""

from types import SimpleNamespace

from .machine import MACHINE, CUDARuntimeError


class Device:
    def __init__(self, device=None):
        self.id = MACHINE.current.device if device is None else int(device)

    def __int__(self):
        return self.id

    def __enter__(self):
        MACHINE.check_device(self.id)
        MACHINE.current.devices.append(MACHINE.current.device)
        MACHINE.current.device = self.id
        return self

    def __exit__(self, *error):
        MACHINE.current.device = MACHINE.current.devices.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None  # CuPy's cannot be hashed either

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    @property
    def attributes(self):
        MACHINE.check_device(self.id)
        return dict(MACHINE.attributes)

    @property
    def compute_capability(self):
        MACHINE.check_device(self.id)
        return MACHINE.capability

    def synchronize(self):
        with self:
            device_synchronize()


def device_synchronize():
    """Wait for all streams of the current device."""
    queues = [queue for queue in MACHINE.queues.values() if queue.device == MACHINE.current.device]
    if any(queue.capture is not None for queue in queues):
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a stream is captured")
    clock = {}
    for queue in queues:
        queue.begin()
        clock[queue] = queue.ticks
    MACHINE.learn(clock)


def set_device(device):
    MACHINE.check_device(device)
    MACHINE.current.device = device


def properties(device):
    MACHINE.check_device(device)
    return {
        "name": b"A device that is not there",
        "multiProcessorCount": MACHINE.attributes["MultiProcessorCount"],
        "l2CacheSize": 500,
    }


RUNTIME = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=MACHINE.device_count,
    getDevice=lambda: MACHINE.current.device,
    setDevice=set_device,
    deviceSynchronize=device_synchronize,
    getDeviceProperties=properties,
    memGetInfo=lambda: (10**8, 10**9),  # bytes that are free, and all
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
)
