// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints how many bytes a file or standard input has, and how many of them are zeros.
//!
//! usage: size FILE, or size -

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).expect("usage: size FILE");
    let data = mmapguard_compat::load(std::path::Path::new(&path))?;
    let zeros = data.iter().filter(|&&byte| byte == 0).count();
    data.check()?; // with mmap-guard a cut would have ended the process above
    println!("{} bytes, {zeros} zeros", data.len());
    Ok(())
}
