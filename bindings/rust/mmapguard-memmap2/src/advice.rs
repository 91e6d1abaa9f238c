// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kinds of advice of memmap2. Advice about reading is passed to the kernel. Anything else that
//! madvise(2) can do to a mapping is refused, since the library must know what happens to its mappings.

use std::io;

use mmapguard as guard;

/// Values for [`Mmap::advise`](crate::Mmap::advise), with the names of memmap2. The comments say which are
/// carried out. The others return [`io::ErrorKind::Unsupported`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// No special pattern. Carried out.
    Normal,
    /// Do not read ahead. Carried out.
    Random,
    /// Read ahead more, drop behind. Carried out.
    Sequential,
    /// Start to read the pages now, without waiting. Carried out.
    WillNeed,
    /// Not carried out, since a child is guarded, too.
    DontFork,
    /// Carried out: this is always so.
    DoFork,
    /// Not carried out, since it is for anonymous memory.
    Mergeable,
    /// Carried out: this is always so.
    Unmergeable,
    /// Use huge pages where the kernel can. Carried out.
    HugePage,
    /// Not carried out.
    NoHugePage,
    /// Not carried out.
    DontDump,
    /// Carried out: this is always so.
    DoDump,
    /// Not carried out, since it is for tests of the kernel.
    HwPoison,
    /// Read the pages now, and wait. Carried out; a page that cannot be read causes an error, not a signal.
    PopulateRead,
    /// Not carried out, since the mapping cannot be written to.
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

/// Values for [`Mmap::unchecked_advise`](crate::Mmap::unchecked_advise), with the names of memmap2.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum UncheckedAdvice {
    /// Drop the pages from this process; they are read again when touched. Carried out.
    DontNeed,
    /// Not carried out, since it is for anonymous memory.
    Free,
    /// Not carried out, since the mapping cannot be written to.
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
