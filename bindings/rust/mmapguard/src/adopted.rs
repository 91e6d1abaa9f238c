// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings that other code has made, as regions.

use std::marker::PhantomData;
use std::ops::Deref;

use crate::{Contained, Options, Region, Result};

/// A region over bytes that other code has mapped and lends: see [`adopt`]. It reads like the region that it dereferences to.
#[derive(Debug)]
pub struct Adopted<'a> {
    region: Region<Contained>,
    lent: PhantomData<&'a [u8]>,
}

impl Adopted<'_> {
    pub(crate) fn over(region: Region<Contained>) -> Self {
        Adopted { region, lent: PhantomData }
    }

    /// Close the region, and tell whether everything that was read is true. The mapping stays its owner's.
    ///
    /// # Errors
    /// What [`Region::check`] found.
    pub fn finish(self) -> Result<()> {
        self.region.check()
    }
}

impl Deref for Adopted<'_> {
    type Target = Region<Contained>;

    #[inline]
    fn deref(&self) -> &Region<Contained> {
        &self.region
    }
}

/// Take a mapping that other code has made as a region, in place: that of memmap2, or of a C library.
///
/// Nothing is mapped anew, and nothing moves. While the region lives, nothing that happens to the file kills the process,
/// and [`check`](Region::check) tells what was lost. The reads of the region are copies by the kernel. `bytes` itself is what
/// its maker says of it: if the file is cut, the lost bytes of the slice read as zeros, where there would have been a SIGBUS.
///
/// ```
/// use std::fs::File;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("mmapguard-doc-adopt-{}", std::process::id()));
/// # std::fs::write(&path, vec![7; 100_000])?;
/// let file = File::open(&path)?;
/// // SAFETY: nobody writes to the file.
/// let map = unsafe { memmap2::Mmap::map(&file)? };
/// let region = mmapguard::adopt(&map)?;
/// let sum: u64 = map.iter().map(|&byte| u64::from(byte)).sum();
/// region.finish()?; // the sum holds if this is not an error
/// # assert_eq!(sum, 700_000);
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
///
/// The region cannot outlive the mapping:
///
/// ```compile_fail,E0505
/// let map: Vec<u8> = vec![0; 4096];
/// let region = mmapguard::adopt(&map).unwrap();
/// drop(map);
/// region.check().unwrap();
/// ```
///
/// # Errors
/// As [`Options::adopt`].
pub fn adopt(bytes: &[u8]) -> Result<Adopted<'_>> {
    Options::new().adopt(bytes)
}
