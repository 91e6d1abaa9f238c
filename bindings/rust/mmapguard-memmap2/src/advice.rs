// SPDX-License-Identifier: MIT OR Apache-2.0
//! memmap2's words for how a mapping will be read. Those that say something about reading are passed on; what else
//! madvise(2) can do to a mapping is refused, since the library answers for the mapping.

use std::io;

use mmapguard as guard;

/// Values for [`Mmap::advise`](crate::Mmap::advise), by the names of memmap2. The comments say which are carried out;
/// the others are [`io::ErrorKind::Unsupported`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing in particular. Carried out.
    Normal,
    /// Do not read ahead. Carried out.
    Random,
    /// Read ahead more, drop behind. Carried out.
    Sequential,
    /// Start reading in now, do not wait. Carried out.
    WillNeed,
    /// Not carried out: a child is guarded as well.
    DontFork,
    /// Carried out: it is so anyway.
    DoFork,
    /// Not carried out: for anonymous memory.
    Mergeable,
    /// Carried out: it is so anyway.
    Unmergeable,
    /// Use huge pages where the kernel can. Carried out.
    HugePage,
    /// Not carried out.
    NoHugePage,
    /// Not carried out.
    DontDump,
    /// Carried out: it is so anyway.
    DoDump,
    /// Not carried out: for tests of the kernel.
    HwPoison,
    /// Read in now and wait. Carried out; what cannot be read is an error, not a signal.
    PopulateRead,
    /// Not carried out: nothing here can be written.
    PopulateWrite,
}

impl Advice {
    /// Returns true when the advice is carried out.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self.carried_out().is_some()
    }

    pub(crate) fn checked(self) -> io::Result<guard::Advice> {
        self.carried_out().ok_or_else(unsupported)
    }

    fn carried_out(self) -> Option<guard::Advice> {
        match self {
            Advice::Normal | Advice::DoFork | Advice::Unmergeable | Advice::DoDump => {
                Some(guard::Advice::NORMAL)
            }
            Advice::Random => Some(guard::Advice::RANDOM),
            Advice::Sequential => Some(guard::Advice::SEQUENTIAL),
            Advice::WillNeed => Some(guard::Advice::WILLNEED),
            Advice::HugePage => Some(guard::Advice::HUGEPAGE),
            Advice::PopulateRead => Some(guard::Advice::POPULATE),
            _ => None,
        }
    }
}

/// Values for [`Mmap::unchecked_advise`](crate::Mmap::unchecked_advise), by the names of memmap2.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum UncheckedAdvice {
    /// Drop the pages from this process; they are read again when touched. Carried out.
    DontNeed,
    /// Not carried out: for anonymous memory.
    Free,
    /// Not carried out: nothing here can be written.
    Remove,
}

impl UncheckedAdvice {
    /// Returns true when the advice is carried out.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self == UncheckedAdvice::DontNeed
    }

    pub(crate) fn checked(self) -> io::Result<guard::Advice> {
        match self {
            UncheckedAdvice::DontNeed => Ok(guard::Advice::DONTNEED),
            _ => Err(unsupported()),
        }
    }
}

#[cold]
pub(crate) fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
