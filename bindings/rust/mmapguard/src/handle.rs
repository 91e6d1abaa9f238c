// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handle that is closed when it is dropped, and the calls on it. The library refuses any handle that is not live,
//! checks every range and serves every thread, so all this is safe whatever is asked of it.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::raw::c_void;
use std::ptr::{addr_of, addr_of_mut};

use mmapguard_sys as sys;

use crate::error::is_loss;
use crate::name::Name;
use crate::{Advice, Backing, Changed, Error, Info, Means, Promise, Result};

/// What decides whether a region is what was asked for.
pub(crate) struct Summary {
    pub(crate) backing: Backing,
    pub(crate) guarantee: Promise,
    pub(crate) means: Means,
    pub(crate) size: u64,
}

pub struct Handle {
    number: sys::mmg_handle,
    name: Name,
}

impl Handle {
    /// Takes over a number that the library has just issued.
    pub(crate) fn adopt(number: sys::mmg_handle, name: Name) -> Handle {
        Handle { number, name }
    }

    /// Names nothing; what is left where a handle was taken out.
    pub(crate) const fn nothing() -> Handle {
        Handle { number: 0, name: Name::Descriptor(-1) }
    }

    /// The name, for another handle on the same file.
    pub(crate) fn take_name(&mut self) -> Name {
        std::mem::replace(&mut self.name, Name::Descriptor(-1))
    }

    /// Close it now, and tell whether that worked.
    pub(crate) fn close(mut self) -> Result<()> {
        let number = std::mem::take(&mut self.number);
        // SAFETY: takes any number.
        match unsafe { sys::mmg_close(number, 0) } {
            sys::MMG_OK => Ok(()),
            status => Err(Error::plain(status, &self.called(), "close")),
        }
    }

    /// What to call the region in a message.
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

    /// The error of a call on this handle. Bytes that are lost have a place, and the library knows it, if need be after
    /// another look at the file; else it is where the call began.
    #[cold]
    pub(crate) fn failure(&self, status: sys::mmg_status, operation: &str, from: u64) -> Error {
        let error = Error::plain(status, &self.called(), operation);
        if !is_loss(status) {
            return error;
        }
        let known = || self.info().ok().and_then(|info| info.fault_offset());
        let offset = known().or_else(|| {
            // SAFETY: takes any number. What it says is asked for right after.
            unsafe { sys::mmg_check(self.number) };
            known()
        });
        error.at(offset.unwrap_or(from))
    }

    pub(crate) fn info(&self) -> Result<Info> {
        let mut raw = sys::MMG_INFO_INIT;
        // SAFETY: `raw` is live and says its size.
        match unsafe { sys::mmg_info_get(self.number, &mut raw) } {
            sys::MMG_OK => Ok(Info(raw)),
            status => Err(Error::plain(status, "a region", "info")),
        }
    }

    /// What an opening has to know, without the copies that `info()` makes.
    #[inline]
    pub(crate) fn summary(&self) -> Result<Summary> {
        let mut raw = MaybeUninit::<sys::mmg_info>::uninit();
        // SAFETY: `raw` is as large as it says, and a call that is successful has written all of it.
        unsafe {
            let raw = raw.as_mut_ptr();
            addr_of_mut!((*raw).struct_size).write(sys::MMG_INFO_INIT.struct_size);
            match sys::mmg_info_get(self.number, raw) {
                sys::MMG_OK => Ok(Summary {
                    backing: Backing(addr_of!((*raw).backing).read()),
                    guarantee: Promise(addr_of!((*raw).guarantee).read()),
                    means: Means(addr_of!((*raw).means).read()),
                    size: addr_of!((*raw).size).read(),
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
        // At most `size`, hence a usize. What was read before bytes were lost is good; the next read tells.
        let got = got as usize;
        if got > 0 {
            return Ok(got);
        }
        self.judge(status, "read", offset).map(|()| got)
    }

    pub(crate) fn find(&self, offset: u64, length: u64, needle: &[u8]) -> Result<Option<u64>> {
        let mut position = 0;
        let bytes: *const c_void = needle.as_ptr().cast();
        // SAFETY: `bytes` has as many bytes as are passed with it, and `position` is live.
        let status =
            unsafe { sys::mmg_find(self.number, offset, length, bytes, needle.len() as u64, &mut position) };
        self.judge(status, "find", offset).map(|()| Some(position).filter(|&p| p != sys::MMG_NOT_FOUND))
    }

    pub(crate) fn check(&self) -> Result<()> {
        // SAFETY: takes any number.
        let status = unsafe { sys::mmg_check(self.number) };
        self.judge(status, "check", 0)
    }

    pub(crate) fn verify(&self) -> Result<()> {
        // SAFETY: takes any number.
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
        // SAFETY: takes any numbers; the library drops no page that cannot be read again as it was.
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
        // SAFETY: takes any number; 0, what close() leaves, names nothing.
        unsafe { sys::mmg_close(self.number, 0) };
    }
}
