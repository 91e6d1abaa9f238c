// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings that other code has made, as regions.

use std::marker::PhantomData;
use std::ops::Deref;

use crate::{Contained, Options, Region, Result};

/// A region over borrowed bytes that other code has mapped: see [`adopt`]. It dereferences to the region.
#[derive(Debug)]
pub struct Adopted<'a> {
    region: Region<Contained>,
    lent: PhantomData<&'a [u8]>,
}

impl Adopted<'_> {
    pub(crate) fn over(region: Region<Contained>) -> Self {
        Adopted { region, lent: PhantomData }
    }

    /// Close the region, and report whether bytes were lost. The mapping still belongs to its owner.
    ///
    /// # Errors
    ///
    /// The error of [`Region::check`].
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

/// Make a region of a mapping that other code has made, such as memmap2 or a C library. The bytes stay where
/// they are.
///
/// While the region lives, nothing that happens to the file kills the process, and [`check`](Region::check)
/// reports losses. When the file is cut, the lost bytes of the slice read as zeros, where there would be a
/// SIGBUS without the region. The kernel copies for the reads of the region. For the slice `bytes` itself,
/// the promise of the code that has made the mapping still applies.
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
