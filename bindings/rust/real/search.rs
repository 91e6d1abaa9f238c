// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the lines that contain a word, with the searcher of ripgrep, which maps the file.
//!
//! usage: search WORD FILE...

use std::{env, io};

use grep_matcher::{Match, Matcher, NoCaptures, NoError};
use grep_searcher::{MmapChoice, Searcher, SearcherBuilder, Sink, SinkMatch};

struct Word(memchr::memmem::Finder<'static>);

impl Matcher for Word {
    type Captures = NoCaptures;
    type Error = NoError;

    fn find_at(&self, haystack: &[u8], at: usize) -> Result<Option<Match>, NoError> {
        let found = self.0.find(&haystack[at..]).map(|start| at + start);
        Ok(found.map(|start| Match::new(start, start + self.0.needle().len())))
    }

    fn new_captures(&self) -> Result<NoCaptures, NoError> {
        Ok(NoCaptures::new())
    }
}

struct Count(u64);

impl Sink for Count {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, _: &SinkMatch<'_>) -> io::Result<bool> {
        self.0 += 1;
        Ok(true)
    }
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let word = arguments.next().expect("usage: search WORD FILE...");
    let matcher = Word(memchr::memmem::Finder::new(word.as_bytes()).into_owned());
    // SAFETY: this is not safe: the test cuts the files short on purpose.
    let mmap = unsafe { MmapChoice::auto() };
    let mut searcher = SearcherBuilder::new().memory_map(mmap).build();
    for path in arguments {
        let mut count = Count(0);
        searcher.search_path(&matcher, &path, &mut count)?;
        println!("{path}: {}", count.0);
    }
    Ok(())
}
