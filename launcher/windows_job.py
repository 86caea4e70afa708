"""A Windows job object: the processes in it die with the launcher, however it ends, also when its console is closed."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from ctypes import wintypes

EXTENDED_LIMITS = 9  # winnt.h, JobObjectExtendedLimitInformation
ACCOUNTING = 1  # JobObjectBasicAccountingInformation
KILL_ON_JOB_CLOSE = 0x2000


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("Basic", _BasicLimits),
        ("IoCounters", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


class _Accounting(ctypes.Structure):
    _fields_ = (
        ("TotalUserTime", ctypes.c_int64),
        ("TotalKernelTime", ctypes.c_int64),
        ("ThisPeriodTotalUserTime", ctypes.c_int64),
        ("ThisPeriodTotalKernelTime", ctypes.c_int64),
        ("TotalPageFaultCount", wintypes.DWORD),
        ("TotalProcesses", wintypes.DWORD),
        ("ActiveProcesses", wintypes.DWORD),
        ("TotalTerminatedProcesses", wintypes.DWORD),
    )


if sys.platform == "win32":

    class Job:
        """Holds a process and all that it starts. The handle stays open until the launcher ends; then Windows ends the rest."""

        def __init__(self, process: subprocess.Popen[bytes]) -> None:
            self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            self._kernel32.CreateJobObjectW.restype = wintypes.HANDLE
            self._handle = wintypes.HANDLE(self._kernel32.CreateJobObjectW(None, None))
            limits = _ExtendedLimits()
            limits.Basic.LimitFlags = KILL_ON_JOB_CLOSE
            self._check(self._kernel32.SetInformationJobObject(self._handle, EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)))
            self._check(self._kernel32.AssignProcessToJobObject(self._handle, wintypes.HANDLE(int(process._handle))))  # type: ignore[attr-defined]

        def active(self) -> int:
            """How many of its processes live."""
            found = _Accounting()
            self._check(self._kernel32.QueryInformationJobObject(self._handle, ACCOUNTING, ctypes.byref(found), ctypes.sizeof(found), None))
            return int(found.ActiveProcesses)

        def terminate(self) -> None:
            """End all of its processes at once."""
            self._check(self._kernel32.TerminateJobObject(self._handle, 1))

        def _check(self, succeeded: int) -> None:
            if not succeeded:
                raise ctypes.WinError(ctypes.get_last_error())
