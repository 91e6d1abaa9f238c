# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bad input gets the status that the header names and an error that names path and operation, and touches nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapguard import abi
from support import files
from support import library as mmg
from support.children import become_nobody, in_child
from support.files import Sample

lib = mmg.lib

# The calls that open a region, each with a target that works.
OPENERS: dict[str, Callable[[Sample], tuple[Any, Any]]] = {
    "open": lambda file: (lib.mmg_open, mmg.raw_path(file.path)),
    "load": lambda file: (lib.mmg_load, mmg.raw_path(file.path)),
    "open_fd": lambda file: (lib.mmg_open_fd, os.open(file.path, os.O_RDONLY)),
    "read_fd": lambda file: (lib.mmg_read_fd, os.open(file.path, os.O_RDONLY)),
}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest, either: Sample) -> Iterator[Callable[..., int]]:
    """Provide one of the calls that open, with its target: `opener(options, handle, error)`."""
    call, target = OPENERS[request.param](either)

    def use(options: Any, handle: Any, error: Any) -> int:
        return int(call(target, options, handle, error))

    yield use
    if isinstance(target, int):
        os.close(target)


def attempt_with(opener: Callable[..., int], options: Any) -> mmg.Details:
    """Try to open with these options. Return the details, which hold the status."""
    handle, error = ctypes.c_uint64(0xDEAD), mmg.new_error()
    status = opener(ctypes.byref(options), ctypes.byref(handle), ctypes.byref(error))
    if status == abi.MMG_OK:
        assert mmg.close(handle.value) == abi.MMG_OK
    else:
        assert handle.value == 0
    found = mmg.details(error)
    assert found.status == status
    return found


# ---------------------------------------------------------------------------------------------------------- NULL --


def test_no_place_for_the_handle_is_an_argument_error(opener: Callable[..., int]) -> None:
    error = mmg.new_error()
    assert opener(None, None, ctypes.byref(error)) == abi.MMG_E_ARGUMENT
    assert mmg.details(error).status == abi.MMG_E_ARGUMENT
    assert opener(None, None, None) == abi.MMG_E_ARGUMENT


def test_no_place_for_the_details_is_fine(opener: Callable[..., int]) -> None:
    handle = ctypes.c_uint64()
    assert opener(None, ctypes.byref(handle), None) == abi.MMG_OK
    assert mmg.close(handle.value) == abi.MMG_OK
    wrong = mmg.options(flags=1 << 40)
    assert opener(ctypes.byref(wrong), ctypes.byref(handle), None) == abi.MMG_E_ARGUMENT


@pytest.mark.parametrize("call", [lib.mmg_open, lib.mmg_load])
def test_no_path_is_an_argument_error(call: Any) -> None:
    handle, error = ctypes.c_uint64(5), mmg.new_error()
    assert call(None, None, ctypes.byref(handle), ctypes.byref(error)) == abi.MMG_E_ARGUMENT
    assert handle.value == 0
    told = mmg.details(error)
    assert told.status == abi.MMG_E_ARGUMENT and told.operation and told.message
    assert call(None, None, None, None) == abi.MMG_E_ARGUMENT


def test_null_where_an_output_goes_is_an_argument_error(either: Sample) -> None:
    number, buffer = ctypes.c_uint64(), ctypes.create_string_buffer(16)
    with mmg.opened(mmg.try_open(either.path)) as handle:
        nulls = {
            "pin": lib.mmg_pin(handle, 0, 1, None),
            "unpin": lib.mmg_unpin(None),
            "read, no buffer": lib.mmg_read(handle, 0, None, 1, ctypes.byref(number)),
            "read, no count": lib.mmg_read(handle, 0, buffer, 1, None),
            "find, no needle": lib.mmg_find(handle, 0, 10, None, 1, ctypes.byref(number)),
            "find, no position": lib.mmg_find(handle, 0, 10, b"x", 1, None),
            "changed": lib.mmg_changed(handle, None),
            "info": lib.mmg_info_get(handle, None),
            "stats": lib.mmg_stats_get(None),
            "resident": lib.mmg_resident(handle, 0, 1, None),
            "export": lib.mmg_export_arrow(handle, 0, 1, None, buffer),
            "options_init": lib.mmg_options_init(None, ctypes.sizeof(abi.mmg_options)),
        }
        assert {name: status for name, status in nulls.items() if status != abi.MMG_E_ARGUMENT} == {}
        assert mmg.info(handle).pins == 0


def test_null_for_no_bytes_is_fine(either: Sample) -> None:
    number = ctypes.c_uint64(7)
    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert lib.mmg_read(handle, 0, None, 0, ctypes.byref(number)) == abi.MMG_OK
        assert number.value == 0
        assert lib.mmg_find(handle, 3, 10, None, 0, ctypes.byref(number)) == abi.MMG_OK
        assert number.value == 3


def test_a_fault_without_its_particulars_is_not_ours() -> None:
    for signo in (7, 11, 0, -1, 64, 2**31 - 1):
        assert lib.mmg_handle_fault(signo, None, None) == 0


def test_outputs_are_not_touched_by_a_failure(either: Sample) -> None:
    dead = 12_345
    span, number, what = abi.mmg_span(size=3, pin=4), ctypes.c_uint64(77), ctypes.c_uint32(78)
    described = abi.mmg_info(struct_size=ctypes.sizeof(abi.mmg_info), size=79)
    kept_span, kept_info = bytes(span), bytes(described)
    buffer = ctypes.create_string_buffer(b"kept", 8)
    statuses = {
        lib.mmg_pin(dead, 0, 1, ctypes.byref(span)),
        lib.mmg_read(dead, 0, buffer, 4, ctypes.byref(number)),
        lib.mmg_find(dead, 0, 1, b"x", 1, ctypes.byref(number)),
        lib.mmg_changed(dead, ctypes.byref(what)),
        lib.mmg_info_get(dead, ctypes.byref(described)),
        lib.mmg_resident(dead, 0, 1, ctypes.byref(number)),
    }
    assert statuses == {abi.MMG_E_HANDLE}
    assert (bytes(span), bytes(described)) == (kept_span, kept_info)
    assert (number.value, what.value, buffer.value) == (77, 78, b"kept")
    with mmg.opened(mmg.try_open(either.path)) as handle:
        beyond = either.size + 1
        assert lib.mmg_read(handle, beyond, buffer, 4, ctypes.byref(number)) == abi.MMG_E_RANGE
        assert lib.mmg_find(handle, beyond, 1, b"x", 1, ctypes.byref(number)) == abi.MMG_E_RANGE
        assert lib.mmg_resident(handle, beyond, 1, ctypes.byref(number)) == abi.MMG_E_RANGE
        assert (number.value, buffer.value) == (77, b"kept")


# ------------------------------------------------------------------------------------- unknown values and flags --


def beyond(largest: int) -> list[int]:
    """Return values that mean nothing when `largest` is the last that means something."""
    return [largest + 1, largest + 2, 255, 2**31, 2**32 - 1]


FLAGS = sum(mmg.constants("MMG_FLAG_").values())

UNKNOWN: dict[str, list[int]] = {
    "backing": beyond(abi.MMG_BACKING_COPY),
    "guarantee": beyond(abi.MMG_GUARANTEE_STABLE),
    "lock": beyond(abi.MMG_LOCK_NONE),
    "access": beyond(abi.MMG_ADVICE_HUGEPAGE),
    "flags": [*(1 << bit for bit in range(64) if not FLAGS >> bit & 1), 2**64 - 1],
    "reserved": [1, 2**32 - 1],
}


@pytest.mark.parametrize("member", list(UNKNOWN))
def test_an_unknown_value_or_flag_is_an_argument_error(opener: Callable[..., int], member: str) -> None:
    for value in UNKNOWN[member]:
        told = attempt_with(opener, mmg.options(**{member: value}))
        assert told.status == abi.MMG_E_ARGUMENT, hex(value)
        assert told.operation == "options"
        assert told.os_code == 0
        assert told.message


def test_an_unknown_flag_beside_known_ones_is_refused_too(opener: Callable[..., int]) -> None:
    told = attempt_with(
        opener, mmg.options(flags=abi.MMG_FLAG_POPULATE | abi.MMG_FLAG_REJECT_EMPTY | 1 << 30)
    )
    assert told.status == abi.MMG_E_ARGUMENT


def test_bad_options_are_told_before_the_path_is_looked_at(tmp_path: Path) -> None:
    mmg.refused(mmg.try_open(tmp_path / "missing", backing=9), abi.MMG_E_ARGUMENT)


@pytest.mark.parametrize("flags", [2, 3, 4, 1 << 31, 2**32 - 1])
def test_an_unknown_flag_of_close_is_an_argument_error_and_closes_nothing(either: Sample, flags: int) -> None:
    with mmg.opened(mmg.try_open(either.path)) as handle:
        assert mmg.close(handle, flags) == abi.MMG_E_ARGUMENT
        assert mmg.content(handle) == either.data


# ---------------------------------------------------------------------------------------------- short and long structs --

OPTIONS_SIZE = ctypes.sizeof(abi.mmg_options)
ERROR_SIZE = ctypes.sizeof(abi.mmg_error)


class Longer(ctypes.Structure):
    """The options of a later header."""

    _fields_ = [("known", abi.mmg_options), ("more", ctypes.c_uint64 * 8)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4097, 65_536, 2**31, 2**32 - 1])
def test_a_nonsense_size_of_options_is_its_own_error(opener: Callable[..., int], size: int) -> None:
    made = Longer()
    made.known.struct_size = size
    told = attempt_with(opener, made.known)
    assert told.status == abi.MMG_E_ABI_SIZE
    assert told.operation == "options"


@pytest.mark.parametrize("extra", [8, 16, 64])
def test_newer_options_are_taken_when_they_use_nothing_new(opener: Callable[..., int], extra: int) -> None:
    made = Longer()
    made.known.struct_size = OPTIONS_SIZE + extra
    assert attempt_with(opener, made.known).status == abi.MMG_OK


@pytest.mark.parametrize("index", [0, 1, 7])
def test_newer_options_are_refused_when_they_use_what_the_library_does_not_know(
    opener: Callable[..., int], index: int
) -> None:
    made = Longer()
    made.known.struct_size = ctypes.sizeof(Longer)
    made.more[index] = 1 << 63
    told = attempt_with(opener, made.known)
    assert told.status == abi.MMG_E_ABI_NEWER
    assert told.operation == "options"


@pytest.mark.parametrize("size", [0, 1, 3, 4097, 2**32 - 1])
def test_a_nonsense_size_of_the_error_is_its_own_error_and_not_written_to(
    opener: Callable[..., int], size: int
) -> None:
    block = (ctypes.c_ubyte * 8192)(*([0x55] * 8192))
    ctypes.c_uint32.from_buffer(block).value = size
    kept, handle = bytes(block), ctypes.c_uint64()
    place = ctypes.cast(block, ctypes.POINTER(abi.mmg_error))
    assert opener(None, ctypes.byref(handle), place) == abi.MMG_E_ABI_SIZE
    assert handle.value == 0
    assert bytes(block) == kept


def test_options_init_writes_the_size_it_is_told_and_no_byte_more() -> None:
    for size in range(OPTIONS_SIZE + 65):
        block = (ctypes.c_ubyte * (OPTIONS_SIZE + 128))(*([0x55] * (OPTIONS_SIZE + 128)))
        status = lib.mmg_options_init(ctypes.cast(block, ctypes.POINTER(abi.mmg_options)), size)
        # In release 1.0 a struct has its first size; a newer caller may have a larger one, in steps of eight bytes.
        right = size >= OPTIONS_SIZE and size % 8 == 0
        assert status == (abi.MMG_OK if right else abi.MMG_E_ABI_SIZE), size
        if status == abi.MMG_OK:
            assert bytes(block)[:size] == size.to_bytes(4, "little")[: min(4, size)] + bytes(max(size - 4, 0))
            assert bytes(block)[size:] == b"\x55" * (OPTIONS_SIZE + 128 - size)
        else:
            assert bytes(block) == b"\x55" * (OPTIONS_SIZE + 128)


# --------------------------------------------------------------------------------------------------------- bad paths --


@pytest.mark.parametrize("call", [mmg.try_open, mmg.try_load])
def test_a_missing_file_is_not_found(call: mmg.Opener, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path / "no" / "such" / "folder"):
        told = mmg.refused(call(path), abi.MMG_E_NOT_FOUND)
        assert (told.os_code, told.operation, told.offset) == (errno.ENOENT, "open", 0)
        assert str(path) in told.message


def test_an_empty_path_is_not_found() -> None:
    assert mmg.refused(mmg.try_open(b""), abi.MMG_E_NOT_FOUND).os_code == errno.ENOENT


def test_a_dangling_link_is_not_found(tmp_path: Path) -> None:
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    told = mmg.refused(mmg.try_open(link), abi.MMG_E_NOT_FOUND)
    assert str(link) in told.message


def test_a_path_through_a_file_is_not_found(either: Sample) -> None:
    for path in (either.path / "below", os.fsencode(either.path) + b"/"):
        told = mmg.refused(mmg.try_open(path), abi.MMG_E_NOT_FOUND)
        assert told.os_code == errno.ENOTDIR


def test_links_that_chase_each_other_are_an_error_with_their_errno(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.symlink_to(two)
    two.symlink_to(one)
    told = mmg.refused(mmg.try_open(one), abi.MMG_E_SYSTEM)
    assert told.os_code == errno.ELOOP
    assert str(one) in told.message


def test_a_name_that_no_file_system_takes_is_an_error_with_its_errno(tmp_path: Path) -> None:
    told = mmg.refused(mmg.try_open(tmp_path / ("n" * 256)), abi.MMG_E_ARGUMENT)
    assert told.os_code == errno.ENAMETOOLONG


@pytest.mark.parametrize("backing", [abi.MMG_BACKING_AUTO, abi.MMG_BACKING_MAP, abi.MMG_BACKING_COPY])
def test_a_directory_is_not_mappable(tmp_path: Path, backing: int) -> None:
    for path in (tmp_path, "/", "/proc", "."):
        told = mmg.refused(mmg.try_open(path, backing=backing), abi.MMG_E_NOT_MAPPABLE)
        assert str(path) in told.message


@pytest.mark.parametrize("length", [4096, 4097, 100_000])
@pytest.mark.parametrize("call", [mmg.try_open, mmg.try_load])
def test_a_path_of_path_max_or_more_is_an_argument_error_shortened_in_its_middle(
    call: mmg.Opener, length: int
) -> None:
    path = b"/start/" + b"m" * (length - 11) + b"/end"
    assert len(path) == length
    told = mmg.refused(call(path), abi.MMG_E_ARGUMENT)
    assert "/start/" in told.message and "/end" in told.message
    assert "m" * 464 not in told.message


def test_a_file_that_may_not_be_read_is_a_permission_error() -> None:
    files.require_root("gives a file away and acts as another user")
    with files.public_folder() as folder:
        file = files.sample(folder / "secret", files.SMALL)
        os.chmod(file.path, 0o000)
        closed = folder / "closed"
        closed.mkdir()
        inside = files.sample(closed / "inside", 10)
        os.chmod(closed, 0o700)

        def within() -> list[mmg.Details]:
            become_nobody()
            paths = (file.path, inside.path)
            return [mmg.refused(mmg.try_open(path), abi.MMG_E_PERMISSION) for path in paths]

        for path, told in zip((file.path, inside.path), in_child(within), strict=True):
            assert (told.os_code, told.operation) == (errno.EACCES, "open")
            assert str(path) in told.message


def test_a_write_only_mode_is_no_hindrance_to_root_and_a_permission_error_to_others() -> None:
    files.require_root("gives a file away and acts as another user")
    with files.public_folder() as folder:
        file = files.sample(folder / "drop", files.SMALL)
        os.chmod(file.path, 0o222)

        def within() -> int:
            become_nobody()
            return mmg.try_open(file.path).status

        assert in_child(within) == abi.MMG_E_PERMISSION


# ----------------------------------------------------------------------------------- what the message makes of a path --


def message_for(path: bytes) -> str:
    """Return the message for a file that is missing. Decoding it strictly is part of the test."""
    return mmg.refused(mmg.try_open(path), abi.MMG_E_NOT_FOUND).message


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\xff", r"\xff"),
        (b"\x80start", r"\x80start"),
        (b"caf\xe9.txt", r"caf\xe9.txt"),
        (b"\xc0\xaf", r"\xc0\xaf"),  # an overlong slash
        (b"\xe0\x80\xaf", r"\xe0\x80\xaf"),  # a longer one
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # half a surrogate pair
        (b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"),  # beyond the last code point
        (b"\xf8\x88\x80\x80\x80", r"\xf8\x88\x80\x80\x80"),  # five bytes
        (b"end\xe2\x98", r"end\xe2\x98"),  # cut short
        (b"\xe2\x28\xa1", r"\xe2(\xa1"),  # a wrong follower
    ],
)
def test_bytes_that_are_no_utf_8_appear_escaped(raw: bytes, shown: str) -> None:
    # The hexadecimal digits may be spelt in either case.
    assert shown.lower() in message_for(b"/nonexistent-" + raw).lower()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"two\nlines", r"two\x0Alines"), (b"\x1b[31mred", r"\x1B[31mred"), (b"\x01\x7f", r"\x01\x7F")],
)
def test_a_control_character_in_a_path_does_not_pass_into_the_message(raw: bytes, shown: str) -> None:
    message = message_for(b"/nonexistent-" + raw)
    assert shown in message
    assert message.isprintable()


@pytest.mark.parametrize("name", ["é", "☃", "🙂", "日本語", "\u00a0", "\ud7ff", "\ue000", "\U0010ffff"])
def test_proper_utf_8_appears_as_it_is(name: str) -> None:
    assert name in message_for(b"/nonexistent-" + name.encode())


@pytest.mark.parametrize("unit", ["é", "☃", "🙂", "\xff"])
@pytest.mark.parametrize("shift", range(5))
def test_a_long_path_is_shortened_between_characters(unit: str, shift: int) -> None:
    """Half a character would be shown as bytes in hexadecimal, or strict decoding would raise."""
    raw = b"\xff" if unit == "\xff" else unit.encode()
    middle = b"/".join([raw * (200 // len(raw))] * 12)
    message = message_for(b"/nonexistent" + b"a" * shift + b"/" + middle + b"/the-end")
    assert "/nonexistent" in message and "/the-end" in message
    assert len(middle) > 2000 and len(message) < 500
    assert unit == "\xff" or "\\x" not in message


@pytest.mark.parametrize("length", [*range(300, 470, 7), 500, 1000, 4000])
def test_a_message_never_overflows_whatever_the_length_of_the_path(length: int) -> None:
    path = b"/nonexistent/" + b"/".join([b"p" * 99] * 41)
    message = message_for(path[:length])
    assert len(message.encode()) < 464
    assert "/nonexistent" in message


def test_formatting_marks_in_a_path_are_only_characters() -> None:
    assert "%s%n%999999d%x" in message_for(b"/nonexistent-%s%n%999999d%x")


# ------------------------------------------------------------------------------------------ what an error says --


def test_success_clears_the_error(either: Sample) -> None:
    error = mmg.new_error(status=5, os_code=6, offset=7, operation=b"old", message=b"old", reserved=8)
    handle = ctypes.c_uint64()
    assert (
        lib.mmg_open(mmg.raw_path(either.path), None, ctypes.byref(handle), ctypes.byref(error)) == abi.MMG_OK
    )
    assert mmg.close(handle.value) == abi.MMG_OK
    assert error.struct_size == ERROR_SIZE
    assert (error.status, error.os_code, error.offset, error.reserved) == (abi.MMG_OK, 0, 0, 0)
    assert (error.operation, error.message) == (b"", b"")


def test_a_shorter_message_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    error, handle = mmg.new_error(), ctypes.c_uint64()
    for path in (tmp_path / ("x" * 200), tmp_path / "y"):
        lib.mmg_open(mmg.raw_path(path), None, ctypes.byref(handle), ctypes.byref(error))
    raw = bytes(error)
    for member in ("operation", "message"):
        field = getattr(abi.mmg_error, member)
        text, _, rest = raw[field.offset : field.offset + field.size].partition(b"\0")
        assert text
        assert rest == bytes(len(rest)), member


def failures(folder: Path) -> dict[str, mmg.Attempt]:
    """Return one failure of each kind that a test can cause by plain means."""
    large = files.sample(folder / "large", files.LARGE)
    empty = files.sample(folder / "empty", 0)
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(large.path)
    return {
        "not found": mmg.try_open(folder / "missing"),
        "directory": mmg.try_open(folder),
        "link": mmg.try_open(folder / "link", flags=abi.MMG_FLAG_NOFOLLOW),
        "empty": mmg.try_open(empty.path, flags=abi.MMG_FLAG_REJECT_EMPTY),
        "fifo": mmg.try_open(folder / "fifo"),
        "range": mmg.try_open(large.path, offset=files.LARGE, length=1),
        "cap": mmg.try_open(large.path, backing=abi.MMG_BACKING_COPY, max_bytes=1),
        "unmappable": mmg.try_open("/proc/version", backing=abi.MMG_BACKING_MAP),
        "option": mmg.try_open(large.path, flags=1 << 50),
        "descriptor": mmg.try_open_fd(-1),
        "long path": mmg.try_open(b"x" * 5000),
    }


def test_every_failure_names_its_operation_and_its_path_in_one_sentence(tmp_path: Path) -> None:
    for kind, attempt in failures(tmp_path).items():
        told = attempt.details
        assert attempt.status < 0, kind
        assert re.fullmatch(r"[a-z][a-z0-9_ -]*", told.operation), (kind, told.operation)
        assert told.message.strip() == told.message and told.message, kind
        assert "\n" not in told.message, kind
        assert told.reserved == 0, kind
        if kind not in ("unmappable", "descriptor", "long path", "option"):
            assert str(tmp_path) in told.message, (kind, told.message)
        assert told.os_code == 0 or told.os_code in errno.errorcode, kind


def test_a_lock_held_elsewhere_names_the_lock_call(large: Sample) -> None:
    with files.held_elsewhere(large.path, "flock exclusive"):
        assert mmg.refused(mmg.try_open(large.path), abi.MMG_E_WOULD_BLOCK).operation == "flock"


def test_ten_thousand_failures_of_every_kind_leave_nothing_behind(tmp_path: Path) -> None:
    # The fixture that watches descriptors, mappings and counters does the asserting.
    for turn in range(60):
        folder = tmp_path / str(turn)
        folder.mkdir()
        for kind, attempt in failures(folder).items():
            assert attempt.status != abi.MMG_OK, kind
    for _ in range(700):
        for attempt in (
            mmg.try_open(tmp_path),
            mmg.try_open(tmp_path / "missing"),
            mmg.try_open("/proc/version", max_bytes=1),
            mmg.try_open(tmp_path / "0" / "large", offset=2**63),
            mmg.try_open(tmp_path / "0" / "fifo"),
        ):
            assert attempt.status != abi.MMG_OK
