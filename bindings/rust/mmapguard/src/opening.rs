// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call of the library that opens, with its options, its error, and the name of the region. The guarantee
//! decides whether one call suffices.

use std::mem::MaybeUninit;

use mmapguard_sys as sys;

use crate::handle::Handle;
use crate::name::Name;
use crate::{Error, Guarantee, Options, Result};

impl Options {
    #[inline]
    pub(crate) fn open_as<G: Guarantee>(
        &self,
        name: Name,
        call: impl Fn(&Name, Arg, Out, Why) -> i32,
    ) -> Result<Handle> {
        let (flags, max_snapshot_bytes) = (self.raw.flags | G::FLAGS, G::most_at_first(&self.raw));
        let options = sys::mmg_options { guarantee: G::DEMAND, flags, max_snapshot_bytes, ..self.raw };
        let again = |name: &Name, options: Arg| opened(options, name, &call);
        match opened(&options, &name, &call) {
            Ok(number) => G::accept(Handle::adopt(number, name), &self.raw, &again),
            Err(error) => G::refused(error, name, &self.raw, &again),
        }
    }
}

pub(crate) type Arg<'a> = &'a sys::mmg_options;
pub(crate) type Out<'a> = &'a mut sys::mmg_handle;
pub(crate) type Why = *mut sys::mmg_error;
pub(crate) type ByPath = unsafe extern "C" fn(
    *const std::os::raw::c_char,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;
#[cfg(unix)]
pub(crate) type ByDescriptor = unsafe extern "C" fn(
    i32,
    *const sys::mmg_options,
    *mut sys::mmg_handle,
    *mut sys::mmg_error,
) -> sys::mmg_status;

/// Opens a file, and returns the number of its handle.
#[inline]
fn opened(options: Arg, name: &Name, call: &impl Fn(&Name, Arg, Out, Why) -> i32) -> Result<sys::mmg_handle> {
    let mut number = 0;
    // The library reads only the size, and fills in the other members when it fails. With a status that says success, it
    // has nothing to clear when it succeeds.
    let mut error = MaybeUninit::<sys::mmg_error>::uninit();
    // SAFETY: the pointers are to members of `error`.
    unsafe {
        std::ptr::addr_of_mut!((*error.as_mut_ptr()).status).write(sys::MMG_OK);
        std::ptr::addr_of_mut!((*error.as_mut_ptr()).struct_size).write(sys::MMG_ERROR_INIT.struct_size);
    };
    match call(name, options, &mut number, error.as_mut_ptr()) {
        sys::MMG_OK => Ok(number),
        status => Err(failed(status, &error, name)),
    }
}

#[cold]
fn failed(status: sys::mmg_status, error: &MaybeUninit<sys::mmg_error>, name: &Name) -> Error {
    // SAFETY: the call has failed and the size was right, so the call has written every member.
    Error::told(status, unsafe { error.assume_init_ref() }, name)
}
