// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handle that is closed when it is dropped, and the calls on it. The library refuses handles that are not
//! live, checks every range, and may be called from every thread. So all calls here are safe with any
//! arguments.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::raw::c_void;
use std::ptr::{addr_of, addr_of_mut};

use mmapguard_sys as sys;

use crate::error::is_loss;
use crate::name::Name;
use crate::{Advice, Backing, Changed, Error, Info, Means, Promise, Result, Shortfall, Status};

/// The facts that decide whether a region has the guarantee that was asked for.
pub(crate) struct Summary {
    pub(crate) backing: Backing,
    pub(crate) guarantee: Promise,
    pub(crate) means: Means,
    pub(crate) size: u64,
    /// The device of the file, as `st_dev`.
    pub(crate) device: u64,
}

pub struct Handle {
    number: sys::mmg_handle,
    name: Name,
}

impl Handle {
    /// Makes a handle of a number that the library has just issued.
    pub(crate) fn adopt(number: sys::mmg_handle, name: Name) -> Handle {
        Handle { number, name }
    }

    /// Returns an empty handle, which names no region.
    pub(crate) const fn nothing() -> Handle {
        Handle { number: 0, name: Name::Descriptor(-1) }
    }

    /// Takes the name out, for another handle of the same file.
    pub(crate) fn take_name(&mut self) -> Name {
        std::mem::replace(&mut self.name, Name::Descriptor(-1))
    }

    /// Closes the handle now, and returns an error if that fails.
    pub(crate) fn close(mut self) -> Result<()> {
        let number = std::mem::take(&mut self.number);
        // SAFETY: the call takes any number.
        match unsafe { sys::mmg_close(number, 0) } {
            sys::MMG_OK => Ok(()),
            status => Err(Error::plain(status, &self.called(), "close")),
        }
    }

    /// Returns the name of the region for a message.
    #[cold]
    pub(crate) fn called(&self) -> String {
        self.name.later(self.info().ok().as_ref())
    }

    #[inline]
    fn judge(&self, status: sys::mmg_status, operation: &str, from: u64) -> Result<()> {
        if status == sys::MMG_OK {
            return Ok(());
        }
        Err(self.failure(status, operation, from))
    }

    /// Returns the error of a call on this handle. For lost bytes the error has an offset, which the library
    /// knows, sometimes only after another look at the file. Otherwise the offset is where the call began.
    #[cold]
    pub(crate) fn failure(&self, status: sys::mmg_status, operation: &str, from: u64) -> Error {
        if !is_loss(status) {
            return Error::plain(status, &self.called(), operation);
        }
        let known = || self.info().ok().and_then(|info| info.fault_offset());
        let offset = known().or_else(|| {
            // SAFETY: the call takes any number. The next call reads what it has found.
            unsafe { sys::mmg_check(self.number) };
            known()
        });
        let error = match self.info() {
            // The sentence of this status is about opening. A region that was stable has a reason why it no
            // longer is.
            Ok(info) if status == sys::MMG_E_UNSTABLE && info.shortfall() != Shortfall::NONE => {
                let why = format!("no longer stable: {}", info.shortfall());
                Error::refused(Status::UNSTABLE, &self.called(), operation, &why)
            }
            _ => Error::plain(status, &self.called(), operation),
        };
        error.at(offset.unwrap_or(from))
    }

    pub(crate) fn info(&self) -> Result<Info> {
        let mut raw = sys::MMG_INFO_INIT;
        // SAFETY: `raw` is live and has its size set.
        match unsafe { sys::mmg_info_get(self.number, &mut raw) } {
            sys::MMG_OK => Ok(Info(raw)),
            status => Err(Error::plain(status, "a region", "info")),
        }
    }

    /// Returns the facts for an opening, without the copies that `info()` makes.
    #[inline]
    pub(crate) fn summary(&self) -> Result<Summary> {
        let mut raw = MaybeUninit::<sys::mmg_info>::uninit();
        // SAFETY: the size in `raw` is right, and a successful call writes all of it.
        unsafe {
            let raw = raw.as_mut_ptr();
            addr_of_mut!((*raw).struct_size).write(sys::MMG_INFO_INIT.struct_size);
            match sys::mmg_info_get(self.number, raw) {
                sys::MMG_OK => Ok(Summary {
                    backing: Backing(addr_of!((*raw).backing).read()),
                    guarantee: Promise(addr_of!((*raw).guarantee).read()),
                    means: Means(addr_of!((*raw).means).read()),
                    size: addr_of!((*raw).size).read(),
                    device: addr_of!((*raw).device).read(),
                }),
                status => Err(Error::plain(status, "a region", "info")),
            }
        }
    }

    #[inline]
    pub(crate) fn pin(&self, offset: u64, length: u64) -> Result<sys::mmg_span> {
        let mut span = sys::MMG_SPAN_INIT;
        // SAFETY: `span` is live.
        let status = unsafe { sys::mmg_pin(self.number, offset, length, &mut span) };
        self.judge(status, "pin", offset).map(|()| span)
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        let size = buffer.len() as u64;
        // SAFETY: `buffer` has room for `size` bytes, and `got` is live.
        let status =
            unsafe { sys::mmg_read(self.number, offset, buffer.as_mut_ptr().cast(), size, &mut got) };
        // The cast is safe, since `got` is at most `size`. Bytes that were read before a lost byte are
        // returned; the next read fails.
        let got = got as usize;
        if got > 0 {
            return Ok(got);
        }
        self.judge(status, "read", offset).map(|()| got)
    }

    pub(crate) fn find(&self, offset: u64, length: u64, needle: &[u8]) -> Result<Option<u64>> {
        let mut position = 0;
        let bytes: *const c_void = needle.as_ptr().cast();
        // SAFETY: the size that is passed is that of `bytes`, and `position` is live.
        let status =
            unsafe { sys::mmg_find(self.number, offset, length, bytes, needle.len() as u64, &mut position) };
        self.judge(status, "find", offset).map(|()| Some(position).filter(|&p| p != sys::MMG_NOT_FOUND))
    }

    pub(crate) fn check(&self) -> Result<()> {
        // SAFETY: the call takes any number.
        let status = unsafe { sys::mmg_check(self.number) };
        self.judge(status, "check", 0)
    }

    pub(crate) fn verify(&self) -> Result<()> {
        // SAFETY: the call takes any number.
        let status = unsafe { sys::mmg_verify(self.number) };
        self.judge(status, "verify", 0)
    }

    pub(crate) fn changed(&self) -> Result<Changed> {
        let mut bits = 0;
        // SAFETY: `bits` is live.
        let status = unsafe { sys::mmg_changed(self.number, &mut bits) };
        self.judge(status, "changed", 0).map(|()| Changed::from_bits(bits))
    }

    pub(crate) fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<()> {
        // SAFETY: the call takes any numbers, and the library drops only pages that can be read again with
        // the same bytes.
        let status = unsafe { sys::mmg_advise(self.number, offset, length, advice.0) };
        self.judge(status, "advise", offset)
    }

    pub(crate) fn resident(&self, offset: u64, length: u64) -> Result<u64> {
        let mut bytes = 0;
        // SAFETY: `bytes` is live.
        let status = unsafe { sys::mmg_resident(self.number, offset, length, &mut bytes) };
        self.judge(status, "resident", offset).map(|()| bytes)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the call takes any number. After close() it is 0, which names no region.
        unsafe { sys::mmg_close(self.number, 0) };
    }
}
