# SPDX-License-Identifier: MIT OR Apache-2.0
"""Helpers shared by the pytest suites. Everything here drives the built shared library through ctypes.

library     the loaded library, and calls that return plain Python values
checkout    the files that belong to the sources, with git or without
children    child processes whose end, death by signal included, is asserted
elf         the functions of the C library that a shared object needs
files       files with bytes that can be told apart, and ways to replace, race and lock them
fuse        a small file system in user space that fails on request
seccomp     system calls that fail on request
unavailable what is raised where this system does not have what a test needs
watch       descriptors, mappings, threads and memory counted before and after
"""
