// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handle that is closed when it is dropped, and the calls on it. The library refuses any handle that is not live,
//! checks every range and serves every thread, so all this is safe whatever is asked of it.

use std::os::raw::c_void;

use mmapguard_sys as sys;

use crate::{Advice, Changed, Error, Info, Result};

pub(crate) struct Handle {
    number: sys::mmg_handle,
    /// What to call the file in errors.
    pub(crate) name: String,
    pub(crate) size: u64,
}

impl Handle {
    /// Takes over a number that the library has just issued.
    pub(crate) fn adopt(number: sys::mmg_handle, name: String) -> Result<(Handle, Info)> {
        let mut handle = Handle { number, name, size: 0 };
        let info = handle.info()?;
        handle.size = info.size();
        Ok((handle, info))
    }

    /// Names nothing; what is left where a handle was taken out.
    pub(crate) const fn nothing() -> Handle {
        Handle { number: 0, name: String::new(), size: 0 }
    }

    /// Close it now, and tell whether that worked.
    pub(crate) fn close(mut self) -> Result<()> {
        let number = std::mem::take(&mut self.number);
        // SAFETY: takes any number.
        let status = unsafe { sys::mmg_close(number, 0) };
        self.judge(status, "close")
    }

    fn judge(&self, status: sys::mmg_status, operation: &str) -> Result<()> {
        if status == sys::MMG_OK {
            return Ok(());
        }
        let error = Error::plain(status, &self.name, operation);
        let is_loss = matches!(
            status,
            sys::MMG_E_TRUNCATED | sys::MMG_E_IO | sys::MMG_E_POISONED | sys::MMG_E_UNSTABLE
        );
        match self.info().ok().filter(|_| is_loss).and_then(|info| info.fault_offset()) {
            Some(offset) => Err(error.at(offset)),
            None => Err(error),
        }
    }

    pub(crate) fn info(&self) -> Result<Info> {
        let mut raw = sys::MMG_INFO_INIT;
        // SAFETY: `raw` is live and says its size.
        match unsafe { sys::mmg_info_get(self.number, &mut raw) } {
            sys::MMG_OK => Ok(Info(raw)),
            status => Err(Error::plain(status, &self.name, "info")),
        }
    }

    pub(crate) fn pin(&self, offset: u64, length: u64) -> Result<sys::mmg_span> {
        let mut span = sys::MMG_SPAN_INIT;
        // SAFETY: `span` is live.
        let status = unsafe { sys::mmg_pin(self.number, offset, length, &mut span) };
        self.judge(status, "pin").map(|()| span)
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
        self.judge(status, "read").map(|()| got)
    }

    pub(crate) fn find(&self, offset: u64, length: u64, needle: &[u8]) -> Result<Option<u64>> {
        let mut position = 0;
        let bytes: *const c_void = needle.as_ptr().cast();
        // SAFETY: `bytes` has as many bytes as are passed with it, and `position` is live.
        let status =
            unsafe { sys::mmg_find(self.number, offset, length, bytes, needle.len() as u64, &mut position) };
        self.judge(status, "find").map(|()| Some(position).filter(|&p| p != sys::MMG_NOT_FOUND))
    }

    pub(crate) fn check(&self) -> Result<()> {
        // SAFETY: takes any number.
        let status = unsafe { sys::mmg_check(self.number) };
        self.judge(status, "check")
    }

    pub(crate) fn changed(&self) -> Result<Changed> {
        let mut bits = 0;
        // SAFETY: `bits` is live.
        let status = unsafe { sys::mmg_changed(self.number, &mut bits) };
        self.judge(status, "changed").map(|()| Changed::from_bits(bits))
    }

    pub(crate) fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result<()> {
        // SAFETY: takes any numbers; the library drops no page that cannot be read again as it was.
        let status = unsafe { sys::mmg_advise(self.number, offset, length, advice.0) };
        self.judge(status, "advise")
    }

    pub(crate) fn resident(&self, offset: u64, length: u64) -> Result<u64> {
        let mut bytes = 0;
        // SAFETY: `bytes` is live.
        let status = unsafe { sys::mmg_resident(self.number, offset, length, &mut bytes) };
        self.judge(status, "resident").map(|()| bytes)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: takes any number; 0, what close() leaves, names nothing.
        unsafe { sys::mmg_close(self.number, 0) };
    }
}
