! SPDX-License-Identifier: MIT OR Apache-2.0
! The cases in Fortran, over iso_c_binding.
module mmg
  use, intrinsic :: iso_c_binding
  implicit none
  integer(c_int64_t), parameter :: to_end = -1 ! 2**64 - 1
  integer, parameter :: sigusr1 = 10
  integer, volatile :: heard = 0

  type, bind(c) :: options_t
    integer(c_int32_t) :: struct_size = 88, backing = 0, guarantee = 0, lock = 0, lock_wait_ms = 0, access = 0
    integer(c_int64_t) :: rest(8) = 0
  end type
  type, bind(c) :: error_t
    integer(c_int32_t) :: struct_size = 512, codes(3) = 0
    integer(c_int64_t) :: offset = 0
    character(c_char) :: operation(24) = c_null_char, message(464) = c_null_char
  end type
  type, bind(c) :: info_t
    integer(c_int32_t) :: struct_size = 192, backing = 0, others(6) = 0
    integer(c_int64_t) :: size = 0, file(6) = 0
    integer(c_int32_t) :: nanoseconds(2) = 0
    integer(c_int64_t) :: faults = 0, fault_offset = 0, rest(10) = 0
  end type
  type, bind(c) :: span_t
    type(c_ptr) :: data = c_null_ptr
    integer(c_int64_t) :: size = 0, pin = 0
  end type

  interface
    integer(c_int32_t) function mmg_open(path, options, handle, error) bind(c)
      import
      character(c_char), intent(in) :: path(*)
      type(options_t), intent(in) :: options
      integer(c_int64_t), intent(out) :: handle
      type(error_t), intent(inout) :: error
    end function
    integer(c_int32_t) function mmg_close(handle, flags) bind(c)
      import
      integer(c_int64_t), value :: handle
      integer(c_int32_t), value :: flags
    end function
    integer(c_int32_t) function mmg_pin(handle, offset, length, span) bind(c)
      import
      integer(c_int64_t), value :: handle, offset, length
      type(span_t), intent(inout) :: span
    end function
    integer(c_int32_t) function mmg_unpin(span) bind(c)
      import
      type(span_t), intent(inout) :: span
    end function
    integer(c_int32_t) function mmg_read(handle, offset, buffer, size, got) bind(c)
      import
      integer(c_int64_t), value :: handle, offset, size
      integer(c_int8_t), intent(out) :: buffer(*)
      integer(c_int64_t), intent(out) :: got
    end function
    integer(c_int32_t) function mmg_find(handle, offset, length, needle, size, position) bind(c)
      import
      integer(c_int64_t), value :: handle, offset, length, size
      character(c_char), intent(in) :: needle(*)
      integer(c_int64_t), intent(out) :: position
    end function
    integer(c_int32_t) function mmg_info_get(handle, info) bind(c)
      import
      integer(c_int64_t), value :: handle
      type(info_t), intent(inout) :: info
    end function
    type(c_ptr) function mmg_status_name(status) bind(c)
      import
      integer(c_int32_t), value :: status
    end function
    type(c_ptr) function mmg_term(vocabulary, word) bind(c)
      import
      integer(c_int32_t), value :: vocabulary, word
    end function
    integer(c_size_t) function strlen(text) bind(c)
      import
      type(c_ptr), value :: text
    end function
  end interface

contains

  function text(from) result(copy)
    type(c_ptr), intent(in) :: from
    character(:), allocatable :: copy
    character(c_char), pointer :: bytes(:)
    integer :: i
    call c_f_pointer(from, bytes, [strlen(from)])
    allocate (character(size(bytes)) :: copy)
    do i = 1, size(bytes)
      copy(i:i) = bytes(i)
    end do
  end function

  function name(status)
    integer(c_int32_t), intent(in) :: status
    character(:), allocatable :: name
    name = text(mmg_status_name(status))
  end function

  function hex(bytes)
    integer(c_int8_t), intent(in) :: bytes(:)
    character(2*size(bytes)) :: hex
    character(16), parameter :: digits = '0123456789abcdef'
    integer :: i, byte
    do i = 1, size(bytes)
      byte = iand(int(bytes(i)), 255)
      hex(2*i - 1:2*i) = digits(byte/16 + 1:byte/16 + 1)//digits(mod(byte, 16) + 1:mod(byte, 16) + 1)
    end do
  end function

  integer(c_int64_t) function total(span)
    type(span_t), intent(in) :: span
    integer(c_int8_t), pointer :: bytes(:)
    integer(c_int64_t) :: i
    call c_f_pointer(span%data, bytes, [span%size])
    total = 0
    do i = 1, span%size
      total = total + iand(int(bytes(i), c_int64_t), 255_c_int64_t)
    end do
    total = iand(total, 4294967295_c_int64_t)
  end function

  subroutine ready()
    character(16) :: line
    print '(a)', 'ready'
    flush (6)
    read '(a)', line
  end subroutine

  subroutine on_signal()
    heard = sigusr1
  end subroutine
end module

program cases
  use mmg
  implicit none
  type(options_t) :: options
  type(error_t), target :: error
  type(info_t) :: info
  type(span_t) :: span
  character(32) :: what
  character(4096) :: path
  integer(c_int8_t) :: buffer(16)
  integer(c_int64_t) :: file, number, before
  integer(c_int32_t) :: status, second
  character(1), parameter :: spaces = ' '

  call get_command_argument(1, what)
  call get_command_argument(2, path)
  if (what == 'stable') options%guarantee = 2
  status = mmg_open(trim(path)//c_null_char, options, file, error)
  if (status /= 0) then
    print '(4a)', 'error ', name(status), spaces, text(c_loc(error%message))
    stop
  end if
  status = mmg_info_get(file, info)
  select case (what)
  case ('open')
    print '(a,i0)', 'ok ', info%size
    stop
  case ('info')
    print '(a,i0,2a)', 'ok ', info%size, spaces, text(mmg_term(1, info%backing))
    stop
  case ('read')
    status = mmg_read(file, 5_c_int64_t, buffer, 16_c_int64_t, number)
    print '(2a)', 'ok ', hex(buffer(1:number))
    stop
  case ('find')
    status = mmg_find(file, 0_c_int64_t, to_end, 'NEEDLE', 6_c_int64_t, number)
    print '(a,i0)', 'ok ', number
    stop
  case ('close')
    status = mmg_close(file, 0)
    second = mmg_close(file, 0)
    print '(4a)', 'ok ', name(status), spaces, name(second)
    stop
  case ('use-after-close')
    status = mmg_close(file, 0)
    status = mmg_pin(file, 0_c_int64_t, to_end, span)
    print '(2a)', 'error ', name(status)
    stop
  end select

  status = mmg_pin(file, 0_c_int64_t, to_end, span)
  select case (what)
  case ('pin')
    print '(a,i0)', 'ok ', total(span)
  case ('empty')
    print '(2a,i0)', trim(merge('ok  ', 'null', c_associated(span%data))), spaces, span%size
  case ('unpin')
    status = mmg_unpin(span)
    second = mmg_unpin(span)
    print '(4a)', 'ok ', name(status), spaces, name(second)
  case ('stable')
    before = total(span)
    call ready()
    print '(2a)', 'ok ', trim(merge('same ', 'other', total(span) == before))
  case default
    call ready()
    before = total(span)
    status = mmg_unpin(span)
    second = mmg_info_get(file, info)
    if (what == 'truncated') then
      print '(3a,i0)', 'error ', name(status), spaces, info%fault_offset
    else
      call signal(sigusr1, on_signal)
      call ready()
      print '(2a)', 'ok ', trim(merge('handled', 'unheard', heard == sigusr1))
    end if
  end select
end program
