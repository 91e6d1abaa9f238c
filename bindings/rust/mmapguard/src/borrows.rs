// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that keep bytes of a region longer than the region. Each is shown twice: without the last step, where it
//! compiles and runs, and with that step, where it does not compile. The tests of the documentation run them.
//!
//! A `&str`:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let text: &str = std::str::from_utf8(&region).unwrap();
//! assert!(text.starts_with('#'));
//! region.close().unwrap();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let text: &str = std::str::from_utf8(&region).unwrap();
//! region.close().unwrap();
//! assert!(text.starts_with('#'));
//! ```
//!
//! A line in a `static`, and a slice in another thread:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let region: &'static Region<Stable> = Box::leak(Box::new(region));
//! let bytes: &'static [u8] = region;
//! std::thread::spawn(move || bytes.len()).join().unwrap();
//! ```
//!
//! ```compile_fail,E0597
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let bytes: &'static [u8] = &region;
//! std::thread::spawn(move || bytes.len()).join().unwrap();
//! ```
//!
//! A `Cow`:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let text = String::from_utf8_lossy(&region);
//! assert!(text.starts_with('#'));
//! drop(region);
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let text = String::from_utf8_lossy(&region);
//! drop(region);
//! assert!(text.starts_with('#'));
//! ```
//!
//! Strings that `serde` has borrowed:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let path = std::env::temp_dir().join(format!("mmapguard-borrows-{}", std::process::id()));
//! std::fs::write(&path, "[\"one\", \"two\"]").unwrap();
//! let region = Region::<Stable>::open(&path).unwrap();
//! let words: Vec<&str> = serde_json::from_slice(&region).unwrap();
//! assert_eq!(words, ["one", "two"]);
//! drop(region);
//! std::fs::remove_file(&path).unwrap();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Region, Stable};
//! let path = std::env::temp_dir().join(format!("mmapguard-borrows-{}", std::process::id()));
//! std::fs::write(&path, "[\"one\", \"two\"]").unwrap();
//! let region = Region::<Stable>::open(&path).unwrap();
//! let words: Vec<&str> = serde_json::from_slice(&region).unwrap();
//! drop(region);
//! assert_eq!(words, ["one", "two"]);
//! ```
//!
//! A slice of a region that becomes something else:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let first: &u8 = region.first().unwrap();
//! assert_eq!(*first, b'#');
//! let pinned = region.pinned().unwrap();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Region, Stable};
//! let region = Region::<Stable>::open("Cargo.toml").unwrap();
//! let first: &u8 = region.first().unwrap();
//! let pinned = region.pinned().unwrap();
//! assert_eq!(*first, b'#');
//! ```
//!
//! A slice of pinned bytes, for which the caller has made a promise:
//!
//! ```
//! # use mmapguard::{Contained, Region};
//! let pinned = Region::<Contained>::open("Cargo.toml").unwrap().pinned().unwrap();
//! let bytes = unsafe { pinned.as_slice() };
//! assert_eq!(bytes[0], b'#');
//! let region = pinned.into_inner();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Contained, Region};
//! let pinned = Region::<Contained>::open("Cargo.toml").unwrap().pinned().unwrap();
//! let bytes = unsafe { pinned.as_slice() };
//! let region = pinned.into_inner();
//! assert_eq!(bytes[0], b'#');
//! ```
//!
//! A span and a reader, which borrow the region itself:
//!
//! ```
//! # use mmapguard::{Contained, Region};
//! let region = Region::<Contained>::open("Cargo.toml").unwrap();
//! let (span, reader) = (region.span(0, 6).unwrap(), region.reader());
//! span.unpin().unwrap();
//! region.close().unwrap();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Contained, Region};
//! let region = Region::<Contained>::open("Cargo.toml").unwrap();
//! let span = region.span(0, 6).unwrap();
//! region.close().unwrap();
//! span.unpin().unwrap();
//! ```
//!
//! ```compile_fail,E0505
//! # use mmapguard::{Contained, Region};
//! let region = Region::<Contained>::open("Cargo.toml").unwrap();
//! let mut reader = region.reader();
//! region.close().unwrap();
//! std::io::Read::read(&mut reader, &mut [0]).unwrap();
//! ```
//!
//! `Bytes` take a region whose bytes cannot change, and no other one:
//!
//! ```
//! # use mmapguard::{Region, Stable};
//! let bytes = bytes::Bytes::from_owner(Region::<Stable>::open("Cargo.toml").unwrap());
//! assert_eq!(bytes[0], b'#');
//! ```
//!
//! ```compile_fail,E0277
//! # use mmapguard::{Contained, Region};
//! let bytes = bytes::Bytes::from_owner(Region::<Contained>::open("Cargo.toml").unwrap());
//! ```
//!
//! ```compile_fail,E0277
//! # use mmapguard::{Leased, Region};
//! let bytes = bytes::Bytes::from_owner(Region::<Leased>::open("Cargo.toml").unwrap());
//! ```
//!
//! ```compile_fail,E0277
//! # use mmapguard::{Contained, Region};
//! let bytes = bytes::Bytes::from_owner(Region::<Contained>::open("Cargo.toml").unwrap().pinned().unwrap());
//! ```
